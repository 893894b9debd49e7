"""Gradients of perceptrons against differences; steps by Adam."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.errors import UserError
from prosper_ng.numerics.adam import Adam
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.perceptron import Perceptron


def problem(sizes: list[int], seed: int) -> tuple[Perceptron, NamedArrays, np.ndarray, np.ndarray]:
    rng, net = np.random.default_rng(seed), Perceptron(tuple(sizes), "f_")
    params = NamedArrays.of(**net.initial(rng))
    for _, b in net.names:
        params[b] = rng.normal(0, 0.5, params[b].shape)
    return net, params, rng.normal(size=(7, sizes[0])), rng.normal(size=(7, sizes[-1]))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(0, 99))
def test_gradients_are_those_of_differences(sizes: list[int], seed: int) -> None:
    """Of a weighted sum of the outputs, by weights, biases and inputs, where no unit switches between."""
    net, params, x, weights = problem(sizes, seed)

    def found(values: NamedArrays, inputs: np.ndarray) -> float:
        return float(np.sum(weights * net.layers(values, inputs)[-1]))

    sums = NamedArrays({f"d{name}": shape for name, shape in net.shapes().items()})
    slope = net.add_gradient(params, net.layers(params, x), weights, sums)
    step = 1e-6
    signs = [np.sign(layer) for layer in net.layers(params, x)[1:-1]]
    for i in range(params.buffer.size):
        up, down = params.copy(), params.copy()
        up.buffer[i] += step
        down.buffer[i] -= step
        ends = [np.sign(layer) for end in (up, down) for layer in net.layers(end, x)[1:-1]]
        if all(np.array_equal(a, b) for a, b in zip(ends, 2 * signs, strict=True)):
            assert (found(up, x) - found(down, x)) / (2 * step) == pytest.approx(sums.buffer[i], abs=1e-7, rel=1e-7)
    direction = np.random.default_rng(1).normal(size=x.shape)
    ends = [np.sign(layer) for side in (1, -1) for layer in net.layers(params, x + side * step * direction)[1:-1]]
    if all(np.array_equal(a, b) for a, b in zip(ends, 2 * signs, strict=True)):
        difference = (found(params, x + step * direction) - found(params, x - step * direction)) / (2 * step)
        assert difference == pytest.approx(float(np.sum(slope * direction)), abs=1e-7, rel=1e-7)


def test_gradients_add_up() -> None:
    """Those of two halves of the rows are that of all."""
    net, params, x, weights = problem([4, 5, 3], 0)
    whole, halves = (NamedArrays({f"d{name}": shape for name, shape in net.shapes().items()}) for _ in range(2))
    net.add_gradient(params, net.layers(params, x), weights, whole)
    for rows in (slice(0, 3), slice(3, None)):
        net.add_gradient(params, net.layers(params, x[rows]), weights[rows], halves)
    np.testing.assert_allclose(halves.buffer, whole.buffer, rtol=1e-12)


def test_signals_keep_their_size() -> None:
    """Weights to start from make outputs of the size of inputs, in nets of one width."""
    net = Perceptron((200,) * 4)
    outputs = net.layers(net.initial(np.random.default_rng(0)), np.random.default_rng(1).normal(size=(50, 200)))[-1]
    assert 0.2 < outputs.std() < 1.0


def test_rates_go_up_and_down() -> None:
    """From the smallest to the largest and back, in sweeps, whatever updates these have."""
    adam = Adam(rate=0.05, least_rate=0.0001, cycle=10)
    for per_sweep in (1, 7):
        rates = [adam.rate_after(n, per_sweep) for n in range(20 * per_sweep + 1)]
        assert rates[0] == rates[10 * per_sweep] == pytest.approx(0.0001)
        assert rates[5 * per_sweep] == rates[15 * per_sweep] == pytest.approx(0.05)
        assert all(a < b for a, b in pairwise(rates[: 5 * per_sweep + 1]))
    assert Adam(rate=0.3, cycle=0).rate_after(17, 3) == 0.3
    with pytest.raises(UserError, match=r"least_rate 0.5 is above rate 0.1"):
        Adam(rate=0.1, least_rate=0.5)


def test_steps_climb_whatever_the_units() -> None:
    """A concave function of parameters in units a million times apart is climbed to its top; others stay."""
    units = np.array([1e-3, 1.0, 1e3])
    params = NamedArrays.of(a=np.zeros(3), b=np.zeros(3), c=np.ones(2))
    memory = NamedArrays(Adam().memory({"a": (3,), "b": (3,)}))
    for _ in range(600):
        gradient = {name: units * (1.0 - params[name]) for name in ("a", "b")}
        Adam(rate=0.02, cycle=1).climb(params, gradient, ["a"], memory, 600)
    np.testing.assert_allclose(params["a"], 1.0, atol=1e-2)
    assert not params["b"].any()
    assert not memory["mean_b"].any()
    assert memory["n_steps"] == 600
    assert (params["c"] == 1).all()
