"""Checks every method of the communicator on the ranks it is started with; root prints how many there were."""

import os
import time
from contextlib import nullcontext

import numpy as np
import pytest

from prosper_ng.parallel import mpi
from prosper_ng.parallel.failure import ending_all_ranks_together


def check_arrays(comm):
    values = np.array([1.5, comm.rank, -comm.rank])
    comm.sum_in_place(values)
    triangle = comm.size * (comm.size - 1) // 2
    assert values.tolist() == [1.5 * comm.size, triangle, -triangle]

    counts = np.full((2, 3), 2**62 // comm.size, dtype=np.int64)
    comm.sum_in_place(counts)
    assert (counts == 2**62 // comm.size * comm.size).all()

    for n in (0, 1, comm.size - 1, comm.size, 5 * comm.size + 2):
        counts_of = [n // comm.size + (rank < n % comm.size) for rank in range(comm.size)]
        own = comm.sum_shares(np.arange(2.0 * n).reshape(2, n) + comm.rank, counts_of)
        whole = comm.size * np.arange(2.0 * n).reshape(2, n) + triangle
        first = sum(counts_of[: comm.rank])
        assert own.tolist() == whole[:, first : first + counts_of[comm.rank]].tolist()
        for each, expected in ((own[1], whole[1]), (np.ascontiguousarray(own.T), whole.T)):
            found = comm.gather_shares(each, counts_of)
            assert found is None if not comm.is_root else found.tolist() == expected.tolist()
            assert comm.gather_shares(each, counts_of, to_all=True).tolist() == expected.tolist()

    largest = np.array([comm.rank, -comm.rank], dtype=np.int64)
    comm.max_in_place(largest)
    assert largest.tolist() == [comm.size - 1, 0]

    words = np.full((3, 2), comm.rank + 7, dtype=np.uint64)
    comm.broadcast_in_place(words)
    assert (words == 7).all()
    words[...] = comm.rank
    comm.broadcast_in_place(words, comm.size - 1)
    assert (words == comm.size - 1).all()

    scalar = np.array(float(comm.rank))
    comm.sum_in_place(scalar)
    assert scalar == triangle

    nothing = np.empty((0, 4))
    comm.sum_in_place(nothing)
    comm.broadcast_in_place(nothing)


def check_long_arrays_in_pieces(comm):
    mpi._LARGEST_COUNT, before = 7, mpi._LARGEST_COUNT
    values = np.arange(23.0) + comm.rank
    comm.sum_in_place(values)
    assert (values == comm.size * np.arange(23.0) + comm.size * (comm.size - 1) // 2).all()
    values += comm.rank
    comm.max_in_place(values)
    assert values[22] == comm.size * 22 + comm.size * (comm.size - 1) // 2 + comm.size - 1
    values[:] = comm.rank
    comm.broadcast_in_place(values)
    assert not values.any()
    mpi._LARGEST_COUNT = before


def check_wrong_arrays(comm):
    for wrong in (np.zeros((4, 4))[:, ::2], np.array(["a"]), [1.0, 2.0], np.array([object()])):
        for method in (comm.sum_in_place, comm.max_in_place, comm.broadcast_in_place):
            with pytest.raises(ValueError, match="contiguous array of numbers"):
                method(wrong)


def check_messages(comm):
    assert comm.broadcast({"from": comm.rank}) == {"from": 0}
    assert comm.broadcast(None if comm.is_root else "ignored") is None
    gathered = comm.gather(("rank", comm.rank))
    assert gathered == ([("rank", rank) for rank in range(comm.size)] if comm.is_root else None)
    with pytest.raises(ValueError, match="too large for objects"):
        comm.gather("x" * 2_000_000)


def check_rows(comm, shares, shape, dtype):
    starts = np.concatenate([[0], np.cumsum(shares)]).tolist()
    truth = np.arange(starts[-1] * int(np.prod(shape))).reshape(starts[-1], *shape).astype(dtype)
    result, reached = np.zeros_like(truth), [0]

    def into(start, piece):
        assert start == reached[0]
        assert piece.flags.c_contiguous
        assert len(piece) == 1 or piece.nbytes <= mpi._PIECE_BYTES
        result[start : start + len(piece)] = piece
        reached[0] = start + len(piece)

    comm.gather_rows(truth[starts[comm.rank] : starts[comm.rank + 1]], starts, into)
    if comm.is_root:
        assert reached[0] == starts[-1]
        assert (result == truth).all()


def check_all_kinds_of_rows(comm):
    mpi._PIECE_BYTES, before = 100, mpi._PIECE_BYTES
    for shares in ([5] * comm.size, [0] * comm.size, [0, 7, 1][: comm.size], [9, 0, 0][: comm.size]):
        check_rows(comm, shares, (3,), np.float64)
        check_rows(comm, shares, (2, 5), np.uint64)  # rows of 80 bytes
        check_rows(comm, shares, (40,), np.float64)  # rows longer than a piece
        check_rows(comm, shares, (), np.bool_)
    mpi._PIECE_BYTES = before
    check_rows(comm, [2_500_000 // comm.size] * comm.size, (), np.float64)  # 20 MB: more than a piece on one rank


def check_root_fails_while_gathering(comm):
    def into(start, piece):
        raise OSError("no room left")

    mpi._PIECE_BYTES, before = 100, mpi._PIECE_BYTES
    with pytest.raises(OSError, match="no room left") if comm.is_root else nullcontext():
        comm.gather_rows(np.zeros((50, 3)), [50 * rank for rank in range(comm.size + 1)], into)
    mpi._PIECE_BYTES = before


def check_barrier_waits_without_work(comm):
    comm.barrier()
    start, start_cpu = time.monotonic(), time.process_time()
    if comm.rank == comm.size - 1:
        time.sleep(0.3)
    comm.barrier()
    seconds, seconds_of_work = time.monotonic() - start, time.process_time() - start_cpu
    assert comm.size == 1 or seconds >= 0.29
    assert comm.size == 1 or seconds_of_work < seconds / 2


comm = mpi.connect(expected_ranks=int(os.environ["EXPECTED"]))
with ending_all_ranks_together(comm):
    assert isinstance(comm, mpi.MpiCommunicator)
    assert comm.is_root == (comm.rank == 0)
    check_arrays(comm)
    check_long_arrays_in_pieces(comm)
    check_wrong_arrays(comm)
    check_messages(comm)
    check_all_kinds_of_rows(comm)
    check_root_fails_while_gathering(comm)
    check_arrays(comm)
    check_barrier_waits_without_work(comm)
    if comm.is_root:
        print("checked", comm.size)
