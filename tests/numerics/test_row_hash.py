import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prosper_ng.numerics.row_hash import row_hashes

ROWS = st.integers(1, 6).flatmap(lambda width: arrays(np.float64, st.tuples(st.integers(1, 8), st.just(width))))


def keys(rows):
    return [tuple(each) for each in row_hashes(rows).tolist()]


@given(ROWS)
def test_a_row_is_known_by_its_values_alone(rows):
    order = np.random.default_rng(0).permutation(len(rows))
    together = keys(rows)
    assert [keys(rows[n : n + 1])[0] for n in range(len(rows))] == together
    assert keys(rows[order]) == [together[n] for n in order]
    assert keys(np.asfortranarray(rows)) == together


@given(ROWS)
def test_rows_agree_where_their_values_do(rows):
    canonical = [tuple("nan" if np.isnan(x) else float(x) + 0.0 for x in row) for row in rows]
    found = keys(rows)
    for i in range(len(rows)):
        for j in range(i):
            assert (found[i] == found[j]) == (canonical[i] == canonical[j])


def test_signs_of_zero_and_payloads_of_nan_do_not_count():
    payload = np.array([0x7FF8000000000123], np.uint64).view(np.float64)[0]
    assert keys(np.array([[0.0, np.nan]])) == keys(np.array([[-0.0, payload]]))


def test_the_last_place_of_one_value_turns_half_of_the_bits():
    rows = np.random.default_rng(1).standard_normal((2000, 16))
    other = rows.copy()
    other[:, 5] = np.nextafter(rows[:, 5], np.inf)
    changed = np.unpackbits((row_hashes(rows) ^ row_hashes(other)).view(np.uint8), axis=1)
    assert abs(changed.mean() - 0.5) < 0.01
    assert np.abs(changed.mean(axis=0) - 0.5).max() < 0.06


def test_columns_in_another_order_are_another_row():
    rows = np.random.default_rng(2).standard_normal((50, 4))
    assert not set(keys(rows)) & set(keys(rows[:, [1, 0, 2, 3]]))
    assert keys(np.zeros((1, 3))) != keys(np.zeros((1, 4)))
