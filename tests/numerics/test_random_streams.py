import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from prosper_ng.numerics.random_streams import next_below, next_uniform, next_word, open_stream, philox, seek, stream

WORDS = st.integers(0, 2**64 - 1)


@njit
def draw(words, row, n):
    state = open_stream(words)
    seek(state, row)
    result = np.empty(n, np.uint64)
    for i in range(n):
        result[i] = next_word(state)
    return result


@njit
def draw_below(words, limit, n):
    state = open_stream(words)
    seek(state, 0)
    integers, reals = np.empty(n, np.int64), np.empty(n)
    for i in range(n):
        integers[i] = next_below(state, limit)
        reals[i] = next_uniform(state)
    return integers, reals


@given(key=st.tuples(WORDS, WORDS), counter=st.tuples(WORDS, WORDS, WORDS, WORDS))
def test_philox_equals_numpy_bit_for_bit(key, counter):
    whole = sum(word << 64 * i for i, word in enumerate(counter))
    before = (whole - 1) % 2**256  # numpy counts up before it draws
    expected = np.random.Philox(key=sum(w << 64 * i for i, w in enumerate(key)), counter=before).random_raw(4)
    assert list(philox(*map(np.uint64, key), *map(np.uint64, counter))) == list(expected)


@given(seed=WORDS, sweep=st.integers(0, 2**40), stage=st.integers(0, 2**40), row=st.integers(0, 2**62))
def test_a_kernel_and_numpy_draw_the_same_numbers(seed, sweep, stage, row):
    family = stream(seed, "anything", sweep, stage)
    assert (draw(family.words(), row, 9) == family.generator(row).bit_generator.random_raw(9)).all()


def test_streams_for_other_purposes_sweeps_stages_and_rows_are_different():
    families = [stream(1, "a"), stream(2, "a"), stream(1, "b"), stream(1, "a", 1), stream(1, "a", 0, 1)]
    words = {tuple(draw(family.words(), row, 4)) for family in families for row in (0, 1)}
    assert len(words) == 10


def test_integers_and_reals_are_uniform():
    integers, reals = draw_below(stream(3, "x").words(), 7, 70_000)
    counts = np.bincount(integers, minlength=7)
    assert len(counts) == 7
    assert np.abs(counts - 10_000).max() < 450
    assert reals.min() >= 0
    assert reals.max() < 1
    assert abs(reals.mean() - 0.5) < 0.005
