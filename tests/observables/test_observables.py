"""Every observable beside SciPy's distribution of the same name, and what its solver promises."""

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.components import components_of
from prosper_ng.observables.interface import pseudo_entropy
from tests.models.test_ef_mca import DISTRIBUTIONS

KINDS = components_of("prosper_ng.observables")


def parameters(observable, n, rng):
    """W and V (n,) of several sizes."""
    W = observable.mean.feasible((n,), rng)
    if observable.mean.high == np.inf:
        W = W * 10 ** rng.uniform(-1, 1.5, n)
    return W, None if observable.second is None else 10 ** rng.uniform(0, 2.5, n)


@pytest.fixture(params=KINDS)
def observable(request):
    return KINDS[request.param]()


def test_log_p_entropy_and_mean_of_T_are_those_of_scipy(observable):
    rng = np.random.default_rng(1)
    W, V = parameters(observable, 8, rng)
    y = observable.draw(np.tile(W, (20_000, 1)), None if V is None else np.tile(V, (20_000, 1)), rng)
    found = DISTRIBUTIONS[observable.kind](W, V)
    (eta, A), few = observable.natural(W, V), y[:50]
    log_p = np.sum(eta[:, None] * observable.T(few), axis=0) - A + observable.base(few)
    expected = found.logpmf(few) if hasattr(found.dist, "pmf") else found.logpdf(few)
    assert log_p == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert observable.support.first_illegal(y) is None
    error = np.abs(observable.mean_T(W, V) - observable.T(y).mean(axis=1)) / observable.T(y).std(axis=1)
    assert error.max() < 5 / np.sqrt(len(y))
    base = observable.base(y)
    if not base.any():
        assert pseudo_entropy(observable, W, V) == pytest.approx(found.entropy(), rel=1e-10, abs=1e-12)
    close = np.abs(pseudo_entropy(observable, W, V) - base.mean(axis=0) - found.entropy())
    assert (close <= 5 * base.std(axis=0) / np.sqrt(len(y)) + 1e-10).all()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**32), st.integers(2, 40))
def test_the_solution_has_the_mean_of_T_wherever_it_starts(kind, seed, n_values):
    observable, rng = KINDS[kind](), np.random.default_rng(seed)
    W, V = parameters(observable, 6, rng)
    mean_T = observable.T(
        observable.draw(np.tile(W, (n_values, 1)), None if V is None else np.tile(V, (n_values, 1)), rng)
    ).mean(axis=1)
    for start in (parameters(observable, 6, rng), (W, V)):
        found = observable.solve(mean_T, *start, {"W", "V"})
        eta, A = observable.natural(*found)
        score = np.sum(eta * mean_T, axis=0) - A
        inside = (observable.mean.low < found[0]) & (observable.mean.high > found[0])
        if found[1] is not None:
            inside &= (observable.second.low < found[1]) & (found[1] < 1e4)
        assert observable.mean_T(*found)[:, inside] == pytest.approx(mean_T[:, inside], rel=1e-10, abs=1e-10)
        for scale in (1e-3, 0.1):
            other = [
                None if each is None else bounds.nearest(each * (1 + scale * rng.standard_normal(6)))
                for each, bounds in zip(found, (observable.mean, observable.second), strict=True)
            ]
            eta, A = observable.natural(*other)
            assert (np.sum(eta * mean_T, axis=0) - A <= score + 1e-9 * np.abs(score) + 1e-9).all()


@pytest.mark.parametrize("learned", ["W", "V"])
def test_one_parameter_alone_is_the_best_beside_the_other(observable, learned):
    if observable.second is None:
        pytest.skip("it has one parameter")
    rng = np.random.default_rng(2)
    W, V = parameters(observable, 8, rng)
    mean_T = observable.T(observable.draw(np.tile(W, (50, 1)), np.tile(V, (50, 1)), rng)).mean(axis=1)
    given = observable.mean.feasible((8,), rng) if learned == "V" else W, V * 0.7
    found = observable.solve(mean_T, *given, {learned})
    assert (found[learned == "W"] == given[learned == "W"]).all()

    def cost(x, entry):
        pair = [np.array([given[0][entry]]), np.array([given[1][entry]])]
        pair[learned == "V"] = np.array([x])
        eta, A = observable.natural(*pair)
        return float(A[0] - np.sum(eta[:, 0] * mean_T[:, entry]))

    bounds = observable.second if learned == "V" else observable.mean
    for entry in range(8):
        own = found[learned == "V"][entry]
        low, high = max(bounds.low, own / 1.5 - 1e-3), min(bounds.high, own * 1.5 + 1e-3)
        low, high = min(low, high), max(low, high)
        best = scipy.optimize.minimize_scalar(cost, bounds=(low, high), args=(entry,), method="bounded")
        assert cost(own, entry) <= best.fun + 1e-10


def test_what_no_distribution_fits_ends_at_a_bound(observable):
    same = np.full((10, 3), float(observable.support.feasible((1,), np.random.default_rng(0))[0]))
    W, V = parameters(observable, 3, np.random.default_rng(3))
    found = observable.solve(observable.T(same).mean(axis=1), W, V, {"W", "V"})
    assert found[0] == pytest.approx(np.clip(same[0], observable.mean.low, observable.mean.high), rel=1e-3)
    if found[1] is not None:
        assert observable.second.first_illegal(found[1]) is None
        assert observable.kind == "normal" or (found[1] > 1e5).all()
