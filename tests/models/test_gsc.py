"""Spike-and-slab coding beside dense Gaussian algebra, and where numbers are hard."""

import warnings
from itertools import product

import numpy as np
import pytest
from scipy import stats

from prosper_ng.latents.posterior import TruncatedPosterior, truncated_posterior
from prosper_ng.models.bsc import BSC
from prosper_ng.models.gsc import GSC, Projected
from prosper_ng.models.interface import Batch, Floats, Moments, MStep
from prosper_ng.numerics.linear import packed
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing import ModelCase, parametrize_with_checks, random_parameters
from tests.models.test_bsc import prior

KINDS = list(product(["scalar", "diagonal", "full"], ["diagonal", "full"]))
MODELS = pytest.mark.parametrize(
    "model", [GSC(n_latents=4, noise=n, slab=s) for n, s in KINDS], ids=map("-".join, KINDS)
)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y): Gaussian around W_a mu_a, covariance W_a Psi_aa W_aᵀ + Sigma, over the observed entries."""
    Psi, Sigma = covariances(params)
    likelihood = np.zeros((len(values), len(states)))
    for column, state in enumerate(states):
        W = params["W"] * state
        mean, covariance = W @ params["mu"], W @ Psi @ W.T + Sigma
        for shown in np.unique(observed, axis=0)[np.unique(observed, axis=0).any(axis=1)]:
            rows = np.flatnonzero((observed == shown).all(axis=1))
            density = stats.multivariate_normal(mean[shown], covariance[np.ix_(shown, shown)])
            likelihood[rows, column] = density.logpdf(values[np.ix_(rows, shown)])
    return likelihood + prior(model, params, states)


def case(**options):
    return ModelCase(lambda n_latents: GSC(n_latents=n_latents, **options), log_joint, prior)


# Noise and slabs go by different code, which meets in few lines: each choice of both is in one case, and all pairs
# meet the dense algebra, the hard data and the hard starts of this file.
CASES = {
    "gsc-scalar-diagonal": case(),
    "gsc-diagonal-full": case(noise="diagonal", slab="full", shared_pi=True),
    "gsc-full-diagonal": case(noise="full"),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


class Expectation:
    """The posterior over given states, or all, and its statistics."""

    def __init__(
        self, model: GSC, params: NamedArrays, values: Floats, observed: np.ndarray | None = None,
        states: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        shown = values if observed is None else np.where(observed, values, 0.0)
        self.model, self.params = model, params
        self.batch = Batch(np.arange(len(values)), shown, observed)
        codes = model.space.enumerate() if states is None else model.space.encode(states)
        self.codes = np.ascontiguousarray(np.broadcast_to(codes, (len(values), *codes.shape)))
        self.prepared = model.prepare(params)
        self.projected: Projected = model.project(self.prepared, self.batch)
        self.log_joint = model.log_joint(self.prepared, self.projected, self.codes)
        self.posterior: TruncatedPosterior = truncated_posterior(self.log_joint)

    def sums(self) -> NamedArrays:
        result = NamedArrays(self.model.statistics(self.batch.values.shape[1]))
        self.model.accumulate(self.prepared, self.projected, self.batch, self.codes, self.posterior.weights, result)
        return result


def data(model: GSC, n_rows: int = 30, n_observed: int = 5, seed: int = 0) -> tuple[NamedArrays, Floats]:
    """Parameters, and rows from other parameters."""
    rng = np.random.default_rng(seed)
    params = random_parameters(model, n_observed, rng)
    return params, model.sample(random_parameters(model, n_observed, rng), n_rows, rng)[0]


def covariances(params: NamedArrays) -> tuple[Floats, Floats]:
    """Of slabs and noise."""
    Psi = params["Psi"] if "Psi" in params else np.diag(params["psi"])
    Sigma = params["Sigma"] if "Sigma" in params else np.eye(len(params["W"])) * params["sigma"] ** 2
    return Psi, Sigma


def dense_moments(params: NamedArrays, y: Floats, known: np.ndarray, state: np.ndarray) -> tuple[Floats, Floats, float]:
    """Mean (H + D,) and covariance of all slabs and all of y given a state and the known part of y, and the entropy."""
    H, W = len(state), params["W"] * state
    Psi, Sigma = covariances(params)
    mean = np.concatenate([params["mu"], W @ params["mu"]])
    covariance = np.block([[Psi, Psi @ W.T], [W @ Psi, W @ Psi @ W.T + Sigma]])
    given = np.concatenate([np.zeros(H, bool), known])
    gain = covariance[:, given] @ np.linalg.inv(covariance[np.ix_(given, given)])
    mean = mean + gain @ (y[known] - mean[given])
    covariance = covariance - gain @ covariance[given]
    hidden = ~given
    if "psi" in params:
        hidden[:H] = state > 0
    own = covariance[np.ix_(hidden, hidden)]
    return mean, covariance, 0.5 * np.linalg.slogdet(2 * np.pi * np.e * own)[1]


@MODELS
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
def test_statistics_equal_dense_gaussian_conditioning(model, missing):
    params, values = data(model, n_rows=8)
    rng = np.random.default_rng(1)
    observed = rng.random(values.shape) < 0.5
    observed[:2] = [[False], [True]]
    found = Expectation(model, params, values, observed if missing else None)
    known = observed if missing else np.ones_like(observed)
    states = model.space.decode(model.space.enumerate())
    exact = NamedArrays(model.statistics(5))
    for y, shown, weights in zip(values, known, found.posterior.weights, strict=True):
        exact["n"] += 1
        for state, weight in zip(states, weights, strict=True):
            mean, covariance, entropy = dense_moments(params, y, shown, state)
            z, y_mean, second = mean[:4], mean[4:], covariance + np.outer(mean, mean)
            exact["hidden_entropy"] += weight * entropy
            exact["s"] += weight * state
            exact["sz"] += weight * state * z
            exact["szsz"] += weight * packed(second[:4, :4] * np.outer(state, state))
            exact["y_sz"] += weight * second[4:, :4] * state
            y_y = second[4:, 4:]
            assert y_mean[shown] == pytest.approx(y[shown])
            forms = {"scalar": np.trace(y_y), "diagonal": np.diagonal(y_y), "full": y_y[np.tril_indices(5)]}
            exact["y_y"] += weight * forms[model.noise]
            if model.slab == "full":
                exact["z"] += weight * z
                exact["zz"] += weight * second[:4, :4]
    sums = found.sums()
    for name in exact:
        assert sums[name] == pytest.approx(exact[name], rel=1e-9, abs=1e-9), name


@MODELS
def test_statistics_of_earlier_parameters_bound_the_likelihood_at_later_ones(model):
    """What incremental EM relies on: the statistics hold no parameters."""
    params, values = data(model)
    observed = np.random.default_rng(3).random(values.shape) < 0.8
    first = Expectation(model, params, values[:15], observed[:15])
    second = Expectation(model, data(model, seed=7)[0], values[15:], observed[15:])
    total = first.sums()
    total.buffer += second.sums().buffer
    entropy = first.posterior.entropy.sum() + second.posterior.entropy.sum() + total["hidden_entropy"]
    last = -np.inf
    for names in (["W"], ["mu", "pi"], ["psi", "Psi"], ["sigma", "Sigma"], list(params)):
        params = model.maximize(params, total, MStep(frozenset(names)))
        bound = model.expected_log_joint(params, total) + entropy
        assert bound >= last - 1e-9 * abs(bound)
        assert bound <= Expectation(model, params, values, observed).posterior.free_energy.sum()
        last = bound


@MODELS
def test_states_of_every_size_in_two_words(model):
    """Seventy latents, more states than lanes, all at once, repeated and alone: the same bits, the right ones."""
    model = GSC(n_latents=70, noise=model.noise, slab=model.slab)
    rng = np.random.default_rng(0)
    params, values = data(model, n_rows=3, n_observed=9)
    sizes = np.concatenate([np.arange(71), np.full(70, 3), np.full(40, 5)])
    states = np.array([rng.permutation(np.arange(70) < k) for k in sizes]).astype(np.int64)
    found = Expectation(model, params, values, states=states)
    expected = log_joint(model, params, values, states, np.ones(values.shape, bool))
    assert found.log_joint == pytest.approx(expected, rel=1e-9)
    some = rng.permutation(len(states))[:50]
    alone = model.log_joint(found.prepared, found.projected, found.codes[:, some].copy())
    assert (alone == found.log_joint[:, some]).all()
    observed = rng.random(values.shape) < 0.6
    incomplete = Expectation(model, params, values, observed, states)
    expected = log_joint(model, params, values, states, observed)
    assert incomplete.log_joint == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("noise", ["scalar", "diagonal", "full"])
def test_missing_entries_that_are_not_missing_change_nothing(noise):
    model = GSC(n_latents=4, noise=noise)
    params, values = data(model)
    plain, marked = (Expectation(model, params, values, observed) for observed in (None, np.ones(values.shape, bool)))
    assert (plain.log_joint == marked.log_joint).all()
    assert (plain.sums().buffer == marked.sums().buffer).all()
    # One missing entry in another row sends all rows through the other path.
    observed = np.ones(values.shape, bool)
    observed[0, 0] = False
    mixed = Expectation(model, params, values, observed)
    assert mixed.log_joint[1:] == pytest.approx(plain.log_joint[1:], rel=1e-12)


def test_rows_without_any_entry_have_the_prior_as_posterior():
    for model in (GSC(n_latents=4, noise=noise) for noise in ("scalar", "diagonal", "full")):
        params, values = data(model, n_rows=2)
        found = Expectation(model, params, values, np.zeros(values.shape, bool))
        assert found.log_joint == pytest.approx(model.log_prior(found.prepared, found.codes), rel=1e-12)
        reconstructed = model.reconstruct(found.prepared, found.projected, found.codes, found.posterior.weights)
        assert reconstructed[1] == pytest.approx(params["W"] @ (params["pi"] * params["mu"]), rel=1e-10)


def test_a_row_is_completed_from_what_is_known_of_it():
    rng = np.random.default_rng(0)
    model = GSC(n_latents=4)
    params = random_parameters(model, 30, rng)
    params["sigma"] = 0.01
    values, _ = model.sample(params, 20, rng)
    observed = rng.random(values.shape) < 0.6
    found = Expectation(model, params, values, observed)
    reconstructed = model.reconstruct(found.prepared, found.projected, found.codes, found.posterior.weights)
    assert np.abs(reconstructed - values)[~observed].max() < 0.1


def test_slabs_without_width_are_binary_coding():
    rng = np.random.default_rng(0)
    gsc, bsc = GSC(n_latents=4), BSC(n_latents=4)
    params = random_parameters(bsc, 5, rng)
    values, _ = bsc.sample(params, 30, rng)
    batch, codes = Batch(np.arange(30), values), gsc.space.enumerate()
    codes = np.ascontiguousarray(np.broadcast_to(codes, (30, *codes.shape)))
    narrow = NamedArrays.of(**params, mu=np.ones(4), psi=np.full(4, 1e-30))
    joints = [
        model.log_joint(prepared := model.prepare(each), model.project(prepared, batch), codes)
        for model, each in ((gsc, narrow), (bsc, params))
    ]
    assert joints[0] == pytest.approx(joints[1], rel=1e-12)


@MODELS
def test_samples_have_the_mean_and_covariance_of_the_model(model):
    rng = np.random.default_rng(2)
    params = random_parameters(model, 3, rng)
    values, _ = model.sample(params, 100_000, rng)
    Psi, Sigma = covariances(params)
    pi, mu, W = np.broadcast_to(params["pi"], 4), params["mu"], params["W"]
    second = (Psi + np.outer(mu, mu)) * (np.outer(pi, pi) + np.diag(pi * (1 - pi)))
    covariance = W @ (second - np.outer(pi * mu, pi * mu)) @ W.T + Sigma
    assert values.mean(axis=0) == pytest.approx(W @ (pi * mu), abs=0.05 * np.sqrt(covariance.max()))
    assert np.cov(values.T) == pytest.approx(covariance, abs=0.03 * covariance.max())


@pytest.mark.parametrize("unused", ["keep", "redraw"])
def test_a_latent_that_no_state_uses_is_kept_or_redrawn_and_that_is_said(unused):
    model = GSC(n_latents=4, unused=unused)
    params, values = data(model)
    states = model.space.decode(model.space.enumerate())
    sums = Expectation(model, params, values, states=states[states[:, 2] == 0]).sums()
    step = MStep(frozenset(params), rng=np.random.default_rng(0))
    new = model.maximize(params, sums, step)
    assert (new["mu"][2], new["psi"][2]) == (params["mu"][2], params["psi"][2])
    assert (new["W"][:, 2] == params["W"][:, 2]).all() == (unused == "keep")
    word = "keep" if unused == "keep" else "anew"
    assert len(step.notes) == 1
    assert word in step.notes[0]
    assert model.expected_log_joint(new, sums) >= model.expected_log_joint(params, sums)


def test_prior_correction_raises_the_activity():
    model = GSC(n_latents=4)
    params, values = data(model)
    sums = Expectation(model, params, values, states=np.eye(4, dtype=int)).sums()
    plain, corrected = (model.maximize(params, sums, MStep(frozenset(params), most)) for most in (None, 1))
    assert (corrected["pi"] > plain["pi"]).all()
    assert (corrected["W"] == plain["W"]).all()


@pytest.mark.parametrize("noise", ["scalar", "full"])
def test_covariances_that_noise_on_parameters_has_bent_are_mended(noise):
    model = GSC(n_latents=4, noise=noise, slab="full")
    params, values = data(model)
    for name in {"Psi", "Sigma"} & set(params):
        params[name] += 3 * np.random.default_rng(0).standard_normal(params[name].shape)
    found = Expectation(model, params, values)
    sums = found.sums()
    free_energy = model.expected_log_joint(params, sums) + found.posterior.entropy.sum() + sums["hidden_entropy"]
    expected = found.posterior.free_energy.sum()
    assert free_energy == pytest.approx(expected, rel=1e-9, abs=model.rounding(params, sums))
    assert np.isfinite(model.maximize(params, sums, MStep(frozenset(params))).buffer).all()
    assert np.isfinite(model.sample(params, 5, np.random.default_rng(0))[0]).all()


@pytest.mark.parametrize(("noise", "slab"), KINDS)
def test_learning_finds_the_model_that_made_the_data(noise, slab):
    rng = np.random.default_rng(4)
    model = GSC(n_latents=3, noise=noise, slab=slab)
    truth = random_parameters(model, 9, rng)
    truth["W"] *= 3
    truth["pi"] = 0.4
    values, _ = model.sample(truth, 1500, rng)
    params = truth.copy()
    params["W"] += rng.normal(0, 1, params["W"].shape)
    params["pi"], params["mu"] = 0.5, 0.0
    for _ in range(60):
        params = model.maximize(params, Expectation(model, params, values).sums(), MStep(frozenset(params)))
    best = Expectation(model, params, values).posterior.free_energy.mean()
    assert best > Expectation(model, truth, values).posterior.free_energy.mean()
    assert covariances(params)[1] == pytest.approx(covariances(truth)[1], abs=0.15 * covariances(truth)[1].max())
    assert params["pi"] == pytest.approx(0.4, abs=0.06)


Y = GSC(n_latents=4).sample(
    random_parameters(GSC(n_latents=4), 5, np.random.default_rng(0)), 40, np.random.default_rng(1)
)[0]
HARD_DATA = {
    "constant": np.full((30, 4), 3.0),
    "zero": np.zeros((20, 3)),
    "a dead pixel": Y * np.array([1, 1, 0, 1, 1]),
    "a constant pixel": Y * np.array([1, 1, 0, 1, 1]) + np.array([0, 0, 2, 0, 0]),
    "one dimension": Y[:, :1],
    "one row": Y[:1],
    "two rows": Y[:2],
    "more dimensions than rows": np.repeat(Y, 10, axis=1),
    "one direction": np.outer(Y[:, 0], np.arange(1.0, 6.0)),
    "large": Y * 1e8,
    "small": Y * 1e-8,
    "far from zero": Y + 1e6,
    "units": Y * 10.0 ** np.array([-6, -3, 0, 3, 6]),
}
HARD_STARTS = {
    "sharp noise": {"sigma": 1e-6},
    "wide noise": {"sigma": 1e6},
    "narrow slabs": {"psi": 1e-12},
    "no slabs": {"psi": 1e-30},
    "wide slabs": {"psi": 1e12},
    "sharp and narrow": {"sigma": 1e-6, "psi": 1e-12},
    "rarely active": {"pi": 1e-10},
    "always active": {"pi": 1 - 1e-10},
    "twins": {"twins": 1.0},
    "sharp twins": {"twins": 1.0, "sigma": 1e-6},
}


def run_em(
    model: GSC, params: NamedArrays, values: Floats, observed: np.ndarray | None = None, n_steps: int = 5
) -> None:
    """EM that checks everything a run would."""
    last, rounding = -np.inf, 0.0
    for _ in range(n_steps):
        found = Expectation(model, params, values, observed)
        free_energy, sums = found.posterior.free_energy.sum(), found.sums()
        assert np.isfinite(found.log_joint).all()
        assert np.isfinite(sums.buffer).all()
        assert free_energy >= last - rounding - 1e-11 * abs(free_energy)
        before, rounding = model.expected_log_joint(params, sums), model.rounding(params, sums)
        identity = before + found.posterior.entropy.sum() + float(sums["hidden_entropy"])
        assert identity == pytest.approx(free_energy, rel=1e-11, abs=rounding)
        new = model.maximize(params, sums, MStep(frozenset(params)))
        for name, spec in model.parameters(values.shape[1]).items():
            assert np.isfinite(new[name]).all()
            assert spec.constraint.first_illegal(new[name]) is None
        after, tolerance = model.expected_log_joint(new, sums), rounding + model.rounding(new, sums)
        assert after >= before - tolerance - 1e-11 * max(abs(before), abs(after))
        params, last = new, free_energy


def start(model: GSC, values: Floats) -> NamedArrays:
    moments = Moments(len(values), values.mean(axis=0), values.var(axis=0))
    return model.initial(moments, np.random.default_rng(0))


@MODELS
@pytest.mark.parametrize("values", list(HARD_DATA.values()), ids=list(HARD_DATA))
def test_hard_data(model, values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_em(model, start(model, values), values)


@MODELS
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("change", list(HARD_STARTS.values()), ids=list(HARD_STARTS))
def test_hard_starts(model, change, missing):
    params = start(model, Y)
    observed = np.random.default_rng(0).random(Y.shape) < 0.6 if missing else None
    for name, power in (("psi", 1), ("Psi", 1), ("sigma", 1), ("Sigma", 2)):
        if name in params:
            params[name] *= change.get(name.lower(), 1.0) ** power
    params["pi"] = change.get("pi", params["pi"])
    if "twins" in change:
        params["W"][:, 1], params["W"][:, 2] = params["W"][:, 0], -params["W"][:, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_em(model, params, Y, observed)
