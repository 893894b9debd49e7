"""Data and starts at the edge of what numbers can hold: a model learns from them, or says why it cannot."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from prosper_ng.errors import NumericalError
from prosper_ng.estep.clusters import Clusters
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.learning.census import take_census
from prosper_ng.models.capabilities import couples_latents
from prosper_ng.models.interface import Floats, ParameterSpec
from prosper_ng.models.roles import of_role
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.testing.cases import Check, ModelCase, assert_that
from prosper_ng.testing.problems import supported
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import Problem, TruncatedEM, start
from prosper_ng.training.settings import Training

_H = 5
_ROWS = np.random.default_rng(1).normal(size=(24, 6)) * 3 + np.random.default_rng(2).random((24, 6))
_HIDDEN = np.random.default_rng(3).random(_ROWS.shape) < 0.5
DATA: dict[str, Floats] = {
    "plain": _ROWS,
    "constant": np.full((12, 4), 3.0),
    "zeros": np.zeros((9, 3)),
    "one row": _ROWS[:1],
    "one dimension": _ROWS[:, :1],
    "one value": _ROWS[:1, :1],
    "a dead pixel": _ROWS * np.array([1, 1, 0, 1, 1, 1]),
    "repeated rows": np.repeat(_ROWS[:2], 10, axis=0),
    "more dimensions than rows": np.repeat(_ROWS, 10, axis=1),
    "single precision": _ROWS.astype(np.float32).astype(np.float64),
    "far from zero": _ROWS + 1e6,
    "small": _ROWS * 1e-17,
    "large": _ROWS * 1e12,
    "tiny": _ROWS * 1e-80,
    "huge": _ROWS * 1e80,
    "half of it missing": np.where(_HIDDEN, np.nan, _ROWS),
    "missing rows": np.where(np.arange(24)[:, None] < 5, np.nan, _ROWS),
}
"""Rows of real numbers; a model gets those of its support that are nearest."""
STARTS = ("plain", "sharp", "blunt", "never active", "always active", "twins", "one unused", "no dictionary")
ESTEPS: dict[str, EStep] = {
    "all states": Exhaustive(),
    "more candidates than latents": Preselection(n_candidates=9, max_active=9),
    "few candidates": Preselection(n_candidates=3, max_active=2),
    "search": Search(n_states=8),
    "clusters": Clusters(n_states=2, n_near=2),
    "more states than there are": Search(n_states=5000),
}


def small_problem(model: Any, estep: EStep, values: Floats) -> Problem:
    """Learning from a few rows in blocks of four."""
    rows = np.ascontiguousarray(values, dtype=np.float64)
    return Problem(model, estep, rows, RowBlocks(len(rows), 4), SerialCommunicator(), 0)


def _check_for(data: str) -> Check:
    def run(case: ModelCase) -> None:
        _learn_from_every_start(case, data)

    return Check(f"learning stays finite and legal: {data}", run)


CHECKS = [_check_for(data) for data in DATA]


def _learn_from_every_start(case: ModelCase, data: str) -> None:
    """Every start meets every E-step over the models and data, not over each pair of them."""
    model = case.make(_H)
    names = [name for name, estep in ESTEPS.items() if estep.serves(model.space)]
    values = supported(model, DATA[data])
    first = (len(repr(model)) + values.size) % len(names)
    for place, how in enumerate(STARTS):
        if how == "sharp" and not values.any():
            continue  # noise of 1e-106 is no legal start
        name = names[(first + place) % len(names)]
        if name == names[-1] and model.space.n_states > 500:
            name = names[0]
        problem = small_problem(model, _for_model(ESTEPS[name], model), values)
        params = model.initial(take_census(problem).moments, stream(0, "initial parameters").generator())
        _change(model.parameters(problem.n_observed), params, how)
        temperature = 3.0 if name == "few candidates" else 1.0
        _learn(problem, params, temperature, how, f"from a start that is {how}, by {name}")


def _for_model(estep: EStep, model: Any) -> EStep:
    """The E-step, which corrects no activities where these do not tell how many latents are active."""
    if isinstance(estep, Preselection) and couples_latents(model):
        return replace(estep, corrects_prior=False)
    return estep


def _learn(problem: Problem, params: NamedArrays, temperature: float, how: str, what: str) -> None:
    """Six sweeps."""
    state = start(problem, params)
    training = Training(n_sweeps=6, annealing=Annealing(temperature=((0, temperature), (3, 1.0))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            for report in TruncatedEM(problem, training).sweeps(state):
                assert_that(np.isfinite(report.free_energy), f"the free energy is not finite, {what}")
        except NumericalError as error:
            # Data whose spread is a millionth of their size or less, with noise of a millionth of that.
            if how != "sharp" or "no digit of the posterior; start with a larger sigma" not in str(error):
                raise AssertionError(f"learning ended, {what}: {error}") from error
        except Warning as warning:
            raise AssertionError(f"learning warned, {what}: {warning}") from warning
    for name, spec in problem.model.parameters(problem.n_observed).items():
        assert_that(spec.constraint.first_illegal(state.params[name]) is None, f"{name} is not legal, {what}")


def _change(specs: Mapping[str, ParameterSpec], params: NamedArrays, how: str) -> None:
    """Make a start a hard one, as far as there are parameters of these roles; all values stay legal."""
    dictionary, activity, noise = (of_role(specs, role) for role in ("dictionary", "activity", "noise"))
    changed = {name: np.array(params[name]) for name in (dictionary, activity, noise) if name is not None}
    if noise is not None:
        factor = {"sharp": 1e-6, "blunt": 1e6}.get(how, 1.0)
        changed[noise] *= factor**2 if changed[noise].ndim > 1 else factor
    if activity is not None and how in ("never active", "always active"):
        changed[activity][...] = 1e-10 if how == "never active" else 1 - 1e-10
    if activity is not None and how == "one unused" and changed[activity].shape == (_H,):
        changed[activity][2] = 1e-10
    if dictionary is not None and how == "twins":
        changed[dictionary][:, 1] = changed[dictionary][:, 0]
    if dictionary is not None and how == "no dictionary":
        changed[dictionary][...] = 0.0
    for name, values in changed.items():
        params[name] = specs[name].constraint.nearest(values)
