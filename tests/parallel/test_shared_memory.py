"""The memory that ranks of a host talk through: how much there is, and what is said before MPI dies of too little."""

import os
from pathlib import Path

import pytest

from prosper_ng.parallel import shared_memory
from prosper_ng.parallel.shared_memory import lack, look


def test_what_there_is(tmp_path):
    found, system = look(tmp_path), os.statvfs(tmp_path)
    assert found.total == system.f_blocks * system.f_frsize
    assert 0 < found.free <= found.total
    assert list(tmp_path.iterdir()) == []
    assert look(tmp_path / "none").words == f"{tmp_path}/none does not exist, which MPI needs"
    assert look(Path("/proc")).words.startswith("/proc cannot be written (")


@pytest.mark.parametrize(
    ("environment", "is_told"),
    [
        ({}, False),
        ({"PMI_SIZE": "4", "PMI_RANK": "0"}, True),
        ({"PMI_SIZE": "4", "PMI_RANK": "0", "MPI_LOCALNRANKS": "2"}, False),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, False),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS_PER_NODE": "3"}, True),
    ],
)
def test_ranks_of_this_host_need_room(environment, is_told, monkeypatch):
    room = shared_memory.SharedMemory(Path("/dev/shm"), 13 << 20, 13 << 20)
    monkeypatch.setattr(shared_memory, "look", lambda _: room)
    said = lack(environment)
    assert (said is not None) == is_told
    if is_told:
        assert "has 13 of 13 MiB free, which is enough for 2 ranks of MPI on this host, and " in said
        assert "--shm-size=1g" in said
