"""Small problems of binary rows for the nets, and what brute force makes of them."""

import numpy as np
from scipy.special import expit, logsumexp

from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.models.interface import Moments
from prosper_ng.models.sbn import SBN
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training.em import Problem
from tests.helpers.em_problems import all_states

BLOCK_ROWS = 10


def binary_rows(n_rows=120, n_observed=6, n_latents=2, missing=0.0, seed=1):
    """Samples of a net."""
    rng = np.random.default_rng(seed)
    W, b = rng.normal(0.0, 3.0, (n_observed, n_latents)), rng.normal(-1.0, 0.5, n_observed)
    values, _ = SBN(n_latents=n_latents).sample(NamedArrays.of(W=W, b=b, pi=np.full(n_latents, 0.4)), n_rows, rng)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def net_problem(model, values, n_parts=1, estep=None, comm=None):
    """The problem, and parameters to start from."""
    problem = Problem(
        model, estep or Exhaustive(), values, RowBlocks(len(values), BLOCK_ROWS, n_parts),
        comm or SerialCommunicator(), 0,
    )  # fmt: skip
    moments = Moments(len(values), np.nanmean(values, axis=0), np.nanvar(values, axis=0))
    return problem, model.initial(moments, stream(0, "initial parameters").generator())


def exact(params, values):
    """log p(y) of each row (n,), the posterior of all states (n, S), and the states (S, H)."""
    states = all_states(len(params["pi"]))
    a = states @ params["W"].T + params["b"]
    likely = np.where(np.isnan(values)[:, None], 0.0, values[:, None] * a - np.logaddexp(0.0, a)).sum(axis=2)
    joint = likely + states @ np.log(params["pi"]) + (1 - states) @ np.log1p(-params["pi"])
    evidence = logsumexp(joint, axis=1)
    return evidence, np.exp(joint - evidence[:, None]), states


def gradients(params, values):
    """Of the mean of log p(y): in W, in b, and the mean activity."""
    _, posterior, states = exact(params, values)
    a = states @ params["W"].T + params["b"]
    slope = np.where(np.isnan(values)[:, None], 0.0, values[:, None] - expit(a)) * posterior[:, :, None]
    dW = np.einsum("nsd,sh->dh", slope, states) / len(values)
    return dW, slope.sum(axis=(0, 1)) / len(values), posterior.mean(axis=0) @ states
