"""Labels of rows under mpiexec: the start and all that is learned have the bits of a single process."""

import pytest

from tests.conftest import on_libraries

pytestmark = pytest.mark.mpi

SCRIPT = """
import sys

import numpy as np
import prosper_ng

rng = np.random.default_rng(4)
truth = rng.integers(0, 3, 301)
data = rng.normal(rng.uniform(-9, 9, (3, 2))[truth])
weights = rng.exponential(size=301) * (rng.random(301) > 0.2)

def told(world, n_known, weights):
    training = {"n_sweeps": 3, "block_rows": 8, "restarts": 2}
    return prosper_ng.learn(
        data, {"kind": "mixture", "n_components": 6, "n_classes": 3}, weights=weights, held_out=0.1, training=training,
        labels=np.where(np.arange(301) < n_known, truth, np.nan), comm=world, progress=False,
    ).digest

def all_told(world):
    return " ".join(told(world, n_known, each) for n_known in (2, 20, 301) for each in (None, weights))
"""


@pytest.fixture(scope="module")
def expected():
    space = {}
    exec(SCRIPT, space)
    return space["all_told"](None)


@pytest.mark.filterwarnings("ignore:no row has the label")
@on_libraries("n_ranks", [2, 3], 2)
def test_any_number_of_ranks_makes_the_same_bits(mpiexec, expected, n_ranks):
    code = SCRIPT + "\nfrom mpi4py import MPI\n\nsys.stdout.write(all_told(MPI.COMM_WORLD) + '\\n')\n"
    done = mpiexec(n_ranks, code=code, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [expected] * n_ranks
