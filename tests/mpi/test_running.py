"""`prosper_ng.run` and `learn(folder=...)` under mpiexec: the bits of one process, and Ctrl-C for all ranks."""

import pytest

pytestmark = pytest.mark.mpi

SCRIPT = """
import os, signal, sys
import numpy as np
import prosper_ng
from mpi4py import MPI

world = MPI.COMM_WORLD
data = np.random.default_rng(4).normal(size=(150, 6))
SETTINGS = {
    "model": {"kind": "gsc", "n_latents": 5}, "estep": {"kind": "search", "n_states": 9}, "seed": 7,
    "training": {"n_sweeps": 5, "updates_per_sweep": 3, "block_rows": 16},
}
np.save(f"rows{world.rank}.npy", data)
world.barrier()
CONFIG = {"name": "a", "data": {"kind": "npy", "path": "rows0.npy"}, **SETTINGS, "output": {"figures": False}}
handlers = signal.getsignal(signal.SIGINT)

def say(*words):
    # In one piece, or lines of several ranks get mixed.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def stop(report, params):
    if report.sweep == 2:
        signal.raise_signal(signal.SIGINT)  # on root alone, and all ranks hear of it

try:
    prosper_ng.learn(data, folder="kept", comm=world, on_sweep=stop, **SETTINGS)
except KeyboardInterrupt as interrupt:
    say("stopped", interrupt.learned.n_sweeps, signal.getsignal(signal.SIGINT) is handlers)
found = prosper_ng.learn(data, folder="kept", comm=world, **SETTINGS)
say(found.digest, found.params.buffer.sum().hex(), len(found.history) > 0)
try:
    prosper_ng.learn(data + 1, folder="kept", comm=world, **SETTINGS)
except ValueError as error:
    say("other data", "does not hold the rows that it began with" in str(error))
outcome = prosper_ng.run(CONFIG, comm=world)
say(outcome.learned.digest, outcome.finished, outcome.folder)
try:
    prosper_ng.run(CONFIG | {"seed": -1}, comm=world)
except ValueError as error:
    say("refused", "`seed` must be an integer" in str(error))
"""


@pytest.fixture(scope="module")
def digest():
    import numpy as np

    import prosper_ng

    settings = {
        "model": {"kind": "gsc", "n_latents": 5},
        "estep": {"kind": "search", "n_states": 9},
        "training": {"n_sweeps": 5, "updates_per_sweep": 3, "block_rows": 16},
    }
    return prosper_ng.learn(np.random.default_rng(4).normal(size=(150, 6)), seed=7, **settings).digest


@pytest.mark.parametrize(
    ("mpiexec", "n_ranks"), [("", 2), pytest.param("Open MPI", 3, marks=pytest.mark.slow)], indirect=["mpiexec"]
)
def test_all_ranks_keep_one_run(mpiexec, digest, tmp_path, n_ranks):
    done = mpiexec(n_ranks, code=f"import os\nos.chdir({str(tmp_path)!r})\n{SCRIPT}", timeout=200)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")[:-1]
    for words in ("stopped 2 True", "other data True", "refused True", f"{digest} True runs/a"):
        assert lines.count(words) == n_ranks, (words, lines)
    learned = [line.split() for line in lines if line.startswith(digest) and not line.endswith("runs/a")]
    assert len({sums for _, sums, _ in learned}) == 1
    assert sorted(has_history for *_, has_history in learned) == [*["False"] * (n_ranks - 1), "True"]
