import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.models.interface import Batch, Floats, Moments, MStep
from prosper_ng.models.mca import MCA
from prosper_ng.models.mmca import MMCA
from prosper_ng.numerics.elementary import fast_exp, fast_log
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.superposition import maximum, power_mean, powers_of, squared_distance, winners

MODELS = pytest.mark.parametrize(
    "make",
    [
        lambda n: MCA(n_latents=n),
        lambda n: MCA(n_latents=n, superposition="soft", unused="redraw"),
        lambda n: MMCA(n_latents=n, unused="redraw"),
        lambda n: MMCA(n_latents=n, superposition="soft"),
    ],
    ids=["mca", "mca-soft", "mmca", "mmca-soft"],
)
SIZES = {"k": st.integers(0, 6), "n_observed": st.integers(1, 40), "seed": st.integers(0, 2**32)}


@njit
def each_exp(x: Floats, result: Floats) -> None:
    for i in range(len(x)):
        result[i] = fast_exp(x[i])


@njit
def each_log(x: Floats, result: Floats) -> None:
    for i in range(len(x)):
        result[i] = fast_log(x[i])


def test_exp_and_log_are_right_to_the_last_digits():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-700, 700, 20_000), rng.uniform(-1, 1, 20_000), [0.0, -700.0, 1e-300]])
    result = np.empty_like(x)
    each_exp(x, result)
    assert result == pytest.approx(np.exp(x), rel=5e-16, abs=0)
    x = np.concatenate([10 ** rng.uniform(-307, 308, 20_000), rng.uniform(0.5, 2, 20_000), [1.0, 2.3e-308, 1e308]])
    result = np.empty_like(x)
    each_log(x, result)
    assert result == pytest.approx(np.log(x), rel=7e-16, abs=0)


def test_exp_of_what_is_negligible_is_zero():
    x = np.array([-701.0, -1e5, -1e300, -np.inf])
    result = np.empty_like(x)
    each_exp(x, result)
    assert (result == 0.0).all()


def fields_and_latents(k: int, n_observed: int, seed: int) -> tuple[Floats, np.ndarray]:
    """Six latents, among their entries ties, zeros and both signs."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(6, n_observed)).round(rng.integers(0, 4))
    return fields, rng.permutation(6)


@settings(deadline=None)
@given(**SIZES)
def test_maximum_and_its_winner_are_those_of_a_plain_search(k, n_observed, seed):
    fields, latents = fields_and_latents(k, n_observed, seed)
    scratch = np.full((4, n_observed), np.nan)
    active = fields[latents[:k]]
    won = np.abs(active).argmax(axis=0) if k else np.zeros(n_observed, int)
    expected = np.take_along_axis(active, won[None], axis=0)[0] if k else np.zeros(n_observed)
    assert (scratch[maximum(fields, latents, k, scratch)] == expected).all()
    assert (scratch[winners(fields, latents, k, scratch)] == won).all()


@settings(deadline=None)
@given(**SIZES, rho=st.floats(1.01, 21), scale=st.sampled_from([1e-100, 1e-5, 1.0, 1e100]))
def test_power_mean_is_that_of_a_plain_sum_at_any_scale(k, n_observed, seed, rho, scale):
    fields, latents = fields_and_latents(k, n_observed, seed)
    active = fields[latents[:k]].astype(np.longdouble)
    total = (np.sign(active) * np.abs(active) ** rho).sum(axis=0)
    expected = scale * (np.sign(total) * np.abs(total) ** (1 / np.longdouble(rho))).astype(float)
    scratch = np.full((4, n_observed), np.nan)
    of_fields = powers_of(fields * scale, rho)
    power_mean(fields * scale, of_fields.powers, of_fields.scale, rho, latents, k, scratch)
    # Where entries of both signs cancel, the root makes much of what rounding leaves.
    largest = np.abs(active).max(axis=0, initial=0).astype(float)
    cancels = np.abs(total).astype(float) < 1e-3 * largest**rho
    left_over = np.where(cancels, 1e-11 ** (1 / rho), 1e-11) * np.maximum(largest, 1e-200) * scale
    # What is too small beside the largest of all latents counts as exp(-700 / rho) of that.
    raised = 7 * np.exp(-700 / rho) * np.abs(fields).max(axis=0) * scale
    assert (np.abs(scratch[1] - expected) <= left_over + raised + 1e-299).all()


def test_power_mean_comes_to_the_maximum_as_its_exponent_grows():
    fields, latents = np.array([[3.0, -2.0, 0.0], [1.0, 1.9, 0.0], [2.9, -1.0, 0.0]]), np.arange(3)
    scratch, power = np.empty((4, 3)), powers_of(fields, 600.0)
    power_mean(fields, power.powers, power.scale, 600.0, latents, 3, scratch)
    assert scratch[1] == pytest.approx([3.0, -2.0, 0.0], rel=1e-11, abs=1e-290)


@settings(deadline=None)
@given(n_observed=st.integers(1, 100), seed=st.integers(0, 2**32))
def test_squared_distance_counts_what_is_observed(n_observed, seed):
    rng = np.random.default_rng(seed)
    y, mean = rng.normal(size=(2, n_observed))
    observed = (rng.random(n_observed) < 0.7).astype(float)
    distance = squared_distance(y, observed, mean, np.empty(n_observed))
    assert distance == pytest.approx(np.sum(observed * (y - mean) ** 2), rel=1e-13)


def sums_of(model, params: NamedArrays, values: Floats, observed=None, weights=None, temperature: float = 1.0):
    batch = Batch(np.arange(len(values)), values, observed)
    prepared = model.prepare(params, temperature)
    projected = model.project(prepared, batch)
    codes = np.ascontiguousarray(np.broadcast_to(model.space.enumerate(), (len(values), model.space.n_states, 1)))
    posterior = truncated_posterior(model.log_joint(prepared, projected, codes))
    sums = NamedArrays(model.statistics(values.shape[1]))
    model.accumulate(prepared, projected, batch, codes, posterior.weights if weights is None else weights, sums)
    return sums


@MODELS
def test_shares_are_the_derivatives_of_the_mean(make):
    model, rng = make(3), np.random.default_rng(4)
    params = NamedArrays.of(W=rng.uniform(0.5, 2, (7, 3)), sigma=1.0, pi=np.full(3, 0.3))
    everything = model.space.encode(np.ones((1, 1, 3), int))
    shares = np.zeros((7, 3))
    for h in range(3):
        ends = []
        for step in (1e-6, -1e-6):
            moved = params.copy()
            moved["W"][:, h] += step
            ends.append(model.reconstruct(model.prepare(moved, 3.0), None, everything, np.ones((1, 1)))[0])
        shares[:, h] = (ends[0] - ends[1]) / 2e-6
    only_all = np.zeros((1, 8))
    only_all[0, -1] = 1.0
    sums = sums_of(model, params, np.ones((1, 7)), weights=only_all, temperature=3.0)
    assert sums["A"] == pytest.approx(shares, abs=1e-8)


def test_temperature_softens_the_soft_maximum_only():
    for model, exponents in (
        (MCA(n_latents=2, superposition="soft"), {1.0: 21.0, 1.05: 21.0, 2.0: 2.0, 4.0: 4 / 3}),
        (MMCA(n_latents=2, superposition="soft"), {0.5: 6.0, 1.2: 6.0, 2.0: 2.0, 1e20: 1.0}),
        (MCA(n_latents=2), {1.0: np.inf, 4.0: np.inf}),
    ):
        params = model.initial(Moments(9, np.ones(3), np.ones(3)), np.random.default_rng(0))
        for temperature, rho in exponents.items():
            assert model.prepare(params, temperature).rho == pytest.approx(rho, rel=1e-12)


HARD_CASES = {
    "one row": (np.array([[1.0, 2.0, -3.0]]), 1.0),
    "one dimension": (np.linspace(-1, 3, 20)[:, None], 0.5),
    "constant data": (np.full((12, 4), 3.0), 1.0),
    "zeros": (np.zeros((12, 4)), 1e-6),
    "tiny noise": (np.repeat(np.eye(4) * 5, 5, axis=0), 1e-6),
    "huge noise": (np.repeat(np.eye(4) * 5, 5, axis=0), 1e6),
    "tiny data": (1e-90 * np.random.default_rng(1).normal(size=(30, 4)), 1e-90),
    "huge data": (1e90 * np.random.default_rng(2).normal(size=(30, 4)), 1e90),
    "float32": (np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32), 1.0),
}


@MODELS
@pytest.mark.parametrize("case", list(HARD_CASES))
@pytest.mark.parametrize("twin", [False, True], ids=["", "zero-and-equal-columns"])
def test_hard_cases_stay_finite_and_legal(make, case, twin):
    values, sigma = HARD_CASES[case]
    model, rng = make(4), np.random.default_rng(0)
    moments = Moments(len(values), values.mean(axis=0).astype(float), values.var(axis=0).astype(float))
    params = model.initial(moments, rng)
    params["sigma"] = sigma
    if twin:
        params["W"][:, 0] = 0.0
        params["W"][:, 2] = params["W"][:, 1]
        params["pi"] = np.array([1e-10, 1 - 1e-10, 0.5, 1e-10])
    for _ in range(15):
        sums = sums_of(model, params, values)
        assert np.isfinite(sums.buffer).all()
        before, last = model.expected_log_joint(params, sums), params
        params = model.maximize(params, sums, MStep(frozenset(params), rng=rng))
        assert np.isfinite(params.buffer).all()
        for name, spec in model.parameters(values.shape[1]).items():
            assert ((params[name] >= spec.low) & (params[name] <= spec.high)).all()
        slack = model.rounding(last, sums) + model.rounding(params, sums)
        assert model.expected_log_joint(params, sums) >= before - slack - 1e-9 * abs(before)


@MODELS
def test_rows_without_a_value_change_nothing_but_the_activity(make):
    model, rng = make(3), np.random.default_rng(5)
    params = model.initial(Moments(20, np.ones(5), np.ones(5)), rng)
    values = np.abs(rng.normal(size=(20, 5)))
    observed = rng.random(values.shape) < 0.6
    observed[:8] = False
    seen = np.where(observed, values, 0.0)
    whole, rest = sums_of(model, params, seen, observed), sums_of(model, params, seen[8:], observed[8:])
    assert whole["n"] == 20
    assert whole["n_values"] == observed.sum()
    new, expected = (model.maximize(params, sums, MStep(frozenset(params))) for sums in (whole, rest))
    assert new["W"] == pytest.approx(expected["W"])
    assert new["sigma"] == pytest.approx(expected["sigma"])
    nothing = sums_of(model, params, 0 * seen, np.zeros_like(observed))
    unchanged = model.maximize(params, nothing, MStep(frozenset(params)))
    assert unchanged.buffer == pytest.approx(params.buffer)


@MODELS
def test_an_unused_latent_keeps_its_element_or_gets_a_new_one_and_the_user_hears_of_it(make):
    model, rng = make(2), np.random.default_rng(6)
    params = NamedArrays.of(W=np.full((4, 2), 2.0), sigma=1.0, pi=np.array([0.5, 0.5]))
    values = 3.0 + rng.normal(size=(30, 4))
    weights = np.zeros((30, 4))
    weights[:, model.space.decode(model.space.enumerate()).tolist().index([1, 0])] = 1.0
    step = MStep(frozenset({"W"}), rng=rng)
    new = model.maximize(params, sums_of(model, params, values, weights=weights), step)
    assert new["W"][:, 0] == pytest.approx(values.mean(axis=0))
    assert (new["W"][:, 1] == params["W"][:, 1]).all() == (model.unused == "keep")
    assert (new["W"] >= model.parameters(4)["W"].low).all()
    assert "1 latents" in step.notes[0]


@MODELS
def test_an_entry_that_never_wins_keeps_its_value(make):
    model = make(2)
    params = NamedArrays.of(W=np.array([[9.0, 1e-9], [1e-9, 9.0]]), sigma=1.0, pi=np.array([0.5, 0.5]))
    weights = np.zeros((5, 4))
    weights[:, -1] = 1.0
    new = model.maximize(params, sums_of(model, params, np.full((5, 2), 7.0), weights=weights), MStep(frozenset({"W"})))
    assert np.diagonal(new["W"]) == pytest.approx([7.0, 7.0])
    if model.superposition == "hard":
        assert new["W"][0, 1] == new["W"][1, 0] == 1e-9
