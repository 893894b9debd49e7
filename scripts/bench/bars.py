"""How reliably the bars tests are solved: recovered bars, noise level and sparsity over seeds, for each model.

    python scripts/bench/bars.py [--seeds 20] [--models bsc tsc ...] [--set NAME=VALUE ...]

Prints a table. A bar is recovered where its one-to-one partner among the learned fields has a normalized correlation of
0.9 or more. ProSper's figures beside ours were measured with its own configuration files.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.config import load
from prosper_ng.experiments.assembly import assemble
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.tasks.interface import Setting
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.training.em import TruncatedEM, start

CONFIGS = Path(__file__).parents[2] / "configs" / "runs"
PROSPER = {
    "bsc": "10 of 10 seeds",
    "tsc": "2 of 5",
    "dsc": "9 of 10",
    "mca": "10 of 10",
    "mmca": "9 of 10",
    "gsc": "5 of 5",
}


class Result(NamedTuple):
    """One run."""

    found: int
    n_bars: int
    sigma_error: float
    pi_error: float
    seconds: float


def run(model: str, seed: int, overrides: list[str]) -> Result:
    """Learn once; errors are relative to the truth."""
    loaded = load(CONFIGS / f"bars-{model}.yaml", RunConfig, [f"seed={seed}", *overrides])
    parts = assemble(loaded.value, SerialCommunicator())
    state = start(parts.problem, parts.initial)
    began = time.perf_counter()
    for _ in TruncatedEM(parts.problem, loaded.value.training).sweeps(state):
        pass
    seconds = time.perf_counter() - began
    results = loaded.value.task.finish(Setting(parts.problem, parts.dataset), state, Path())
    truth = parts.dataset.truth
    assert truth is not None
    activity = float(parts.problem.model.activity(state.params).mean())
    true_activity = 1 - float(truth["pi"][0]) if truth["pi"].ndim else float(truth["pi"])
    sigma = float(np.sqrt(np.mean(np.square(state.params["sigma"]))))
    return Result(
        results["recovered"]["found"],
        results["recovered"]["of"],
        sigma / float(truth["sigma"]) - 1,
        activity / true_activity - 1,
        seconds,
    )


def row(model: str, results: list[Result]) -> str:
    """One line of the table; errors are those of the runs that recovered all bars."""
    solved = [result for result in results if result.found == result.n_bars]
    sigma = max((abs(result.sigma_error) for result in solved), default=np.nan)
    pi = max((abs(result.pi_error) for result in solved), default=np.nan)
    seconds = float(np.median([result.seconds for result in results]))
    return (
        f"| {model.upper()} | {len(solved)} of {len(results)} | {100 * sigma:.1f} % | {100 * pi:.1f} % "
        f"| {PROSPER[model]} | {seconds:.0f} |"
    )


def main() -> None:
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=list(PROSPER), choices=list(PROSPER))
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments: Any = parser.parse_args()
    print("| model | all bars found | largest error of sigma | largest error of pi | ProSper, all bars | s a run |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model in arguments.models:
        results = [run(model, seed, arguments.overrides) for seed in range(arguments.seeds)]
        print(row(model, results), flush=True)


if __name__ == "__main__":
    main()
