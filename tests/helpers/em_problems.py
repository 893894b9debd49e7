"""Small problems for the EM loop, and what brute force makes of them."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import Moments
from prosper_ng.numerics.linear import packed
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.em import Problem, TruncatedEM, start
from prosper_ng.training.settings import Training

ESTEPS = {"exhaustive": Exhaustive(), "search": Search(n_states=5), "all found": Search(n_states=99)}


def make(
    model=None, estep=None, n_rows=60, n_observed=6, block_rows=4, n_parts=1, seed=0, params=None
) -> tuple[Problem, NamedArrays]:
    """A problem over rows of superimposed random fields, and parameters to start from."""
    model = model or BSC(n_latents=4)
    rng = np.random.default_rng(seed)
    fields = rng.normal(0.0, 3.0, (n_observed, 4))
    values = (rng.random((n_rows, 4)) < 0.3) @ fields.T + rng.standard_normal((n_rows, n_observed))
    blocks = RowBlocks(n_rows, block_rows, n_parts)
    problem = Problem(model, estep or Exhaustive(), values, blocks, SerialCommunicator(), seed)
    if params is None:
        moments = Moments(n_rows, values.mean(axis=0), values.var(axis=0))
        params = model.initial(moments, stream(seed, "initial parameters").generator())
    return problem, params


def train(problem: Problem, params: NamedArrays, n_sweeps=5, **training):
    """The final state, and the report of each sweep."""
    state = start(problem, params.copy())
    settled = Training(n_sweeps=n_sweeps, updates_per_sweep=problem.blocks.n_parts, **training)
    return state, list(TruncatedEM(problem, settled).sweeps(state))


def all_states(n_latents: int) -> np.ndarray:
    return np.array(list(product((0, 1), repeat=n_latents)))


def log_prior(params: NamedArrays, states: np.ndarray) -> np.ndarray:
    return stats.bernoulli.logpmf(states, np.asarray(params["pi"])).sum(axis=-1)


def log_likelihood(params: NamedArrays, values: np.ndarray, states: np.ndarray) -> np.ndarray:
    """(n, S) log p(y | s), in the slowest way."""
    return stats.norm.logpdf(values[:, None], (states @ params["W"].T)[None], params["sigma"]).sum(axis=-1)


def dense_statistics(values: np.ndarray, states: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The sufficient statistics of weights (n, S) over the same states for every row."""
    entropy = -np.where(weights > 0, weights * np.log(np.where(weights > 0, weights, 1.0)), 0.0).sum()
    return {
        "n": np.float64(weights.any(axis=1).sum()),
        "counts": (weights @ states).sum(axis=0)[:, None],
        "y_s": values.T @ (weights @ states),
        "s_s": packed(np.einsum("ns,si,sj->ij", weights, states, states)),
        "y_y": (values[weights.any(axis=1)] ** 2).sum(),
        "entropy": entropy,
    }


def assert_statistics(total: NamedArrays, expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        assert total[name] == pytest.approx(values, rel=1e-9, abs=1e-9), name


def total_of(state) -> NamedArrays:
    parts = state.totals.arrays()["parts"]
    return NamedArrays(state.totals.shapes, parts.sum(axis=0))
