"""What is not observed counts in no selection, and is predicted from all that was observed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.models.bsc import BSC
from prosper_ng.models.dsc import DSC
from prosper_ng.models.gsc import GSC
from prosper_ng.models.interface import Batch, Moments
from prosper_ng.models.tsc import TSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.training.data_selection import batch_of

D, H = 5, 3
MODELS = [
    BSC(n_latents=H),
    BSC(n_latents=H, data_mean=True),
    TSC(n_latents=H, data_mean=True),
    DSC(n_latents=H, values=(-1.0, 0.0, 2.0), data_mean=True),
    GSC(n_latents=H),
    GSC(n_latents=H, noise="diagonal"),
    GSC(n_latents=H, noise="full"),
]
NAMES = [f"{type(model).__name__}-{number}" for number, model in enumerate(MODELS)]


def parameters(model, rng):
    """Parameters away from where they start, with a mean and correlated noise where there are any."""
    params = model.initial(Moments(50, 2.0 + rng.random(D), 1.0 + rng.random(D)), rng)
    if "Sigma" in params:
        factor = rng.standard_normal((D, D))
        params["Sigma"] = factor @ factor.T + np.eye(D)
    if "sigma" in params:
        params["sigma"] = params["sigma"] * (0.5 + rng.random(params["sigma"].shape))
    return params


def restricted(model, params, kept):
    """The parameters of the same model over the dimensions that were observed."""
    rows = {"W", "mu", "center"} if not isinstance(model, GSC) else {"W"}
    if isinstance(model, GSC) and model.noise == "diagonal":
        rows.add("sigma")
    arrays = {name: values[kept] if name in rows else values for name, values in params.items()}
    if "Sigma" in arrays:
        arrays["Sigma"] = params["Sigma"][np.ix_(kept, kept)]
    return NamedArrays.of(**arrays)


def selected(model, params, batch):
    prepared = model.prepare(params)
    return model.affinity(prepared, model.project(prepared, batch), batch)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32), gaps=st.lists(st.booleans(), min_size=D, max_size=D).filter(lambda g: not all(g)))
def test_a_selection_function_sees_observed_entries_only(model, seed, gaps):
    rng, missing = np.random.default_rng(seed), np.array(gaps)
    params, row = parameters(model, rng), 3 * rng.random(D)
    # A complete row beside it must not change what is found.
    values = np.stack([np.where(missing, np.nan, row), 3 * rng.random(D)])
    found = selected(model, params, batch_of(np.arange(2), values))[0]
    kept = np.flatnonzero(~missing)
    alone = Batch(np.zeros(1, np.int64), np.ascontiguousarray(row[None, kept]))
    expected = selected(model, restricted(model, params, kept), alone)[0]
    # GSC and DSC select up to a constant of the row.
    assert found - found[0] == pytest.approx(expected - expected[0], rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("slab", ["diagonal", "full"])
@pytest.mark.parametrize("noise", ["scalar", "diagonal", "full"])
def test_gaps_are_filled_with_their_mean_given_what_was_observed(noise, slab):
    rng = np.random.default_rng(4)
    model = GSC(n_latents=H, noise=noise, slab=slab)
    params = parameters(model, rng)
    params["mu"] = rng.standard_normal(H)
    values = 3 * rng.standard_normal((40, D))
    values[rng.random(values.shape) < 0.4] = np.nan
    values[0] = np.nan
    batch = batch_of(np.arange(40), values)
    prepared = model.prepare(params)
    projected = model.project(prepared, batch)
    codes = np.broadcast_to(model.space.enumerate(), (40, 2**H, model.space.words))
    weights = truncated_posterior(model.log_joint(prepared, projected, codes)).weights
    predicted = model.reconstruct(prepared, projected, codes, weights)
    for row, found in zip(values, predicted, strict=True):
        gaps = np.isnan(row)
        assert found[gaps] == pytest.approx(conditional_mean(params, row)[gaps], rel=1e-8, abs=1e-8)


def conditional_mean(params, row):
    """(D,) E[y | what was observed], from the joint mixture of Gaussians, state by state."""
    known = ~np.isnan(row)
    noise = params["Sigma"] if "Sigma" in params else np.diag(np.broadcast_to(params["sigma"], D) ** 2)
    slabs = params["Psi"] if "Psi" in params else np.diag(params["psi"])
    means, logs = [], []
    for number in range(2**H):
        state = np.array([number >> h & 1 for h in range(H)], float)
        W = params["W"] * state
        mean, covariance = W @ params["mu"], W @ slabs @ W.T + noise
        pi = np.broadcast_to(params["pi"], H)
        logs.append(np.log(np.where(state == 1, pi, 1 - pi)).sum())
        if known.any():
            own = covariance[np.ix_(known, known)]
            logs[-1] += stats.multivariate_normal.logpdf(row[known], mean[known], own)
            mean = mean + covariance[:, known] @ np.linalg.solve(own, row[known] - mean[known])
        means.append(mean)
    weights = np.exp(np.array(logs) - np.max(logs))
    return weights @ np.array(means) / weights.sum()
