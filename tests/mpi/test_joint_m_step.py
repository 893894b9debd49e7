"""Models with second moments so large that all ranks take part in the M-step: one digest, and no rank that waits."""

import re

import pytest

pytestmark = pytest.mark.mpi

SCRIPT = """
import numpy as np
import prosper_ng
from mpi4py import MPI

world = MPI.COMM_WORLD
rng = np.random.default_rng(4)
data = rng.standard_normal((400, 12))
ESTEP = {"kind": "search", "n_states": 5, "variations": [{"kind": "evolution", "n_parents": 3}]}
digests = []
for model in ({"kind": "bsc"}, {"kind": "bsc", "data_mean": True}, {"kind": "gsc"}):
    learned = prosper_ng.learn(
        data, model | {"n_latents": 1100}, estep=ESTEP, seed=7, comm=world,
        training={"n_sweeps": 2, "updates_per_sweep": 2, "block_rows": 64},
    )
    digests.append(learned.digest)
if world.rank == 0:
    print("digests", *digests)
"""


@pytest.mark.heavy
def test_one_digest_on_any_number_of_ranks(mpiexec):
    found = set()
    for n_ranks in (1, 3):
        done = mpiexec(n_ranks, code=SCRIPT, timeout=240)
        assert done.returncode == 0, done.stderr
        found.add(re.search("digests (.*)", done.stdout)[1])
    assert len(found) == 1
