"""Dictionary elements that are rows of the data at first."""

import numpy as np
import pytest
from PIL import Image

from prosper_ng.config import from_mapping
from prosper_ng.data.interpolation import interpolated
from prosper_ng.errors import UserError
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.team import on_team
from tests.helpers.small_runs import write_image

ROWS = {"start": "rows"}
BARS = {"kind": "bars", "n_bars": 6, "n_rows": 90, "noise": 0.5}


def config(**sections):
    whole = {"name": "test", "data": BARS, "model": {"kind": "bsc", "n_latents": 6}, "training": ROWS}
    return from_mapping({**whole, **sections}, RunConfig).value


def assembled(**sections):
    return assemble_run(config(**sections), SerialCommunicator())


@pytest.fixture
def picture(tmp_path):
    """Data of kind image: a picture with gaps in single values."""
    write_image(tmp_path / "picture.png")
    return {"kind": "image", "image": str(tmp_path / "picture.png"), "missing": 0.4, "patch_size": 4, "stride": 2}


def assert_all_are_rows(elements, rows):
    distances = np.abs(elements[:, None] - rows[None]).max(axis=2)
    assert (distances.min(axis=1) < 1e-12).all()
    assert len(set(distances.argmin(axis=1))) == len(elements)


@pytest.mark.parametrize("kind", ["bsc", "tsc", "gsc", "mca"])
def test_elements_are_different_rows_of_the_data(kind):
    parts = assembled(model={"kind": kind, "n_latents": 6}, data={**BARS, "noise": 0.0})
    rows = np.maximum(parts.problem.values, 0.0 if kind != "mca" else parts.initial["W"].min())
    distances = np.abs(parts.initial["W"].T[:, None] - rows[None]).max(axis=2)
    assert (distances.min(axis=1) < 1e-12).all()


def test_about_a_data_mean_elements_are_what_rows_differ_by():
    parts = assembled(model={"kind": "bsc", "n_latents": 6, "data_mean": True})
    rows = parts.problem.values
    assert_all_are_rows(parts.initial["W"].T + parts.initial["mu"], rows)


def test_elements_of_a_picture_are_patches_of_it_with_gaps_closed(picture):
    parts = assembled(data=picture, model={"kind": "gsc", "n_latents": 9})
    dataset = parts.dataset.as_image
    rows = dataset.grid.extract(interpolated(dataset.noisy), 0, dataset.n_rows)
    assert_all_are_rows(parts.initial["W"].T, rows - rows.mean(axis=1, keepdims=True))
    noise = assembled(data=picture, model={"kind": "gsc", "n_latents": 9}, training={"start": "noise"})
    assert parts.initial["sigma"] == pytest.approx(noise.initial["sigma"] / 3)


def test_rows_are_the_start_where_a_picture_with_gaps_is_restored_and_nowhere_else(picture):
    starts = {
        (task, missing): config(
            data={**picture, "missing": missing}, training={}, task={"kind": task}
        ).learning.training.start
        for task in ("denoise", "restore")
        for missing in (0.0, 0.4)
    }
    assert {case for case, start in starts.items() if start == "rows"} == {("restore", 0.4)}
    asked = config(data=picture, training={"start": "noise"}, task={"kind": "restore"})
    assert asked.learning.training.start == "noise"


def test_where_there_are_fewer_rows_than_latents_the_others_are_noise():
    parts = assembled(data={**BARS, "n_rows": 4})
    W = parts.initial["W"].T
    distances = np.abs(W[:, None] - parts.problem.values[None]).max(axis=2).min(axis=1)
    assert np.count_nonzero(distances < 1e-12) == 4
    assert len(np.unique(W, axis=0)) == 6


def test_data_without_variation_are_a_start_as_well(tmp_path):
    Image.new("L", (12, 12), 80).save(tmp_path / "gray.png")
    data = {"kind": "image", "image": str(tmp_path / "gray.png"), "patch_size": 4, "missing": 0.3}
    assert np.isfinite(assembled(data=data).initial["W"]).all()


@pytest.mark.parametrize("source", ["bars", "picture"])
def test_the_same_bits_on_any_number_of_ranks(source, picture):
    chosen = config(data=picture if source == "picture" else BARS, training={**ROWS, "block_rows": 8})
    (expected,) = on_team(1, lambda comm: assemble_run(chosen, comm).initial.buffer.tobytes())
    for size in (2, 3):
        found = on_team(size, lambda comm: assemble_run(chosen, comm).initial.buffer.tobytes())
        assert found == [expected] * size


def test_a_model_without_a_dictionary_is_told(monkeypatch):
    from prosper_ng.models.bsc import BSC

    of_bsc = BSC.parameters
    without = {"W": of_bsc(BSC(n_latents=6), 25)["W"]._replace(role="")}
    monkeypatch.setattr(BSC, "parameters", lambda model, n_observed: of_bsc(model, n_observed) | without)
    with pytest.raises(UserError, match=r"training.start is rows, and model bsc has no dictionary .*leave it out"):
        assembled()
