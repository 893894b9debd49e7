"""Processor seconds of the phases of sweeps: `time_ranks.py CONFIG SETTING...`, alone or under mpiexec; as JSON.

`e_step` is the mean over the ranks and `imbalance` how much longer the slowest took, as in the history of a run, but
not in wall time: what other programs on these cores take does not count.
"""

import json
import sys
from time import process_time

from prosper_ng.environment import prepare_environment

prepare_environment()

from prosper_ng.config import load
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.rehearsal import rehearse
from prosper_ng.parallel.mpi import connect
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.training import em


def main() -> None:
    config, comm = load(sys.argv[1], RunConfig, sys.argv[2:]).value, connect()
    parts = assemble_run(config, comm)
    warm_up(comm, lambda: rehearse(parts))
    em.perf_counter = process_time
    reports = list(em.TruncatedEM(parts.problem, config.training).sweeps(parts.start()))
    if comm.is_root:
        print(json.dumps([report.seconds for report in reports]))


if __name__ == "__main__":
    main()
