"""A configuration turned into a problem: first parameters, and what does not fit together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.config import from_mapping
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.census import take_census
from prosper_ng.learning.digest import input_digest
from prosper_ng.models.bsc import BSC
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.em import Problem, start
from prosper_ng.training.visits import posteriors
from tests.helpers.small_runs import write_image

BARS = {"kind": "bars", "n_bars": 6, "n_rows": 90}


def config(**sections) -> RunConfig:
    whole = {"name": "test", "data": BARS, "model": {"kind": "bsc", "n_latents": 6}, "estep": {"kind": "search"}}
    return from_mapping({**whole, **sections}, RunConfig).value


def assembled(**sections):
    return assemble_run(config(**sections), SerialCommunicator())


def refusal(**sections) -> str:
    with pytest.raises(UserError) as caught:
        assembled(**sections)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def problem_of(values: np.ndarray, block_rows: int) -> Problem:
    blocks = RowBlocks(len(values), block_rows)
    return Problem(BSC(n_latents=2), Exhaustive(), values, blocks, SerialCommunicator(), 0)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 20), st.floats(-1e6, 1e6), st.integers(0, 2**32))
def test_moments_are_those_of_all_rows(n_rows, block_rows, offset, seed):
    values = np.random.default_rng(seed).standard_normal((n_rows, 3)) + offset
    found = take_census(problem_of(values, block_rows)).moments
    assert found.n_rows == n_rows
    assert found.mean == pytest.approx(values.mean(axis=0), rel=1e-12, abs=1e-12)
    assert found.variance == pytest.approx(values.var(axis=0), rel=1e-9, abs=1e-12 * (1 + abs(offset)))


def test_moments_of_what_was_observed():
    values = np.random.default_rng(0).standard_normal((50, 3))
    values[np.random.default_rng(1).random((50, 3)) < 0.4] = np.nan
    values[:, 2] = np.nan
    found = take_census(problem_of(values, 7)).moments
    assert found.mean[:2] == pytest.approx(np.nanmean(values[:, :2], axis=0))
    assert found.variance[:2] == pytest.approx(np.nanvar(values[:, :2], axis=0))
    assert (found.mean[2], found.variance[2]) == (0.0, 0.0)


def test_every_row_is_read_and_the_blocks_cover_them():
    parts = assembled(training={"block_rows": 20, "updates_per_sweep": 4})
    assert parts.problem.values.shape == (90, 9)
    assert (parts.problem.blocks.n_blocks, parts.problem.blocks.n_parts) == (5, 4)
    assert (parts.problem.values == parts.dataset.read(0, 90)).all()


def test_first_parameters_are_a_function_of_the_seed():
    first, again, other = (assembled(seed=seed).initial for seed in (1, 1, 2))
    assert (first.buffer == again.buffer).all()
    assert (first["W"] != other["W"]).all()
    assert first["W"].std() == pytest.approx(0.25 * assembled(seed=1).problem.values.std(), rel=0.3)


def test_values_of_the_configuration_go_before_the_file_and_this_before_the_data(tmp_path):
    from_data = assembled().initial
    W = np.arange(54.0).reshape(9, 6)
    np.savez(tmp_path / "start.npz", W=W, sigma=3.0, unrelated=np.zeros(7))
    training = {"initial_file": str(tmp_path / "start.npz"), "initial": {"sigma": 5.0}}
    params = assembled(training=training).initial
    assert (params["W"] == W).all()
    assert params["sigma"] == 5.0
    assert (params["pi"] == from_data["pi"]).all()
    assert (assembled(training={"initial": {"pi": 0.3, "W": 0.5}}).initial["pi"] == 0.3).all()


def test_what_is_held_until_the_end_is_warned_of():
    assert assembled(training={"hold": {"sigma": 4}, "n_sweeps": 5}).warnings == ()
    (warning,) = assembled(training={"hold": {"sigma": 5}, "n_sweeps": 5}).warnings
    assert warning.startswith("training.hold: sigma is learned from sweep 5 on, counted from 0, and n_sweeps is 5: it ")


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"learn": ["W", "tau"]}, "training.learn: model bsc has no parameter 'tau'; it has W, sigma, pi"),
        ({"hold": {"tau": 3}}, "training.hold: model bsc has no parameter 'tau'; it has W, sigma, pi"),
        ({"initial": {"mu": 1.0}}, "training.initial: model bsc has no parameter 'mu'; it has W, sigma, pi"),
        (
            {"annealing": {"parameter_noise": {"w": 1.0}}},
            "training.annealing: parameter_noise: the model has no parameter 'w'; it has W, sigma, pi",
        ),
        (
            {"initial": {"pi": 1.5}},
            "training.initial: pi (probability that a latent is active) must be a number from 1e-10 to 0.9999999999, "
            "not 1.5",
        ),
        (
            {"initial": {"sigma": -1.0}},
            "training.initial: sigma (standard deviation of the noise) must be a number of 1e-100 or more, not -1",
        ),
        (
            {"updates_per_sweep": 4},
            "training.updates_per_sweep is 4, but 90 rows make only 3 blocks of 32; legal are 1 to 3 updates, or "
            "smaller training.block_rows",
        ),
    ],
)
def test_what_does_not_fit_is_refused(training, said):
    assert refusal(training=training) == said


def test_parameters_in_a_file_must_fit_the_model(tmp_path):
    path = tmp_path / "start.npz"
    np.savez(path, W=np.zeros((9, 7)))
    said = refusal(training={"initial_file": str(path)})
    assert said == f"training.initial_file: W in {path} has the shape (9, 7), and model bsc here needs (9, 6)"
    for name, values, shown in (
        ("sigma", np.nan, "nan"),
        ("W", np.full((9, 6), np.inf), "inf"),
        ("pi", [2.0] * 6, "2"),
    ):
        np.savez(path, **{name: values})
        said = refusal(training={"initial_file": str(path)})
        assert said.startswith(f"training.initial_file: {name} in {path} (")
        assert said.endswith(f", not {shown}")
    np.savez(path, z=np.zeros(3))
    assert "holds none of the parameters W, sigma, pi" in refusal(training={"initial_file": str(path)})
    assert str(tmp_path / "none.npz") in refusal(training={"initial_file": str(tmp_path / "none.npz")})


def test_data_beyond_what_can_be_squared_are_refused(tmp_path):
    np.save(tmp_path / "huge.npy", 1e200 * np.random.default_rng(0).standard_normal((50, 3)))
    said = refusal(data={"kind": "npy", "path": str(tmp_path / "huge.npy")})
    assert "huge.npy: row 0, column 0 (counted from 0) is " in said


def test_denoising_needs_an_image():
    assert refusal(task={"kind": "denoise"}).startswith("task denoise needs the patches of an image")


class Blind(BSC):
    """A model that predicts no data, but for what it makes of preselected states."""

    reconstruct = None


def test_denoising_needs_a_model_and_an_estep_that_predict_data(tmp_path):
    write_image(tmp_path / "picture.png")
    source = {"kind": "image", "image": str(tmp_path / "picture.png"), "noise": 9.0, "patch_size": 3}
    sections = config(data=source, task={"kind": "denoise"})
    blind, pair = replace(sections, model=Blind(n_latents=6)), replace(sections, estep=Preselection(n_candidates=4))
    for whole in (sections, pair, replace(pair, model=blind.model)):
        parts = assemble_run(whole, SerialCommunicator())
        patches = [posterior.reconstruct() for _, posterior in posteriors(parts.problem, parts.start())]
        assert np.concatenate(patches).shape == (parts.dataset.n_rows, 9)
    with pytest.raises(UserError) as caught:
        assemble_run(blind, SerialCommunicator())
    assert str(caught.value) == (
        "task denoise needs predictions of the data, and model bsc with estep search cannot make any; use another "
        "model, or task train"
    )
    problem = parts.problem._replace(model=blind.model, estep=blind.estep)
    for _, posterior in posteriors(problem, start(problem, parts.initial)):
        with pytest.raises(UserError, match="model bsc cannot predict data"):
            posterior.reconstruct()


def test_an_estep_that_cannot_serve_the_model_is_refused_before_data_are_read():
    wide = {"kind": "bsc", "n_latents": 40}
    assert "too many to enumerate" in refusal(model=wide, estep={"kind": "exhaustive"})
    many = {"kind": "preselection", "n_candidates": 40, "max_active": 20}
    assert "combinations for each row" in refusal(model=wide, estep=many)
    assert "combinations for each row" in refusal(model=wide, estep={"kind": "search", "variations": [many]})


def test_the_digest_of_the_input_knows_every_bit():
    values = np.random.default_rng(0).standard_normal((50, 3))
    digest = input_digest(problem_of(values, 7))
    assert digest == input_digest(problem_of(values.copy(), 7))
    values[49, 2] = np.nextafter(values[49, 2], 9.0)
    assert digest != input_digest(problem_of(values, 7))
