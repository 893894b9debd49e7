"""Checkpoints on the ranks it is started with: `checkpoints.py save|load FOLDER`; each rank prints what it found."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel import mpi
from prosper_ng.parallel.failure import ending_all_ranks_together
from prosper_ng.storage import manifest
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.checkpoint_file import Header, Writer
from prosper_ng.storage.manifest import CheckpointError, Manifest

N_ROWS = 1000


def rows_of(iteration):
    rng = np.random.default_rng(iteration)
    return {"codes": rng.integers(0, 2**64, (N_ROWS, 5, 2), np.uint64), "log_joint": rng.normal(size=(N_ROWS, 5))}


def starts_of(size):
    """Unequal shares; of three ranks, the middle one has no rows."""
    return {1: [0, N_ROWS], 2: [0, 17, N_ROWS], 3: [0, 600, 600, N_ROWS], 4: [0, 1, 999, 1000, N_ROWS]}[size]


def save(comm, folder, iteration, shard_bytes=2**30):
    starts = starts_of(comm.size)
    rows = {name: values[starts[comm.rank] : starts[comm.rank + 1]] for name, values in rows_of(iteration).items()}
    root = {"parameters": NamedArrays.of(W=np.full((2, 3), iteration))} if comm.is_root else {}
    attributes = {"iteration": iteration} if comm.is_root else {}
    store = Checkpoints(folder, comm, shard_bytes=shard_bytes)
    return store.save(iteration, root=root, rows=rows, starts=starts, attributes=attributes)


def load(comm, folder):
    """The iteration of the checkpoint, once every number was found to be right."""
    starts = starts_of(comm.size)
    start, stop = starts[comm.rank], starts[comm.rank + 1]
    checkpoint, notes = Checkpoints(folder, comm).load_latest(start, stop, N_ROWS)
    assert checkpoint.attributes == {"iteration": checkpoint.iteration}
    for name, values in rows_of(checkpoint.iteration).items():
        assert checkpoint.rows[name].tobytes() == values[start:stop].tobytes()
    if comm.is_root:
        assert (checkpoint.root["parameters"]["W"] == checkpoint.iteration).all()
    else:
        assert checkpoint.root == {}
    return checkpoint.iteration, len(notes)


def check_failing_disk(comm, folder, rank, shard_bytes):
    """The disk of one rank fails in the middle: all ranks are told, and the checkpoint before stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if comm.rank == rank:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    warning = save(comm, folder, 3, shard_bytes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in warning
    assert (f"rank {rank}: " in warning) == (rank > 0)
    comm.barrier()
    assert not list(folder.glob("*000003*"))
    assert load(comm, folder) == (2, 0)


def check_no_folder(comm, folder):
    """A folder that cannot be made is a warning on all ranks."""
    (folder / "taken").touch()
    assert "taken" in save(comm, folder / "taken", 3)


def check_other_disk(comm, folder):
    """A rank that does not see root's files makes all ranks end with its name."""
    elsewhere = folder if comm.is_root else folder / "elsewhere"
    with pytest.raises(CheckpointError, match=r"cannot be taken up: rank 1: "):
        load(comm, elsewhere)


def check_sick_rows(comm, folder):
    """Rows that only the last rank reads hold NaN: all ranks take the checkpoint before."""
    if comm.is_root:
        rows = rows_of(4)
        rows["log_joint"][-1, -1] = np.nan
        shapes = {name: (values.shape, values.dtype.str) for name, values in rows.items()}
        store = Checkpoints(folder, comm).folder
        writer = Writer(store.temporary(4, 0), Header.of(4, N_ROWS, {"iteration": 4}, {}, shapes), {})
        for name, values in rows.items():
            writer.rows(name)(0, values)
        writer.close()
        store.commit(Manifest(4, N_ROWS, [store.publish(store.temporary(4, 0), writer.header, 0)]))
        assert manifest.iterations_in(folder) == [4, 2, 1]
    comm.barrier()
    assert load(comm, folder) == (2, 1)


def main(what, folder):
    comm = mpi.connect()
    with ending_all_ranks_together(comm):
        if what == "save":
            assert save(comm, folder, 1) is None
            # In the end, the checkpoint that is loaded is one of several files, written by as many ranks.
            assert save(comm, folder, 2, shard_bytes=N_ROWS * 60) is None
            if comm.is_root:
                assert len(manifest.read(folder, 2).files) == min(comm.size, 2)
            check_failing_disk(comm, folder, 0, 2**30)
            check_failing_disk(comm, folder, comm.size - 1, 1)
            check_no_folder(comm, folder)
            if comm.size > 1:
                check_other_disk(comm, folder)
            check_sick_rows(comm, folder)
        iteration, n_notes = load(comm, folder)
        if comm.is_root:
            print(f"loaded {iteration} with {n_notes} notes on {comm.size} ranks")


main(sys.argv[1], Path(sys.argv[2]))
