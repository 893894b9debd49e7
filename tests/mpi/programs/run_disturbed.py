"""`prosper-ng run ...` that is disturbed on one rank: HOW RANK SWEEP ARGUMENTS...

HOW is a signal to the rank itself (SIGKILL), to the launcher (launcher:SIGINT), or an error in the E-step (user,
defect), all after so many sweeps. The time of it goes to the file named by DISTURBED_AT.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prosper_ng import cli
from prosper_ng.environment import prepare_environment

prepare_environment()

from prosper_ng.errors import NumericalError  # noqa: E402
from prosper_ng.estep.search import Search  # noqa: E402
from prosper_ng.experiments.tasks.train import Train  # noqa: E402

how, rank, sweep = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
original_find, original_measure = Search.find, Train.measure
is_disturbed = False


def launcher():
    """The process that started all ranks."""
    process = os.getpid()
    while process > 1:
        found = subprocess.run(
            ["ps", "-o", "ppid=,comm=", "-p", str(process)], check=True, capture_output=True, text=True
        )
        parent, name = found.stdout.split(maxsplit=1)
        if name.strip().rpartition("/")[2] in ("mpiexec", "mpirun", "orterun", "prterun", "mpiexec.hydra"):
            return process
        process = int(parent)
    raise RuntimeError("no launcher among the ancestors of this process")


def note_time():
    Path(os.environ["DISTURBED_AT"]).write_text(str(time.time()), encoding="utf-8")


def measure(self, setting, state):
    """Sends the signal from within a sweep, at the end of which, or of the next one, it is seen."""
    global is_disturbed
    if setting.problem.comm.rank == rank and state.sweep == sweep and not is_disturbed:
        is_disturbed = True
        note_time()
        target, _, name = how.rpartition(":")
        os.kill(launcher() if target == "launcher" else os.getpid(), signal.Signals[name])
    return original_measure(self, setting, state)


def find(self, task, sets, vary=True):
    """Fails on the rank that owns the row with the number of the rank that is to fail."""
    if task.stream.sweep == sweep and rank in task.batch.rows:
        note_time()
        raise NumericalError("injected by the test") if how == "user" else ZeroDivisionError("injected by the test")
    return original_find(self, task, sets, vary)


if how in ("user", "defect"):
    Search.find = find
else:
    Train.measure = measure
sys.exit(cli.main(sys.argv[4:]))
