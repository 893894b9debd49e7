"""How reliably the bars tests are solved: recovered bars, noise level and sparsity over seeds, for each model.

    python scripts/bench/bars.py [--seeds 20] [--models bsc tsc ...] [--set NAME=VALUE ...]

Prints a table. A bar is recovered where its one-to-one partner among the learned dictionary elements has a normalized
correlation of 0.9 or more. ProSper's figures beside ours were measured with its own configuration files; its MCA and
MMCA are soft.
Seconds are those of the processor, kernels included where they had to be compiled; the median of the runs.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.config import load
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.tasks.interface import TaskContext
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.training.em import TruncatedEM, start

CONFIGS = Path(__file__).parents[2] / "configs" / "runs"


class Form(NamedTuple):
    """A line of the table: the configuration `bars-KIND.yaml`, and what ProSper comes to."""

    kind: str
    label: str
    prosper: str = ""


FORMS = {
    "bsc": Form("bsc", "BSC", "10 of 10 seeds"),
    "tsc": Form("tsc", "TSC", "2 of 5"),
    "dsc": Form("dsc", "DSC", "9 of 10"),
    "mca": Form("mca", "MCA, hard"),
    "mca-soft": Form("mca-soft", "MCA, soft", "10 of 10"),
    "mmca": Form("mmca", "MMCA, hard"),
    "mmca-soft": Form("mmca-soft", "MMCA, soft", "9 of 10"),
    "gsc": Form("gsc", "GSC", "5 of 5"),
    "noisy-or": Form("noisy-or", "noisy-OR"),
}


class Result(NamedTuple):
    """One run."""

    found: int
    n_bars: int
    sigma_error: float
    pi_error: float
    seconds: float


def run(form: Form, seed: int, overrides: list[str]) -> Result:
    """Learn once; errors are relative to the truth."""
    loaded = load(CONFIGS / f"bars-{form.kind}.yaml", RunConfig, [f"seed={seed}", *overrides])
    parts = assemble_run(loaded.value, SerialCommunicator())
    state = start(parts.problem, parts.initial)
    began = time.process_time()
    for _ in TruncatedEM(parts.problem, loaded.value.training).sweeps(state):
        pass
    seconds = time.process_time() - began
    results = loaded.value.task.finish(TaskContext(parts.problem, parts.dataset), state, Path())
    truth = parts.dataset.truth
    assert truth is not None
    activity = float(parts.problem.model.activity(state.params).mean())
    true_activity = 1 - float(truth["pi"][0]) if truth["pi"].ndim else float(truth["pi"])
    has_noise = "sigma" in state.params
    sigma_error = np.sqrt(np.mean(np.square(state.params["sigma"]))) / truth["sigma"] - 1 if has_noise else np.nan
    return Result(
        results["recovered"]["found"],
        results["recovered"]["of"],
        float(sigma_error),
        activity / true_activity - 1,
        seconds,
    )


def row(form: Form, results: list[Result]) -> str:
    """One line of the table; errors are those of the runs that recovered all bars."""
    solved = [result for result in results if result.found == result.n_bars]
    sigma = max((abs(result.sigma_error) for result in solved), default=np.nan)
    pi = max((abs(result.pi_error) for result in solved), default=np.nan)
    seconds = float(np.median([result.seconds for result in results]))
    of_sigma = "" if np.isnan(sigma) else f"{100 * sigma:.1f} %"
    return (
        f"| {form.label} | {len(solved)} of {len(results)} | {of_sigma} | {100 * pi:.1f} % "
        f"| {form.prosper} | {seconds:.1f} |"
    )


def main() -> None:
    """Print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    arguments: Any = parser.parse_args()
    print("| model | all bars found | largest error of sigma | largest error of pi | ProSper, all bars | CPU s a run |")
    print("| --- | --- | --- | --- | --- | --- |")
    for form in map(FORMS.__getitem__, arguments.models):
        results = [run(form, seed, arguments.overrides) for seed in range(arguments.seeds)]
        print(row(form, results), flush=True)


if __name__ == "__main__":
    main()
