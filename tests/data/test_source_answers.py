"""What sources and datasets answer for themselves: files they read, missing values, what they do to their rows."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.components import components_of
from prosper_ng.data.dataset import SourceDefaults
from prosper_ng.data.preprocessing import PreparedRows
from prosper_ng.data.sources.bars import Bars
from prosper_ng.data.sources.image import Image
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.sample import Sample
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.rows import Wanted, open_rows
from prosper_ng.inference.stored import LearnedRun
from prosper_ng.models.bsc import BSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from tests.helpers.small_runs import write_image

SOURCES = components_of("prosper_ng.data.sources")
PREPARATION = {"remove_mean": True, "whiten": "zca", "whiten_epsilon": 0.5}


def opened(path, **wanted):
    params = NamedArrays.of(W=np.zeros((4, 2)), pi=[0.5, 0.5], sigma=1.0)
    known = Learned(model=BSC(n_latents=2), params=params, n_observed=4, estep=Exhaustive())
    return open_rows(
        LearnedRun(known, Path("run")), Wanted(str(path), **wanted), SerialCommunicator(), Path(path).parent
    )


@pytest.mark.parametrize("kind", [kind for kind, cls in SOURCES.items() if cls.suffixes])
def test_what_a_source_of_files_can_do_to_its_rows_can_be_left_out(kind):
    name = {} if SOURCES[kind].name_field is None else {SOURCES[kind].name_field: "rows"}
    source = SOURCES[kind](path="a", **name, **PREPARATION)
    assert dict(source.preparation) == PREPARATION
    assert dict(source.unprepared().preparation) == PREPARATION | {"remove_mean": False, "whiten": "none"}
    assert not source.may_lack_values
    with pytest.raises(ValueError, match="leave out `whiten` or `missing`"):
        source.with_missing()
    assert source.unprepared().with_missing().may_lack_values
    assert {"path", "missing", *name} <= {field.name for field in fields(source)}


def test_an_image_may_lack_pixels_and_is_put_back_together(tmp_path):
    write_image(tmp_path / "picture.png")
    image = Image(image=str(tmp_path / "picture.png"), patch_size=3, missing=0.2, whiten_epsilon=0.5)
    assert image.may_lack_values
    left = {"remove_mean": False, "mean_per": "patch", "whiten": "none", "whiten_epsilon": 0.5}
    assert dict(image.unprepared().preparation) == left
    assert image.with_missing() is None
    dataset = image.open(0)
    assert dataset.as_image is dataset
    assert dataset.stored is None


def test_generated_rows_are_what_they_are():
    sample = {"model": BSC(n_latents=2), "n_rows": 3, "parameters": {"W": [[1.0, 2.0]], "pi": 0.5, "sigma": 1.0}}
    for source, lacking in ((Bars(), Bars(missing=0.1)), (Sample(**sample), Sample(**sample, missing=0.1))):
        assert (source.may_lack_values, lacking.may_lack_values) == (False, True)
        assert (dict(source.preparation), source.unprepared(), source.with_missing()) == ({}, source, None)
        assert (source.open(0).as_image, source.open(0).stored) == (None, None)


def test_a_source_and_a_dataset_need_not_know_of_any_of_this():
    class Rows(PreparedRows, SourceDefaults):
        pass

    assert (Rows().suffixes, Rows().name_field, Rows().may_lack_values, Rows().stored) == ((), None, False, None)
    assert Rows().with_missing() is None


def test_files_are_read_by_the_source_that_says_so(tmp_path, monkeypatch):
    class Plain(Npy):
        suffixes = (".rows", ".mat")
        kind = "plain"

    rows = np.random.default_rng(0).normal(size=(9, 4))
    with (tmp_path / "new.rows").open("wb") as file:
        np.save(file, rows)
    with pytest.raises(UserError, match=r"ends in \.csv, \.dat, \.h5, .*\.npz, \.tsv, \.txt, \.yaml or \.yml\b"):
        opened(tmp_path / "new.rows")
    monkeypatch.setattr("prosper_ng.inference.rows.components_of", lambda package: SOURCES | {"plain": Plain})
    found = opened(tmp_path / "new.rows")
    assert (found.raw == rows).all()
    with pytest.raises(UserError, match="holds a single array, so --dataset makes no sense"):
        opened(tmp_path / "new.rows", dataset="x")
    with pytest.raises(UserError, match=r"new\.mat: the sources mat and plain read files that end in \.mat; say which"):
        opened(tmp_path / "new.mat")
