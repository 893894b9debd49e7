"""`prosper_ng.learn` in a script under mpiexec: the bits of a single process, and no rank that waits for ever."""

import os
import re

import pytest

from tests.conftest import on_libraries

pytestmark = pytest.mark.mpi

SCRIPT = """
import sys

import numpy as np
import prosper_ng
from mpi4py import MPI
from prosper_ng.errors import NumericalError, UserError

world = MPI.COMM_WORLD
rng = np.random.default_rng(4)
data = (rng.random((150, 5)) < 0.3) @ rng.normal(0.0, 3.0, (6, 5)).T + rng.standard_normal((150, 6))
SETTINGS = {
    "model": {"kind": "gsc", "n_latents": 5}, "estep": {"kind": "search", "n_states": 9}, "seed": 7,
    "training": {"n_sweeps": 4, "updates_per_sweep": 3, "block_rows": 16},
}

def say(*words):
    # In one piece, or lines of several ranks get mixed.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def learn(**changes):
    return prosper_ng.learn(**{"data": data, "comm": world} | SETTINGS | changes)
"""

OTHER_ROWS = """
known, rows = learn(), data.copy()
rows[140, 3] = np.nan
for given in (rows, data[world.rank :], data + world.rank):
    try:
        known.posterior(given, comm=world)
    except UserError as error:
        say("rows", error)
try:
    learn(data=data[50 * world.rank : 50 * world.rank + 50])
except UserError as error:
    say("rows", error)
"""


@pytest.fixture(scope="module")
def digest():
    space = {}
    exec(
        SCRIPT.replace('comm": world', 'comm": None')
        .replace("from mpi4py import MPI\n", "")
        .replace("world = MPI", "#"),
        space,
    )
    return space["learn"]().digest


@on_libraries("n_ranks", [3], 2)
def test_any_number_of_ranks_makes_the_same_bits(mpiexec, digest, n_ranks):
    code = (
        SCRIPT
        + """
seen = []
found = learn(on_sweep=lambda report, params: seen.append(report.sweep))
assert seen == ([1, 2, 3, 4] if world.rank == 0 else [])
assert len(found.history) == (0 if world.rank else len(found.history)) and found.n_sweeps == 4
say(found.digest, found.params.buffer.sum().hex())
assert learn(on_sweep=lambda report, params: report.sweep == 2).n_sweeps == 2
gaps = np.where(np.arange(6) == np.arange(150)[:, None] % 50, np.nan, data)

def bits(**ranks):
    codes = found.posterior(gaps, top_k=2, missing=True, **ranks)
    filled = found.reconstruct(gaps, missing=True, **ranks)
    arrays = [*(each for each in codes if isinstance(each, np.ndarray)), codes.other_means["s_z"], *filled]
    return [array.tobytes() for array in [*arrays, found.free_energy(gaps, missing=True, **ranks)]]

assert bits(comm=world) == bits()
"""
    )
    # Hosts may ask for more threads of linear algebra than the library uses.
    threads = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], str(n_ranks - 1))
    done = mpiexec(n_ranks, code=code, timeout=200, env=threads)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")[:-1]
    assert len(lines) == n_ranks
    assert len(set(lines)) == 1
    assert lines[0].split()[0] == digest


def test_an_error_of_root_alone_is_raised_on_all_ranks(mpiexec):
    code = (
        SCRIPT
        + """
from prosper_ng.training.maximization import Maximization

def listen(report, params):
    raise LookupError("lost in sweep 1")

try:
    learn(on_sweep=listen)
except Exception as error:
    say("listener", "lost in sweep 1" in str(error))

original = Maximization.update

def fails(self, carried, sums, sweep, part, point):
    if sweep == 2:
        raise NumericalError("sigma became -1.5")
    return original(self, carried, sums, sweep, part, point)

Maximization.update = fails
try:
    learn()
except NumericalError as error:
    say(" | ".join(["M-step", str(error), *error.__notes__]))
Maximization.update = original
try:
    learn(model={"kind": "gsc", "n_latents": 0})
except UserError:
    say("arguments", learn().n_sweeps)
"""
    )
    done = mpiexec(3, code=code + OTHER_ROWS, timeout=200)
    assert done.returncode == 0, done.stderr
    place = f"while updating the parameters on rank 0 of 3, host {os.uname().nodename}"
    m_step = f"M-step | sigma became -1.5 | {place} | in the M-step of sweep 3, update 1"
    nan = "the array: row 140, column 3 (counted from 0) is nan; every value must be a finite number; set missing=True"
    ways = ["rows (149, 6) where root has (150, 6)", "other rows than root", "other rows than root"]
    refused = [f"rows rank 1 of 3 was given {way}; give all ranks the same data" for way in ways]
    found = [line.partition(", of which each" if "rank" in line else " if NaN")[0] for line in done.stdout.split("\n")]
    assert sorted(found[:-1]) == sorted(3 * ["listener True", m_step, "arguments 4", f"rows {nan}", *refused])


def test_an_error_of_one_rank_alone_ends_all(mpiexec):
    code = (
        SCRIPT
        + """
from prosper_ng.estep.search import Search

original = Search.posterior

def fails(self, target, sets, vary=True):
    if world.rank == 1 and len(target.batch.rows) == 16:
        raise ZeroDivisionError("a defect")
    return original(self, target, sets, vary)

Search.posterior = fails
learn()
print("done")
"""
    )
    done = mpiexec(2, code=code, timeout=200)
    assert done.returncode == 1
    assert "done" not in done.stdout
    assert done.stderr.count("Traceback (most recent call last)") == 1
    assert re.search(r"ZeroDivisionError: a defect\n(.*\n)*  on rank 1 of 2, host \S+; all ranks end", done.stderr)
