"""Memory and bytes on real ranks: what does not fit is one sentence, budgets change no bit, traffic is as estimated."""

import sys

import pytest

from prosper_ng import cli
from prosper_ng.storage.run_record import read_run
from tests.conftest import both_libraries
from tests.helpers.small_runs import SEARCH

RUN = (sys.executable, "-m", "prosper_ng", "run", "--quiet")


@pytest.fixture
def file(tmp_path):
    (tmp_path / "run.yaml").write_text(SEARCH)
    return tmp_path / "run.yaml"


@both_libraries
def test_what_does_not_fit_is_refused_by_all_ranks(mpiexec, tmp_path, file):
    done = mpiexec(2, *RUN, file, "--output", tmp_path / "run", "--set", "data.n_rows=1000000000000")
    assert done.returncode == 2
    assert done.stderr.startswith("error: 2 ranks on host ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run" / "run.h5").exists()


def test_budgets_change_no_bit(mpiexec, tmp_path, file):
    assert cli.main(["run", "--quiet", str(file), "--output", str(tmp_path / "one")]) == 0
    budgets = [word for name in ("data", "states") for word in ("--set", f"memory.{name}_budget=1kB")]
    done = mpiexec(3, *RUN, file, "--output", tmp_path / "three", *budgets)
    assert done.returncode == 0, done.stderr
    digests = {read_run(tmp_path / name).attributes["digest"] for name in ("one", "three")}
    assert len(digests) == 1
    log = (tmp_path / "three" / "log.txt").read_text()
    assert "with 3 ranks gives" in log
    assert "data 0 B, state sets 0 B" in log


TRAFFIC = """
    from prosper_ng.config import load
    from prosper_ng.experiments.run import assemble_run
    from prosper_ng.experiments.estimate import traffic_of
    from prosper_ng.experiments.run_config import RunConfig
    from prosper_ng.parallel.mpi import connect
    from prosper_ng.training.em import TruncatedEM

    config, comm, sent = load("FILE", RunConfig, ["training.updates_per_sweep=1"]).value, connect(), [0, 0]

    def counted(method, place):
        def call(values):
            sent[place] += values.nbytes
            method(values)
        return call

    parts = assemble_run(config, comm)
    state = parts.start()
    comm.sum_in_place = counted(comm.sum_in_place, 0)
    comm.broadcast_in_place = counted(comm.broadcast_in_place, 1)
    found = []
    for _ in TruncatedEM(parts.problem, config.training).sweeps(state):
        found.append(tuple(sent))
        sent[:] = 0, 0
    if comm.is_root:
        print(*min(found), *map(int, traffic_of(config, 9, comm.size)))
"""


def test_bytes_of_a_sweep_are_exact(mpiexec, file):
    done = mpiexec(3, code=TRAFFIC.replace("FILE", str(file)))
    assert done.returncode == 0, done.stderr
    summed, broadcast, *estimated = map(int, done.stdout.split())
    assert [summed, broadcast, 0, 0] == estimated  # nothing is large enough to be summed in shares
