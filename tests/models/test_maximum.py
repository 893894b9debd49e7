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
from prosper_ng.numerics.superposition import (
    maximum,
    power_mean,
    powers_of,
    room_for_superposition,
    squared_distance,
    winners,
)

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
    scratch = room_for_superposition(fields)[1]
    power_mean(fields * scale, powers_of(fields * scale, rho), latents, k, scratch)
    # Where entries of both signs cancel, the root makes much of what rounding leaves.
    largest = np.abs(active).max(axis=0, initial=0).astype(float)
    cancels = np.abs(total).astype(float) < 1e-3 * largest**rho
    left_over = np.where(cancels, 1e-11 ** (1 / rho), 1e-11) * np.maximum(largest, 1e-200) * scale
    # What is too small beside the largest of all latents counts as exp(-700 / rho) of that.
    raised = 7 * np.exp(-700 / rho) * np.abs(fields).max(axis=0) * scale
    assert (np.abs(scratch[1, :n_observed] - expected) <= left_over + raised + 1e-299).all()


def test_power_mean_comes_to_the_maximum_as_its_exponent_grows():
    fields, latents = np.array([[3.0, -2.0, 0.0], [1.0, 1.9, 0.0], [2.9, -1.0, 0.0]]), np.arange(3)
    scratch = room_for_superposition(fields)[1]
    power_mean(fields, powers_of(fields, 600.0), latents, 3, scratch)
    assert scratch[1, :3] == pytest.approx([3.0, -2.0, 0.0], rel=1e-11, abs=1e-290)


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
    y, mean = rng.normal(size=(1, 7)), model.reconstruct(model.prepare(params, 3.0), None, everything, np.ones((1, 1)))
    sums = sums_of(model, params, y, weights=only(model, [1, 1, 1]), temperature=3.0)
    of_all = shares.sum(axis=1, keepdims=True)
    assert sums["A"] == pytest.approx(shares * of_all, abs=1e-8)
    assert sums["A_y"] == pytest.approx(shares * ((y - mean).T + of_all * params["W"]), abs=1e-8)


SOFT = pytest.mark.parametrize("kind", [MCA, MMCA])
MISSING = pytest.mark.parametrize("missing", [False, True], ids=["", "missing"])


def only(model, state: list[int], n_rows: int = 1) -> Floats:
    """Weights (n_rows, 2^H) of one state with certainty."""
    states = model.space.decode(model.space.enumerate()).tolist()
    weights = np.zeros((n_rows, len(states)))
    weights[:, states.index(state)] = 1.0
    return weights


def rows_of_either_sign(kind, rng, missing: bool):
    """Fields (5, 3) and rows (30, 5), positive for MCA, of a sign for each dimension for MMCA; which are observed."""
    sign = np.ones(5) if kind is MCA else np.array([1.0, -1.0, 1.0, -1.0, -1.0])
    W, values = sign[:, None] * rng.uniform(0.5, 3, (5, 3)), sign * rng.uniform(0.1, 4, (30, 5))
    observed = rng.random(values.shape) < 0.7 if missing else None
    params = NamedArrays.of(W=W, sigma=0.8, pi=np.full(3, 0.3))
    return params, values if observed is None else np.where(observed, values, 0.0), observed


@SOFT
@MISSING
def test_causes_that_are_on_together_come_to_the_mean_of_the_data(kind, missing):
    """Each drawn to the data as if it were alone, two equal ones would end at sqrt(2) times that."""
    model = kind(n_latents=3, superposition="soft")
    params, values, observed = rows_of_either_sign(kind, np.random.default_rng(7), missing)
    weights = only(model, [1, 0, 1], len(values))
    for _ in range(100):
        sums = sums_of(model, params, values, observed, weights, temperature=2.0)
        params = model.maximize(params, sums, MStep(frozenset({"W"})))
    mean = model.reconstruct(
        model.prepare(params, 2.0), None, model.space.encode(np.array([[[1, 0, 1]]])), np.ones((1, 1))
    )
    seen = np.ones(values.shape) if observed is None else observed
    assert mean[0] == pytest.approx(values.sum(axis=0) / seen.sum(axis=0), rel=1e-12)


@SOFT
@MISSING
def test_the_soft_update_of_single_causes_is_the_hard_one(kind, missing):
    soft, hard = kind(n_latents=3, superposition="soft"), kind(n_latents=3)
    rng = np.random.default_rng(8)
    params, values, observed = rows_of_either_sign(kind, rng, missing)
    weights = rng.random((30, 1)) * only(soft, [0, 1, 0], 30) + rng.random((30, 1)) * only(soft, [1, 0, 0], 30)
    of_soft, of_hard = (sums_of(model, params, values, observed, weights, 2.0) for model in (soft, hard))
    for name in ("counts", "A", "A_y"):
        assert of_soft[name] == pytest.approx(of_hard[name], rel=1e-13)


@SOFT
@MISSING
def test_the_soft_dictionary_stands_still_where_the_expected_log_joint_is_stationary(kind, missing):
    model, rng = kind(n_latents=3, superposition="soft"), np.random.default_rng(9)
    params, values, observed = rows_of_either_sign(kind, rng, missing)
    weights = rng.dirichlet(np.ones(8), 30)
    batch = Batch(np.arange(30), values, observed)
    codes = np.ascontiguousarray(np.broadcast_to(model.space.enumerate(), (30, 8, 1)))

    def expected_log_joint(W: Floats) -> float:
        prepared = model.prepare(NamedArrays.of(W=W, sigma=params["sigma"], pi=params["pi"]), 2.0)
        return float(np.vdot(weights, model.log_joint(prepared, model.project(prepared, batch), codes)))

    def gradient(W: Floats) -> Floats:
        found, step = np.empty_like(W), 1e-5
        for place in np.ndindex(W.shape):
            move = np.zeros_like(W)
            move[place] = step
            found[place] = (expected_log_joint(W + move) - expected_log_joint(W - move)) / (2 * step)
        return found

    sums = sums_of(model, params, values, observed, weights, 2.0)
    slope = gradient(params["W"])
    assert (sums["A_y"] - sums["A"] * params["W"]) / params["sigma"] ** 2 == pytest.approx(slope, rel=1e-5, abs=1e-6)
    for _ in range(400):
        before = params
        sums = sums_of(model, params, values, observed, weights, 2.0)
        params = model.maximize(params, sums, MStep(frozenset({"W"})))
        assert expected_log_joint(params["W"]) >= expected_log_joint(before["W"]) - 1e-9
    assert np.abs(gradient(params["W"])).max() < 1e-6 * np.abs(slope).max()


@MISSING
def test_a_soft_entry_of_mca_that_would_fall_below_zero_ends_there_and_rises_again(missing):
    model = MCA(n_latents=2, superposition="soft")
    W, values = np.array([[2.0, 1.0], [2.0, 0.5]]), np.array([[-3.0, 1.0], [-2.0, 2.0]])
    params = NamedArrays.of(W=W, sigma=1.0, pi=np.full(2, 0.5))
    observed = np.array([[True, True], [True, False]]) if missing else None
    scaled = only(model, [0, 1], 2)
    values = values if observed is None else np.where(observed, values, 0.0)
    down = model.maximize(params, sums_of(model, params, values, observed, scaled), MStep(frozenset({"W"})))
    assert down["W"].tolist() == [[2.0, 0.0], [2.0, 1.0 if missing else 1.5]]
    same = model.maximize(down, sums_of(model, down, values, observed, scaled), MStep(frozenset({"W"})))
    assert same["W"].tolist() == down["W"].tolist()
    up = model.maximize(down, sums_of(model, down, -values, observed, scaled), MStep(frozenset({"W"})))
    assert up["W"][:, 1].tolist() == [2.5, 0.0]


@MODELS
@MISSING
def test_affinity_of_a_row_is_that_in_a_model_of_what_was_observed_of_it(make, missing):
    model, rng = make(4), np.random.default_rng(10)
    params = model.initial(Moments(20, np.ones(6), np.ones(6)), rng)
    values = rng.normal(1.0, 2.0, (20, 6))
    observed = rng.random(values.shape) < (0.6 if missing else 1.0)
    batch = Batch(np.arange(20), np.where(observed, values, 0.0), observed)
    prepared = model.prepare(params)
    affinity = model.affinity(prepared, model.project(prepared, batch), batch)
    for n, seen in enumerate(observed):
        rest = NamedArrays.of(W=params["W"][seen], sigma=params["sigma"], pi=params["pi"])
        small, row = model.prepare(rest), Batch(np.arange(1), values[n : n + 1, seen])
        assert affinity[n] == pytest.approx(model.affinity(small, model.project(small, row), row)[0], rel=1e-13)


def test_temperature_softens_the_soft_maximum_only():
    for model, exponents in (
        (MCA(n_latents=2, superposition="soft"), {1.0: 21.0, 1.05: 21.0, 2.0: 2.0, 4.0: 4 / 3}),
        (MMCA(n_latents=2, superposition="soft"), {0.5: 6.0, 1.2: 6.0, 2.0: 2.0, 1e20: 1.0}),
        (MCA(n_latents=2), {1.0: np.inf, 4.0: np.inf}),
    ):
        params = model.initial(Moments(9, np.ones(3), np.ones(3)), np.random.default_rng(0))
        for temperature, rho in exponents.items():
            assert model.prepare(params, temperature).powers.rho == pytest.approx(rho, rel=1e-12)


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
            assert spec.constraint.first_illegal(params[name]) is None
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
    assert model.parameters(4)["W"].constraint.first_illegal(new["W"]) is None
    assert "1 latents" in step.notes[0]


@MODELS
def test_an_entry_that_never_wins_keeps_its_value(make):
    model = make(2)
    params = NamedArrays.of(W=np.array([[9.0, 1e-9], [1e-9, 9.0]]), sigma=1.0, pi=np.array([0.5, 0.5]))
    weights = np.zeros((5, 4))
    weights[:, -1] = 1.0
    new = model.maximize(params, sums_of(model, params, np.full((5, 2), 7.0), weights=weights), MStep(frozenset({"W"})))
    assert np.diagonal(new["W"]) == pytest.approx([7.0, 7.0])
    assert new["W"][0, 1] == new["W"][1, 0] == 1e-9


@MODELS
def test_an_entry_that_all_but_never_wins_learns_from_what_it_wins(make):
    model = make(2)
    params = NamedArrays.of(W=np.array([[9.0, 1e-9], [9.0, 9.0]]), sigma=1.0, pi=np.array([0.5, 0.5]))
    for weight, learned in ((1e-12, True), (1e-18, False)):
        weights = only(model, [1, 1], 5) + weight * only(model, [0, 1], 5)
        sums = sums_of(model, params, np.full((5, 2), 7.0), weights=weights)
        new = model.maximize(params, sums, MStep(frozenset({"W"})))
        assert new["W"][0, 1] == pytest.approx(7.0 if learned else 1e-9, rel=1e-12)


@MODELS
def test_the_user_hears_only_of_latents_that_learn_nothing(make):
    model = make(2)
    params = NamedArrays.of(W=np.full((4, 2), 2.0), sigma=1.0, pi=np.array([0.5, 0.5]))
    for weight in (1e-13, 1e-18):
        weights = only(model, [1, 0], 5) + weight * only(model, [0, 1], 5)
        sums = sums_of(model, params, np.full((5, 4), 7.0), weights=weights)
        step = MStep(frozenset({"W"}), rng=np.random.default_rng(0))
        new = model.maximize(params, sums, step)
        silent = model.unused == "keep" and weight == 1e-13
        assert bool(step.notes) != silent
        if model.unused == "keep":
            assert new["W"][:, 1] == pytest.approx(np.full(4, 7.0 if silent else 2.0), rel=1e-12)
