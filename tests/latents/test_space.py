import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.latents.space import LatentSpace, unpack, unpack_binary
from prosper_ng.latents.state_sets import get_value, set_value


@given(n_latents=st.integers(1, 200), n_values=st.integers(2, 9), seed=st.integers(0, 2**32))
def test_packing_loses_nothing(n_latents, n_values, seed):
    space = LatentSpace(n_latents, range(n_values))
    indices = np.random.default_rng(seed).integers(0, n_values, (3, 2, n_latents))
    codes = space.encode(indices)
    assert codes.shape == (3, 2, space.words)
    assert (space.decode(codes) == indices).all()
    latents, values = np.empty(n_latents, np.int64), np.empty(n_latents, np.int64)
    k = unpack(codes[0, 0], space.layout, latents, values)
    assert (latents[:k] == np.flatnonzero(indices[0, 0])).all()
    assert (values[:k] == indices[0, 0][latents[:k]]).all()


@given(n_latents=st.integers(1, 130), n_values=st.integers(2, 9), data=st.data())
def test_a_single_latent_can_be_read_and_written(n_latents, n_values, data):
    space = LatentSpace(n_latents, range(n_values))
    indices = np.array(data.draw(st.lists(st.integers(0, n_values - 1), min_size=n_latents, max_size=n_latents)))
    h, index = data.draw(st.integers(0, n_latents - 1)), data.draw(st.integers(0, n_values - 1))
    code = space.encode(indices)
    assert get_value(code, h, space.layout) == indices[h]
    set_value(code, h, index, space.layout)
    indices[h] = index
    assert (space.decode(code) == indices).all()


@given(n_latents=st.integers(1, 200), activity=st.sampled_from([0.0, 0.02, 0.5, 1.0]), seed=st.integers(0, 99))
def test_active_latents_of_binary_states_are_found_in_order(n_latents, activity, seed):
    states = (np.random.default_rng(seed).random((3, n_latents)) < activity).astype(int)
    codes, latents = LatentSpace(n_latents).encode(states), np.empty(n_latents, np.int64)
    for i, state in enumerate(states):
        n_active = unpack_binary(codes, i, latents)
        assert latents[:n_active].tolist() == np.flatnonzero(state).tolist()


@pytest.mark.parametrize(("n_latents", "values"), [(1, (0, 1)), (4, (0, 1)), (3, (0, -1, 1)), (2, (0, 0.5, 1, -2, 3))])
def test_enumeration_is_complete_and_starts_with_zero(n_latents, values):
    space = LatentSpace(n_latents, values)
    states = space.decode(space.enumerate())
    assert len(np.unique(states, axis=0)) == space.n_states == len(values) ** n_latents
    assert not states[0].any()


@pytest.mark.parametrize("values", [(0,), (1, 0), (0, 1, 1), ()])
def test_alphabets_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="alphabet"):
        LatentSpace(3, values)


def test_too_many_states_are_not_enumerated():
    with pytest.raises(ValueError, match="too many"):
        LatentSpace(23).enumerate()


def test_a_binary_state_of_a_thousand_latents_fits_the_promised_memory():
    n_states = 60
    bytes_of_a_row = LatentSpace(1000).words * 8 * n_states + 8 * n_states
    assert bytes_of_a_row <= 8200
