"""A coreset of weighted rows under mpiexec: the bits of a single process, and one sentence on all ranks."""

import pytest

from tests.conftest import on_libraries

pytestmark = pytest.mark.mpi

SCRIPT = """
import sys

import numpy as np
import prosper_ng
from prosper_ng.errors import UserError

rng = np.random.default_rng(4)
data = rng.normal(rng.uniform(-9, 9, (4, 3))[rng.integers(4, size=500)])
data[rng.random(data.shape) < 0.05] = np.nan
weights = rng.exponential(size=500)
weights[::11] = 0.0

def learn(world, **changes):
    given = {
        "model": {"kind": "mixture", "n_components": 4, "noise": "scalar"}, "seed": 7, "weights": weights,
        "estep": {"kind": "clusters", "n_states": 2, "n_near": 3}, "coreset": 90, "held_out": 0.2,
        "training": {"n_sweeps": 4, "updates_per_sweep": 2, "block_rows": 8}, "missing": True, "comm": world,
    }
    return prosper_ng.learn(data, **given | changes)

def told(found):
    return " ".join(map(str, [found.digest, found.data_digest, *sorted(found.on_all_rows.items())]))
"""


@pytest.fixture(scope="module")
def expected():
    space = {}
    exec(SCRIPT, space)
    return space["told"](space["learn"](None))


@on_libraries("n_ranks", [2, 3], 2)
def test_any_number_of_ranks_makes_the_same_bits(mpiexec, expected, n_ranks):
    code = (
        SCRIPT
        + """
from mpi4py import MPI

world = MPI.COMM_WORLD
lines = told(learn(world)) + "\\n"
wrong = np.where(np.arange(500) == 499, -2.0, weights)
try:
    learn(world, weights=wrong)
except UserError as error:
    lines += str(error) + "\\n"
sys.stdout.write(lines)
"""
    )
    done = mpiexec(n_ranks, code=code, timeout=200)
    assert done.returncode == 0, done.stderr
    sentence = "weights: the weight of row 499 (counted from 0) is -2; legal are 0 and numbers from 1e-140 to 1e+140"
    assert sorted(done.stdout.splitlines()) == sorted(n_ranks * [expected, sentence])
