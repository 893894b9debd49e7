"""Sums over blocks of rows that reach few of many values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prosper_ng
from prosper_ng.models.mfa import Mfa
from prosper_ng.models.mixture import Mixture
from prosper_ng.numerics.named_arrays import segments
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.training.block_sums import BlockSums

N_COMPONENTS, N_OBSERVED = 30, 3
MODELS = [
    Mixture(n_components=N_COMPONENTS),
    Mixture(n_components=N_COMPONENTS, noise="scalar"),
    Mfa(n_components=N_COMPONENTS, n_factors=2),
]


def filled(model, sums, n_values, rng):
    """What a block of rows with so many values may have added, into `sums`."""
    values = rng.choice(N_COMPONENTS, n_values, replace=False)
    by_value = model.sums_by_value(N_OBSERVED)
    for name, each in sums.items():
        places = values if name in by_value else ...
        each[places] = rng.standard_normal(each[places].shape) * 10.0 ** rng.integers(-8, 8)
    sums["counts"][values] = rng.random(n_values) + 1e-300


@pytest.mark.parametrize("model", MODELS, ids=["diagonal", "scalar", "mfa"])
@given(n_values=st.lists(st.integers(0, N_COMPONENTS), max_size=5), seed=st.integers(0, 2**32 - 1))
def test_what_no_row_reached_is_passed_over_without_a_trace(model, n_values, seed):
    rng, comm = np.random.default_rng(seed), SerialCommunicator()
    sums = BlockSums(model, N_OBSERVED, n_apart=2)
    lengths = [*segments(sums.statistics.shapes), 1, 1]
    dense = ExactSum(lengths)
    for n in n_values:
        assert not sums.statistics.buffer.any()
        assert not sums.apart.any()
        filled(model, sums.statistics, n, rng)
        sums.apart[:] = rng.standard_normal(2)
        dense.add(np.concatenate([sums.statistics.buffer, sums.apart]))
        sums.end_block()
    expected, _ = dense.reduce(comm, np.zeros(0))
    found, apart, _ = sums.reduce(comm, np.zeros(0))
    assert np.concatenate([found.buffer, apart]).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "model", [{"kind": "mixture", "n_components": 300}, {"kind": "mfa", "n_components": 300, "n_factors": 1}]
)
def test_learning_comes_to_the_same_bits_whatever_is_passed_over(model, monkeypatch):
    rows = np.random.default_rng(0).standard_normal((2000, 2))

    def learn():
        training = {"n_sweeps": 3, "block_rows": 20}
        return prosper_ng.learn(rows, model, estep={"kind": "clusters", "n_near": 4}, training=training)

    few = learn()
    monkeypatch.setattr("prosper_ng.training.block_sums.offers", lambda *_: False)
    assert few.params.buffer.tobytes() == learn().params.buffer.tobytes()
