"""Ranks that are threads of this process."""

import threading
import time

import numpy as np
import pytest

import prosper_ng
from prosper_ng.data.sources.csv import Csv
from prosper_ng.data.sources.npz import Npz
from prosper_ng.errors import UserError
from prosper_ng.models.gsc import GSC
from prosper_ng.parallel.team import on_team


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_what_ranks_can_do_threads_can_do(size):
    def work(comm):
        total, largest, told = np.full(7, comm.rank + 1.0), np.array([comm.rank]), np.array([comm.rank * 1.0])
        comm.sum_in_place(total)
        comm.max_in_place(largest)
        comm.broadcast_in_place(told)
        return (
            total.tolist(),
            int(largest[0]),
            float(told[0]),
            comm.broadcast(f"from {comm.rank}"),
            comm.gather(comm.rank),
        )

    results = on_team(size, work)
    everybody = list(range(size))
    assert [result[:4] for result in results] == [([size * (size + 1) / 2] * 7, size - 1, 0.0, "from 0")] * size
    assert [result[4] for result in results] == [everybody] + [None] * (size - 1)


def test_rows_come_to_their_takers_in_order():
    starts = [0, 2, 2, 5]

    def work(comm):
        taken = []
        rows = np.arange(starts[comm.rank], starts[comm.rank + 1], dtype=float)[:, None]
        comm.gather_rows(rows, starts, lambda start, piece: taken.append((start, piece[:, 0].tolist())), (0, 2))
        return taken

    assert on_team(3, work) == [[(0, [0.0, 1.0])], [], [(2, [2.0, 3.0, 4.0])]]


@pytest.mark.parametrize("rank", [0, 2])
def test_an_error_on_one_thread_ends_all_at_once(rank):
    def work(comm):
        if comm.rank == rank:
            raise ValueError("of one's own")
        comm.barrier()

    start, before = time.monotonic(), threading.active_count()
    with pytest.raises(ValueError, match="of one's own"):
        on_team(3, work)
    assert time.monotonic() - start < 60
    assert threading.active_count() == before


def test_takers_that_fail_leave_nobody_waiting():
    def work(comm):
        def into(start, piece):
            raise OSError("no room")

        comm.gather_rows(np.zeros((1, 1)), [0, 1, 2], into)

    with pytest.raises(OSError, match="no room"):
        on_team(2, work)


def test_the_calling_thread_is_root():
    assert on_team(2, lambda comm: threading.current_thread() is threading.main_thread()) == [True, False]


def test_numpy_hears_the_same_wishes_on_all_threads():
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        on_team(2, lambda comm: None if comm.is_root else np.ones(1) / np.zeros(1))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(1)
    return (rng.random((301, 3)) < 0.4) @ rng.normal(size=(3, 5)) + 0.2 * rng.standard_normal((301, 5))


@pytest.mark.parametrize("model", [{"kind": "bsc", "n_latents": 12}, {"kind": "gsc", "n_latents": 4}])
def test_the_same_bits_on_any_number_of_threads(model, rows):
    training = {"n_sweeps": 3, "updates_per_sweep": 2}
    digests = {
        prosper_ng.learn(rows, model, estep={"kind": "auto", "n_states": 8}, training=training, n_jobs=n_jobs).digest
        for n_jobs in (1, 2, 3, 4, -1)
    }
    assert len(digests) == 1


def test_threads_read_files_that_have_one_position(rows, tmp_path):
    np.savez_compressed(tmp_path / "d.npz", a=rows)
    np.savetxt(tmp_path / "d.csv.gz", rows, delimiter=",")
    model, training = {"kind": "bsc", "n_latents": 3}, {"n_sweeps": 2, "block_rows": 4}
    expected = prosper_ng.learn(rows, model, training=training).digest
    for source in (Npz(path=str(tmp_path / "d.npz"), array="a"), Csv(path=str(tmp_path / "d.csv.gz"))):
        assert prosper_ng.learn(source.open(0), model, training=training, n_jobs=4).digest == expected


def test_gaps_and_two_fits_at_once(rows):
    holes = rows.copy()
    holes[::7, 1] = np.nan
    alone = prosper_ng.learn(holes, GSC(n_latents=3), training={"n_sweeps": 3}, missing=True).digest
    found = []

    def fit():
        found.append(prosper_ng.learn(holes, GSC(n_latents=3), training={"n_sweeps": 3}, missing=True, n_jobs=2).digest)

    fits = [threading.Thread(target=fit) for _ in range(2)]
    for thread in fits:
        thread.start()
    for thread in fits:
        thread.join()
    assert found == [alone] * 2


def test_errors_and_listeners_are_those_of_the_caller(rows):
    def on_sweep(report, params):
        assert threading.current_thread() is threading.main_thread()
        raise LookupError("of the listener")

    with pytest.raises(LookupError, match="of the listener"):
        prosper_ng.learn(rows, {"kind": "bsc", "n_latents": 3}, n_jobs=2, on_sweep=on_sweep)
    broken = rows.copy()
    broken[4, 2] = np.inf
    with pytest.raises(UserError, match="row 4, column 2"):
        prosper_ng.learn(broken, {"kind": "bsc", "n_latents": 3}, n_jobs=2)


def test_an_interruption_brings_what_was_learned(rows):
    def on_sweep(report, params):
        if report.sweep == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        prosper_ng.learn(rows, {"kind": "bsc", "n_latents": 3}, n_jobs=2, on_sweep=on_sweep)
    three = prosper_ng.learn(rows, {"kind": "bsc", "n_latents": 3}, training={"n_sweeps": 3})
    np.testing.assert_array_equal(caught.value.learned.params.buffer, three.params.buffer)


@pytest.mark.parametrize("n_jobs", [0, -2, True, 1.5, "2"])
def test_what_is_no_number_of_threads_is_refused(n_jobs, rows):
    with pytest.raises(UserError, match="n_jobs must be a number of threads"):
        prosper_ng.learn(rows, {"kind": "bsc", "n_latents": 3}, n_jobs=n_jobs)
