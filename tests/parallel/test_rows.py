import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.parallel.rows import MOST_TOGETHER, SMALLEST_BLOCK, RowBlocks, default_block_rows

blocks = st.builds(RowBlocks, n_rows=st.integers(0, 5000), block_rows=st.integers(1, 300), n_parts=st.integers(1, 30))
sizes = st.integers(1, 40)


@given(blocks, sizes)
def test_ranks_parts_and_blocks_cover_every_row_once_in_order(blocks, size):
    by_rank = []
    for rank in range(size):
        owned = blocks.owned(rank, size)
        rows = sorted(row for part in range(blocks.n_parts) for piece in blocks.pieces(part, owned) for row in piece)
        assert rows == list(blocks.owned_rows(rank, size))
        by_rank += rows
    assert by_rank == list(range(blocks.n_rows))


@given(blocks, sizes)
def test_shares_differ_from_an_equal_one_by_at_most_a_block(blocks, size):
    for rank in range(size):
        assert abs(len(blocks.owned_rows(rank, size)) - blocks.n_rows / size) <= blocks.block_rows


@given(blocks, sizes)
def test_starts_are_where_the_ranks_begin(blocks, size):
    starts = blocks.starts(size)
    assert starts[0] == 0
    assert starts[-1] == blocks.n_rows
    assert len(starts) == size + 1
    for rank in range(size):
        assert starts[rank + 1] - starts[rank] == len(blocks.owned_rows(rank, size))


@given(blocks, sizes)
def test_a_part_is_the_same_rows_on_any_number_of_ranks(blocks, size):
    for part in range(blocks.n_parts):
        alone = list(blocks.pieces(part, blocks.owned(0, 1)))
        together = [rows for rank in range(size) for rows in blocks.pieces(part, blocks.owned(rank, size))]
        assert together == alone


@given(st.integers(1, 10**9), st.integers(1, 200))
def test_default_blocks_leave_every_part_enough_of_them(n_rows, n_parts):
    block_rows = default_block_rows(n_rows, n_parts)
    assert SMALLEST_BLOCK <= block_rows <= MOST_TOGETHER
    fewest = 10 * n_parts if n_parts > 1 or block_rows > 256 else 3
    assert block_rows == SMALLEST_BLOCK or RowBlocks(n_rows, block_rows, n_parts).n_blocks >= fewest


def test_default_blocks_of_common_sizes():
    assert default_block_rows(1000, 1) == 256
    assert default_block_rows(1000, 4) == 32
    assert default_block_rows(62001, 12) == 256
    assert default_block_rows(62001, 60) == 64
    assert default_block_rows(10**6, 1) == 1024
    assert default_block_rows(3, 1) == 32
    assert default_block_rows(10**6, 1, 1000) == 1024
    assert default_block_rows(10**6, 1, 3000) == 4096
    assert default_block_rows(40_000, 1, 3000) == 2048


def test_fewer_blocks_than_ranks_leave_ranks_without_rows():
    blocks = RowBlocks(n_rows=70, block_rows=32)
    assert [len(blocks.owned_rows(rank, 5)) for rank in range(5)].count(0) == 2
    assert sum(len(blocks.owned_rows(rank, 5)) for rank in range(5)) == 70


@pytest.mark.parametrize("wrong", [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        RowBlocks(*wrong)
