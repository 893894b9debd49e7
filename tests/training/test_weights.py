"""Rows that count as any number of rows: the same as rows that come so often."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.training.held_out import HeldOut

N, D, C = 60, 3, 4
DIAGONAL = {"kind": "mixture", "n_components": C}
MODELS = {
    "diagonal": DIAGONAL,
    "scalar": DIAGONAL | {"noise": "scalar"},
    "k-means": DIAGONAL | {"noise": "scalar", "equal_weights": True},
    "poisson": DIAGONAL | {"observable": "poisson"},
    "mfa": {"kind": "mfa", "n_components": C, "n_factors": 1},
}
CLUSTERS = {"kind": "clusters", "n_states": 2, "n_near": 3}


def rows_of(rng, model="diagonal"):
    means = rng.uniform(1, 9, (C, D))[rng.integers(C, size=N)]
    return rng.poisson(means).astype(float) if model == "poisson" else rng.normal(means)


def start_of(model, rng):
    """All parameters, so that nothing is found from the data."""
    found = {
        "W": rng.uniform(1, 9, (D, C)), "pi": np.full(C, 1 / C), "V": np.full((D, C), 4.0), "sigma": 2.0,
        "A": rng.normal(size=(D, C, 1)), "Psi": np.full((D, C), 4.0),
    }  # fmt: skip
    names = {"diagonal": "W V pi", "scalar": "W sigma pi", "k-means": "W sigma", "poisson": "W pi", "mfa": "W A Psi pi"}
    return {name: found[name] for name in names[model].split()}


def learn(rows, model="diagonal", estep="exhaustive", **changes):
    given = {"training": {"n_sweeps": 6, "block_rows": 8}, "seed": 3} | changes
    return prosper_ng.learn(rows, MODELS[model], estep=estep, missing=True, **given)


def assert_same(one, other):
    for name, values in one.params.items():
        assert other.params[name] == pytest.approx(values, rel=1e-9, abs=1e-12), name
    assert other.history["free_energy"] == pytest.approx(one.history["free_energy"], rel=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(MODELS)), st.booleans(), st.integers(0, 99))
def test_a_whole_number_is_a_row_that_comes_so_often(model, has_gaps, seed):
    rng = np.random.default_rng(seed)
    rows, start = rows_of(rng, model), start_of(model, rng)
    if has_gaps:
        rows[:, 1:][rng.random((N, D - 1)) < 0.2] = np.nan
    weights = rng.integers(0, 4, N)
    repeated = learn(np.repeat(rows, weights, axis=0), model, start=start)
    weighted = learn(rows, model, start=start, weights=weights)
    assert_same(repeated, weighted)
    assert (weighted.history["n_rows_used"] == weights.sum()).all()
    assert_same(weighted, learn(rows, model, start=start, weights=1e-3 * weights))


@pytest.mark.parametrize("estep", ["exhaustive", CLUSTERS])
def test_the_same_weight_of_all_rows_changes_no_bit(estep):
    rows = rows_of(np.random.default_rng(0))
    plain = learn(rows, estep=estep)
    for weights in (np.ones(N), [0.3] * N):
        assert learn(rows, estep=estep, weights=weights).digest == plain.digest


def test_a_row_of_weight_0_is_as_good_as_none():
    """It is neither an example nor counted, whatever it holds."""
    rng = np.random.default_rng(2)
    rows, weights = rows_of(rng), rng.uniform(0.5, 2.0, N)
    weights[::3], rows[::3] = 0.0, 1e9
    found = learn(rows, weights=weights, estep=CLUSTERS)
    assert np.abs(found.params["W"]).max() < 20
    rows[::3] = -7.0
    assert_same(found, learn(rows, weights=weights, estep=CLUSTERS))


def test_any_number_of_ranks_makes_the_same_bits():
    rng = np.random.default_rng(4)
    rows, weights = rows_of(rng), rng.exponential(size=N)
    weights[rng.random(N) < 0.2] = 0.0
    training = {"n_sweeps": 3, "block_rows": 8, "updates_per_sweep": 2, "restarts": 2, "restart_sweeps": 2}
    found = [
        learn(rows, estep=CLUSTERS, weights=weights, held_out=0.2, training=training, n_jobs=n_jobs)
        for n_jobs in (1, 2, 3)
    ]
    assert len({each.digest for each in found}) == 1
    assert len({each.data_digest for each in found}) == 1
    assert found[0].data_digest.partition("+")[0] == learn(rows).data_digest


def test_rows_held_out_count_by_their_weights():
    rng = np.random.default_rng(5)
    rows, weights = rows_of(rng), rng.exponential(size=N)
    before, after = (
        learn(rows, weights=weights, held_out=0.25, training={"n_sweeps": n_sweeps, "block_rows": 8})
        for n_sweeps in (4, 5)
    )
    held = HeldOut(0.25, 3, N).among(np.arange(N))
    expected = np.average(before.free_energy(rows[held]), weights=weights[held])
    assert after.history["held_out_free_energy"][-1] == pytest.approx(expected, rel=1e-9)
    others = np.where(held, rng.exponential(size=N), weights)
    assert_same(after, learn(rows, weights=others, held_out=0.25, training={"n_sweeps": 5, "block_rows": 8}))


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([-1.0] + [1.0] * (N - 1), r"weights: the weight of row 0 \(counted from 0\) is -1; legal are 0 and"),
        ([1.0, np.nan] * (N // 2), r"the weight of row 1 \(counted from 0\) is nan"),
        ([1.0] * (N - 1), rf"weights: {N - 1} weights for the {N} rows of the array"),
        (np.zeros(N), r"the weights of all rows are 0; at least one must be above it"),
        (np.ones((N, 2)), r"weights have the shape \(60, 2\); needed is one number for each row"),
    ],
)
def test_what_are_no_weights_is_told_in_a_sentence(weights, sentence):
    with pytest.raises(UserError, match=sentence):
        learn(rows_of(np.random.default_rng(0)), weights=weights)


@pytest.mark.parametrize("given", [{"weights": np.ones(N)}, {"coreset": 20}])
def test_a_model_that_counts_each_row_once_refuses_them(given):
    with pytest.raises(UserError, match="model bsc counts each row once, so weights of rows and a coreset are not for"):
        prosper_ng.learn(np.eye(N), {"kind": "bsc", "n_latents": 2}, **given)


def test_an_update_without_any_weight_is_told_in_a_sentence():
    weights = np.where(np.arange(N) < 8, 0.0, 1.0)
    with pytest.raises(UserError, match="sweep 1, update 1: all rows that were looked at so far have the weight 0"):
        learn(
            rows_of(np.random.default_rng(0)), weights=weights,
            training={"n_sweeps": 2, "block_rows": 8, "updates_per_sweep": 8},
        )  # fmt: skip


def test_rows_held_out_may_be_all_that_have_a_weight():
    held = HeldOut(0.25, 3, N).among(np.arange(N))
    with pytest.raises(UserError, match="the weights of all rows that are learned from are 0"):
        learn(rows_of(np.random.default_rng(0)), weights=held.astype(float), held_out=0.25)
