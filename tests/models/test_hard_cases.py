"""Data and starts at the edge of what numbers can hold: every model learns from them, or says why it cannot."""

import warnings

import numpy as np
import pytest

from prosper_ng.errors import NumericalError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.learning.census import take_census
from prosper_ng.models.dsc import DSC
from prosper_ng.models.interface import Model
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import Problem, TruncatedEM, start
from prosper_ng.training.settings import Training
from tests.models.references import instances

H = 5
ROWS = np.random.default_rng(1).normal(size=(24, 6)) * 3 + np.random.default_rng(2).random((24, 6))
HIDDEN = np.random.default_rng(3).random(ROWS.shape) < 0.5
DATA = {
    "plain": ROWS,
    "constant": np.full((12, 4), 3.0),
    "zeros": np.zeros((9, 3)),
    "one row": ROWS[:1],
    "one dimension": ROWS[:, :1],
    "one value": ROWS[:1, :1],
    "a dead pixel": ROWS * np.array([1, 1, 0, 1, 1, 1]),
    "repeated rows": np.repeat(ROWS[:2], 10, axis=0),
    "more dimensions than rows": np.repeat(ROWS, 10, axis=1),
    "single precision": ROWS.astype(np.float32),
    "far from zero": ROWS + 1e6,
    "small": ROWS * 1e-17,
    "large": ROWS * 1e12,
    "tiny": ROWS * 1e-80,
    "huge": ROWS * 1e80,
    "half of it missing": np.where(HIDDEN, np.nan, ROWS),
    "missing rows": np.where(np.arange(24)[:, None] < 5, np.nan, ROWS),
}
STARTS = ("plain", "sharp", "blunt", "never active", "always active", "twins", "one unused", "no fields")
ESTEPS = {
    "all states": Exhaustive(),
    "more candidates than latents": Preselection(n_candidates=9, max_active=9),
    "few candidates": Preselection(n_candidates=3, max_active=2),
    "search": Search(n_states=8),
    "more states than there are": Search(n_states=5000),
}


def change(params: NamedArrays, how: str) -> None:
    factor = {"sharp": 1e-6, "blunt": 1e6}.get(how, 1.0)
    for name, power in (("sigma", 1), ("Sigma", 2)):
        if name in params:
            params[name] = params[name] * factor**power
    if how == "never active":
        params["pi"] = 1e-10
    elif how == "always active":
        params["pi"] = 1 - 1e-10
    elif how == "twins":
        params["W"][:, 1] = params["W"][:, 0]
    elif how == "one unused" and params["pi"].shape == (H,):
        params["pi"][2] = 1e-10
    elif how == "no fields":
        params["W"] = 0.0


def problem_of(model: Model, estep, values: np.ndarray) -> Problem:
    rows = np.ascontiguousarray(values, dtype=np.float64)
    return Problem(model, estep, rows, RowBlocks(len(rows), 4), SerialCommunicator(), 0)


@pytest.mark.parametrize("values", list(DATA.values()), ids=list(DATA))
@pytest.mark.parametrize("make", list(instances().values()), ids=list(instances()))
def test_learning_stays_finite_and_legal(make, values):
    """Every start meets every E-step over the models and data, not over each pair of them."""
    model, names = make(H), list(ESTEPS)
    first = (len(repr(model)) + values.size) % len(names)
    for place, how in enumerate(STARTS):
        name = names[(first + place) % len(names)]
        if name == names[-1] and model.space.n_states > 500:
            name = names[0]
        problem = problem_of(model, ESTEPS[name], values)
        params = model.initial(take_census(problem).moments, stream(0, "initial parameters").generator())
        if how == "sharp" and not values.any():
            continue  # noise of 1e-106 is no legal start
        change(params, how)
        state = start(problem, params)
        annealing = Annealing(temperature=((0, 3.0 if name == "few candidates" else 1.0), (3, 1.0)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                for report in TruncatedEM(problem, Training(n_sweeps=6, annealing=annealing)).sweeps(state):
                    assert np.isfinite(report.free_energy)
            except NumericalError as error:
                # Data whose spread is a millionth of their size or less, with noise of a millionth of that.
                if how != "sharp" or "no digit of the posterior; start with a larger sigma" not in str(error):
                    raise
        for parameter, spec in model.parameters(problem.n_observed).items():
            assert spec.constraint.first_illegal(state.params[parameter]) is None


@pytest.mark.parametrize("n_values", range(2, 10))
@pytest.mark.parametrize("n_latents", [1, 3])
def test_alphabets_of_any_size(n_values, n_latents):
    model = DSC(n_latents=n_latents, values=tuple(np.linspace(-1.0, 0.0, n_values)))
    for estep in (Preselection(n_candidates=4, max_active=5), Search(n_states=6)):
        problem = problem_of(model, estep, ROWS)
        params = model.initial(take_census(problem).moments, stream(0, "initial parameters").generator())
        reports = list(TruncatedEM(problem, Training(n_sweeps=5)).sweeps(start(problem, params)))
        assert reports[-1].free_energy > reports[0].free_energy
