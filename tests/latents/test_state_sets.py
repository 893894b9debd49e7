import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.latents.posterior import log_sum, truncated_posterior
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets, draw_sets
from prosper_ng.numerics.random_streams import stream


def values_of(codes: np.ndarray, row: int) -> np.ndarray:
    """A log joint that is a function of row and state, as every real one is."""
    return np.sin(1.0 + row + codes.astype(float).sum(axis=-1) * 0.7)


@given(
    n_latents=st.integers(2, 70),
    n_states=st.integers(1, 8),
    n_candidates=st.integers(0, 12),
    seed=st.integers(0, 2**32),
)
def test_merging_keeps_the_best_distinct_states(n_latents, n_states, n_candidates, seed):
    rng = np.random.default_rng(seed)
    space = LatentSpace(n_latents)
    sets = draw_sets(space, np.arange(3), n_states, np.full(n_latents, 0.3), stream(seed, "sets"))
    sets.log_joint[...] = np.stack([values_of(codes, row) for row, codes in enumerate(sets.codes)])
    # Few latents make repeated candidates likely.
    indices = np.zeros((3, n_candidates, n_latents), int)
    indices[..., :3] = rng.integers(0, 2, (3, n_candidates, min(3, n_latents)))[..., :n_latents]
    codes = space.encode(indices)
    log_joint = np.stack([values_of(each, row) for row, each in enumerate(codes)])
    expected = []
    for row in range(3):
        union = np.unique(np.concatenate([sets.codes[row], codes[row]]), axis=0)
        expected.append(np.sort(values_of(union, row))[-sets.codes.shape[1] :])
    before = log_sum(sets.log_joint)
    sets.merge(codes, log_joint)
    for row in range(3):
        assert len(np.unique(sets.codes[row], axis=0)) == sets.codes.shape[1]
        assert (np.sort(sets.log_joint[row]) == expected[row]).all()
        assert (sets.log_joint[row] == values_of(sets.codes[row], row)).all()
    assert (log_sum(sets.log_joint) >= before).all()


def test_nan_never_enters_a_set():
    sets = StateSets(np.array([[[1], [2]]], np.uint64), np.array([[0.0, 1.0]]))
    assert sets.merge(np.array([[[3]]], np.uint64), np.array([[np.nan]])) == 0
    assert (sets.codes == np.array([[[1], [2]]])).all()


@given(n_latents=st.integers(1, 80), n_values=st.integers(2, 5), n_states=st.integers(1, 30), seed=st.integers(0, 99))
def test_drawn_sets_are_distinct_and_begin_with_zero(n_latents, n_values, n_states, seed):
    space = LatentSpace(n_latents, range(n_values))
    activity = np.random.default_rng(seed).choice([0.0, 0.02, 0.5, 1.0], n_latents)
    sets = draw_sets(space, np.arange(5, 9), n_states, activity, stream(seed, "sets"))
    assert sets.codes.shape == (4, min(n_states, space.n_states), space.words)
    assert space.decode(sets.codes).max() < n_values
    for row in range(4):
        assert len(np.unique(sets.codes[row], axis=0)) == sets.codes.shape[1]
        assert not sets.codes[row, 0].any()
    again = draw_sets(space, np.array([7]), n_states, activity, stream(seed, "sets"))
    assert (again.codes[0] == sets.codes[2]).all()


def test_drawn_states_follow_the_activities():
    activity = np.array([0.02, 0.3, 0.1, 0.6])
    space = LatentSpace(64)
    wide = np.concatenate([activity, np.zeros(60)])
    drawn = draw_sets(space, np.arange(20_000), 2, wide, stream(0, "sets")).codes[:, 1]
    states = space.decode(drawn)
    # The second state of each set is a draw given that it is not zero.
    expected = activity / (1 - np.prod(1 - activity))
    helped = states[:, 4:].any(axis=1)
    assert states[~helped][:, :4].mean(axis=0) == pytest.approx(expected, abs=0.02)


@given(seed=st.integers(0, 2**32), shift=st.sampled_from([-1e5, 0.0, 3e4]), temperature=st.sampled_from([1.0, 3.0]))
def test_weights_free_energy_and_entropy(seed, shift, temperature):
    log_joint = np.random.default_rng(seed).normal(shift, 20, (4, 7))
    posterior = truncated_posterior(log_joint, None if temperature == 1 else log_joint / temperature)
    weights = np.exp((log_joint - log_joint.max(axis=1, keepdims=True)) / temperature)
    weights /= weights.sum(axis=1, keepdims=True)
    assert posterior.weights == pytest.approx(weights, abs=1e-10)
    best = log_joint.max(axis=1)
    assert posterior.free_energy == pytest.approx(best + np.log(np.exp(log_joint - best[:, None]).sum(axis=1)))
    assert posterior.entropy == pytest.approx(-(weights * np.log(weights + 1e-300)).sum(axis=1), abs=1e-9)


def test_a_row_without_a_possible_state_is_not_hidden():
    assert np.isnan(truncated_posterior(np.full((1, 3), -np.inf)).weights).all()
