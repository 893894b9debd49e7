import re
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import on_libraries, within

PROGRAM = Path(__file__).parent / "programs" / "faults.py"


# What MPICH's and Open MPI's launchers themselves say of ranks that ended early.
LAUNCHERS_WORDS = re.compile(r"(?m)^Abort\(\d+\) on node .*\n|^[= ].*=\n|^YOUR APP.*\n|^-{70,}\n(?s:.*?)^-{70,}\n|\0")


@pytest.fixture
def fail(mpiexec, tmp_path):
    """Runs three ranks of which some fail: exit status, what was written, seconds from the failure to the end."""

    def run(how, *ranks):
        clock = tmp_path / "failed_at"
        done = mpiexec(3, sys.executable, PROGRAM, how, *map(str, ranks), env={"FAILED_AT": str(clock)})
        assert "done" not in done.stdout
        seconds = time.time() - float(clock.read_text(encoding="utf-8")) if clock.exists() else 0.0
        return done.returncode, LAUNCHERS_WORDS.sub("", done.stderr), seconds

    return run


@on_libraries("ranks", [((0,),), ((1, 2),)], ((1,),))
def test_an_error_on_some_ranks_ends_all_with_one_message(fail, ranks):
    status, said, seconds = fail("user", *ranks)
    assert status == 3
    assert re.fullmatch(
        r"error: sigma became -1\.5\n  in sweep 12\n"
        rf"  on rank {ranks[0]} of 3, host \S+; all ranks end\n",
        said,
    )
    assert seconds < within(10)


def test_an_error_on_all_ranks_is_told_once_and_nothing_is_aborted(fail):
    assert fail("user", 0, 1, 2)[:2] == (3, "error: sigma became -1.5\n  in sweep 12\n")


def test_a_defect_on_one_rank_shows_its_traceback_once(fail):
    status, said, seconds = fail("defect", 2)
    assert status == 1
    assert said.count("Traceback (most recent call last)") == 1
    assert "ZeroDivisionError: a defect\n  on rank 2 of 3, host" in said
    assert seconds < within(10)


@pytest.mark.parametrize(("how", "status"), [("exit", 5), ("interrupt", 130), ("abort", 6), ("kill", signal.SIGKILL)])
def test_no_other_way_to_end_one_rank_leaves_the_others_waiting(fail, how, status):
    ended_with, said, seconds = fail(how, 1)
    assert ended_with % 128 == status % 128  # of a rank that a signal ended, Open MPI says 128 more than MPICH
    assert said.count("all ranks end") == (how in ("exit", "interrupt"))
    assert seconds < within(10)


@pytest.mark.parametrize("ranks", [(2,), (1, 2), (0, 1, 2)])
def test_each_rank_may_fail_for_itself_where_all_ask_each_other_afterwards(fail, ranks):
    status, said, _ = fail("collectively", *ranks)
    assert status == 9
    assert re.fullmatch(
        rf"error: no rows for rank {ranks[0]} in x\.h5\n"
        rf"  while reading the data on rank {ranks[0]} of 3, host \S+\n",
        said,
    )


def test_a_defect_in_a_collective_block_arrives_with_its_traceback(fail):
    status, said, _ = fail("collective defect", 1)
    assert status == 1
    assert "ZeroDivisionError: a defect" in said
    assert "while reading the data on rank 1 of 3" in said
