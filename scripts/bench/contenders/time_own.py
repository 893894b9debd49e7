"""Times sweeps of prosper_ng over rows; see estep.py, which starts this."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import Moments
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.training.em import Problem, TrainingState, TruncatedEM, start
from prosper_ng.training.settings import Training


class TimedBSC(BSC):
    """BSC that knows how long it accumulated statistics and maximized, which the others count as M-step."""

    seconds = 0.0

    def accumulate(self, *arguments):
        return timed(super().accumulate, *arguments)

    def maximize(self, *arguments):
        return timed(super().maximize, *arguments)

    def expected_log_joint(self, *arguments):
        return timed(super().expected_log_joint, *arguments)


def timed(method: Callable, *arguments):
    began = time.process_time()
    result = method(*arguments)
    TimedBSC.seconds += time.process_time() - began
    return result


def problem_of(rows: np.ndarray, workload: dict) -> Problem:
    evolution = Evolution(
        n_parents=workload["n_parents"], n_children=workload["n_children"], n_generations=workload["n_generations"],
        selection="fitness", parents="offspring", mutation="flip",
    )  # fmt: skip
    estep = Search(n_states=workload["n_states"], variations=(evolution,))
    blocks = RowBlocks(len(rows), default_block_rows(len(rows), 1))
    model = TimedBSC(n_latents=workload["n_latents"], shared_pi=True)
    return Problem(model, estep, rows, blocks, SerialCommunicator(), seed=1)


def begin(problem: Problem) -> TrainingState:
    rows = problem.values
    moments = Moments(len(rows), rows.mean(axis=0), rows.var(axis=0))
    return start(problem, problem.model.initial(moments, stream(1, "initial parameters").generator()))


def mean_active(problem: Problem, state: TrainingState) -> float:
    return float(np.bitwise_count(state.sets.codes).sum(axis=2).mean())


def main() -> None:
    workload = json.loads(sys.argv[1])
    rows, n_sweeps = np.load(Path(sys.argv[2])), int(sys.argv[3])
    problem = problem_of(rows, workload)
    state = begin(problem)
    e_step, m_step, active = [], [], []
    sweeps = TruncatedEM(problem, Training(n_sweeps=n_sweeps)).sweeps(state)
    for _ in range(n_sweeps):
        TimedBSC.seconds, began = 0.0, time.process_time()
        report = next(sweeps)
        whole = time.process_time() - began
        m_step.append(TimedBSC.seconds)
        e_step.append(whole - m_step[-1])
        active.append(mean_active(problem, state))
    print(json.dumps({"e_step": e_step, "m_step": m_step, "free_energy": report.free_energy, "active": active}))


if __name__ == "__main__":
    main()
