"""Data that a model cannot have made, and those that it can, on real ranks."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from prosper_ng.storage.run_record import read_run

pytestmark = pytest.mark.mpi

PROGRAM = (sys.executable, Path(__file__).parent / "programs" / "coins.py")
HERE = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture
def run(mpiexec, tmp_path):
    """A function (n_ranks, values (n, D)) -> the finished process, and its folder."""

    def learn(n_ranks, values):
        np.save(tmp_path / "rows.npy", values)
        config = {
            "name": "coins",
            "data": {"kind": "npy", "path": str(tmp_path / "rows.npy")},
            "model": {"kind": "coins"},
            "estep": {"kind": "exhaustive"},
            "training": {"n_sweeps": 5, "block_rows": 16, "annealing": {"parameter_noise": {"theta": 0.3}}},
            "output": {"figures": False},
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        folder = tmp_path / f"on-{n_ranks}"
        arguments = ("--quiet", "run", tmp_path / "run.yaml", "--output", folder)
        return mpiexec(n_ranks, *PROGRAM, *arguments, env=HERE), folder

    return learn


def rows():
    return (np.random.default_rng(0).random((150, 4)) < 0.4).astype(np.float64)


def test_the_first_illegal_row_of_all_ranks_is_named(run):
    values = rows()
    values[60, 1], values[140, 0] = 7.0, -1.0
    for n_ranks in (1, 3):
        done, _ = run(n_ranks, values)
        assert done.returncode == 2
        assert "rows.npy: row 60, column 1 (counted from 0) is 7; model coins needs 0 or 1" in done.stderr


def test_binary_rows_give_the_same_bits_on_any_number_of_ranks(run):
    digests = []
    for n_ranks in (1, 3):
        done, folder = run(n_ranks, rows())
        assert (done.returncode, done.stderr) == (0, "")
        digests.append(read_run(folder).attributes["digest"])
    assert len(set(digests)) == 1
