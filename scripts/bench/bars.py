"""How reliably the bars tests are solved, from one start and with restarts, for each model.

    python scripts/bench/bars.py [--seeds 100] [--restarts 3] [--models bsc tsc ...] [--test ten large ...]
        [--set NAME=VALUE ...] [--results FILE.jsonl] [--picture FILE.png]

Prints a table, with 95 % intervals of Wilson. A bar is recovered where its one-to-one partner among the learned
dictionary elements has a normalized correlation of 0.9 or more. What one start comes to is told by the starts that were
tried, as they stand when they are compared. Seconds are those of the processor, the median of the runs.

Results are added to the file, run by run; what it holds already is not learned again. Without `--seeds` all that it
holds is told.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.config import load
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.tasks.interface import TaskContext
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.training.em import TruncatedEM

CONFIGS = Path(__file__).parents[2] / "configs" / "runs"
MODELS = {
    "bsc": "BSC",
    "tsc": "TSC",
    "dsc": "DSC",
    "mca": "MCA, hard",
    "mca-soft": "MCA, soft",
    "mmca": "MMCA, hard",
    "mmca-soft": "MMCA, soft",
    "gsc": "GSC",
    "noisy-or": "noisy-OR",
    "sbn": "sigmoid belief net",
}
"""Configurations `bars-KIND.yaml`, and what to call them."""
TESTS = {
    "ten": [],
    "large": ["data.n_bars=32", "model.n_latents=32", "data.activity=0.0625"],
    "overcomplete": ["model.n_latents=30"],
    "crossing": ["data.activity=0.3"],
}
"""What differs from the configurations: as they are; 32 bars in 16 x 16 pixels, two on average; three times as many
latents as bars; three bars on average, which cross more often."""
_Z = 1.959963984540054


class Result(NamedTuple):
    """One run."""

    test: str
    model: str
    changes: str
    restarts: int
    seed: int
    found: int
    n_bars: int
    tried: list[int]
    """Bars that each start had found when it was compared with the others; those of the run without restarts."""
    free_energies: list[float]
    """Of these starts, per row."""
    sigma_error: float
    pi_error: float
    seconds: float


def run(test: str, model: str, changes: list[str], restarts: int, seed: int) -> Result:
    """Learn once; errors are relative to the truth."""
    overrides = [f"seed={seed}", f"training.restarts={restarts}", *TESTS[test], *changes]
    loaded = load(CONFIGS / f"bars-{model}.yaml", RunConfig, overrides)
    parts, training = assemble_run(loaded.value, SerialCommunicator()), loaded.value.training
    context, state, tried = TaskContext(parts.problem, parts.dataset), parts.start(), []
    began = time.process_time()
    for report in TruncatedEM(parts.problem, training, initial=parts.begin).sweeps(state):
        if report.leg.is_trial and state.sweep == training.tried_sweeps:
            tried.append(loaded.value.task.finish(context, state, Path())["recovered"]["found"])
    seconds = time.process_time() - began
    recovered, truth = loaded.value.task.finish(context, state, Path())["recovered"], parts.dataset.truth
    assert truth is not None
    activity = float(parts.problem.model.activity(state.params).mean()) * parts.problem.model.n_latents
    true_activity = (1 - float(truth["pi"][0]) if truth["pi"].ndim else float(truth["pi"])) * recovered["of"]
    has_noise = "sigma" in state.params
    sigma = float(np.sqrt(np.mean(np.square(state.params["sigma"]))) / truth["sigma"]) if has_noise else np.nan
    return Result(
        test, model, " ".join(changes), restarts, seed, recovered["found"], recovered["of"],
        tried or [recovered["found"]], state.tried or [report.free_energy],
        sigma - 1, activity / true_activity - 1, seconds,
    )  # fmt: skip


def interval(n_successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson."""
    share, spread = n_successes / n, _Z * np.sqrt(n_successes * (n - n_successes) / n + _Z**2 / 4) / (n + _Z**2)
    center = (n_successes + _Z**2 / 2) / (n + _Z**2)
    return max(float(center - spread), 0.0) if share else 0.0, min(float(center + spread), 1.0) if share < 1 else 1.0


def shares(results: list[Result]) -> tuple[tuple[int, int], tuple[int, int]]:
    """All bars found, of how many: from one start, and in the end."""
    n_bars = results[0].n_bars
    starts = [found for result in results for found in result.tried]
    ends = [result.found for result in results]
    return (starts.count(n_bars), len(starts)), (ends.count(n_bars), len(ends))


def row(results: list[Result]) -> str:
    """One line of the table; errors are those of the runs that recovered all bars."""
    one, last = (f"{n} of {of} ({100 * low:.0f}–{100 * high:.0f} %)" for n, of, low, high in told(results))
    solved = [result for result in results if result.found == result.n_bars]
    sigma, pi = (
        max((abs(getattr(result, name)) for result in solved), default=np.nan) for name in ("sigma_error", "pi_error")
    )
    of_sigma, of_pi = ("" if np.isnan(error) else f"{100 * error:.1f} %" for error in (sigma, pi))
    seconds = float(np.median([result.seconds for result in results]))
    return f"| {label_of(results)} | {one} | {last} | {of_sigma} | {of_pi} | {seconds:.1f} |"


def label_of(results: list[Result]) -> str:
    """What the runs of a line have in common."""
    test, model, changes, restarts, *_ = results[0]
    pairs = (change.split("=", 1) for change in changes.split())
    others = [f"{name.rpartition('.')[2]} = {value}" for name, value in pairs]
    starts = f"{restarts} starts" if restarts > 1 else "one start"
    return ", ".join(filter(None, [MODELS[model], test if test != "ten" else "", *others, starts]))


def told(results: list[Result]) -> Iterator[tuple[int, int, float, float]]:
    """Successes, trials and their interval, of one start and in the end."""
    for n, of in shares(results):
        yield n, of, *interval(n, of)


def known(file: Path | None) -> list[Result]:
    """The results of a file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file is not None and file.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def draw(tables: list[list[Result]], file: Path) -> None:
    """The shares with their intervals, from one start and with restarts."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8.0, 0.9 + 0.34 * len(tables)), layout="constrained")
    for place, results in enumerate(tables):
        for (n, of, low, high), shift, color in zip(told(results), (0.14, -0.14), ("#8c8c8c", "#1f5fa8"), strict=True):
            label = ("one start", "with restarts")[shift < 0] if place == 0 else None
            y = len(tables) - place + shift
            axes.plot([100 * low, 100 * high], [y, y], color=color, linewidth=1.5)
            axes.plot(100 * n / of, y, "o", color=color, markersize=5, label=label)
    axes.set_yticks(range(len(tables), 0, -1), [fill(label_of(each), 36) for each in tables])
    axes.set_xlabel("runs that find all bars (%), with 95 % intervals")
    axes.set_xlim(-2, 102)
    axes.grid(True, axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(file, dpi=150)


def main() -> None:
    """Learn what is not known yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--test", nargs="+", default=list(TESTS)[:1], choices=list(TESTS))
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--results", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments: Any = parser.parse_args()
    before, tables = known(arguments.results), []
    asked = product(arguments.test, arguments.models, [" ".join(arguments.changes)], [arguments.restarts])
    wanted = asked if arguments.seeds else dict.fromkeys(each[:4] for each in before)
    print("| model | all bars, one start | all bars, with restarts | error of sigma | error of pi | CPU s a run |")
    print("| --- | --- | --- | --- | --- | --- |")
    for test, model, changes, restarts in wanted:
        results = [each for each in before if each[:4] == (test, model, changes, restarts)]
        for seed in sorted(set(range(arguments.seeds)) - {each.seed for each in results}):
            results.append(run(test, model, arguments.changes, restarts, seed))
            if arguments.results is not None:
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(results[-1]._asdict()) + "\n")
        if results:
            tables.append(results)
            print(row(results), flush=True)
    if arguments.picture is not None:
        draw(tables, arguments.picture)


if __name__ == "__main__":
    main()
