"""Times sweeps of prosper_ng over rows; see peers.py, which starts this."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.components import components_of
from prosper_ng.models.interface import Moments
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.training.em import Problem, TrainingState, TruncatedEM, start
from prosper_ng.training.settings import Training


def component(package: str, fields: dict[str, Any]) -> Any:
    """A component from its fields, lists as tuples."""
    kind, *_ = (fields["kind"],)
    settled = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    settled.pop("kind")
    return components_of(package)[kind](kind=kind, **settled)


def problem_of(rows: np.ndarray, workload: dict[str, Any]) -> Problem:
    fields = dict(workload["estep"])
    if fields["kind"] == "search":
        n_states = fields.pop("n_states")
        evolution = {**fields, "kind": "evolution", "selection": "fitness", "parents": "offspring", "mutation": "flip"}
        variation = component("prosper_ng.estep.variations", evolution)
        fields = {"kind": "search", "n_states": n_states, "variations": (variation,)}
    estep, model = component("prosper_ng.estep", fields), component("prosper_ng.models", workload["model"])
    blocks = RowBlocks(len(rows), default_block_rows(len(rows), 1))
    return Problem(model, estep, rows, blocks, SerialCommunicator(), seed=1)


def begin(problem: Problem) -> TrainingState:
    rows = problem.values
    moments = Moments(len(rows), rows.mean(axis=0), rows.var(axis=0))
    return start(problem, problem.model.initial(moments, stream(1, "initial parameters").generator()))


def main() -> None:
    workload, seconds_wanted = json.loads(sys.argv[1]), float(sys.argv[3])
    problem = problem_of(np.load(Path(sys.argv[2])), workload)
    state = begin(problem)
    seconds: list[float] = []
    sweeps = TruncatedEM(problem, Training(n_sweeps=1_000_000)).sweeps(state)
    next(sweeps)  # compiles or loads kernels
    until = time.perf_counter() + seconds_wanted
    while len(seconds) < 3 or time.perf_counter() < until:
        began = time.process_time()
        report = next(sweeps)
        seconds.append(time.process_time() - began)
    print(json.dumps({"seconds": seconds, "free_energy": report.free_energy}))


if __name__ == "__main__":
    main()
