"""Whole bars runs, from the command to results and pictures, beside those of ProSper: processor seconds of the process.

    python scripts/bench/whole_job.py [--turns 3] [--only bsc ...] [--prosper CHECKOUT --prosper-python PYTHON]

Both have the sizes, rows, sweeps and annealing of ProSper's parameter files, on one thread. The programs take turns, so
that a machine that slows down slows both. Kernels are compiled before, and modules have their bytecode. ProSper is not
part of this project: name a checkout of it and the Python of an environment that it runs in.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

from prosper_ng.environment import THREAD_VARIABLES
from prosper_ng.storage.run_record import read_run

CONFIGS = Path(__file__).parents[2] / "configs" / "runs"
CONTENDER = Path(__file__).parent / "contenders" / "whole_prosper.py"


class Job(NamedTuple):
    """One line of the table."""

    file: str
    n_candidates: int
    max_active: int
    changes: tuple[str, ...] = ()
    """What else differs from the configuration."""


JOBS = {
    "bsc": Job("bars-bsc", 8, 5),
    "tsc": Job(
        "bars-tsc", 7, 5,
        (
            "training.n_sweeps=300",
            "training.annealing.temperature=[[0, 2.0], [210, 1.0]]",
            "training.annealing.data_pruning=[[0, 0.0], [200, 1.0]]",
        ),
    ),
    "dsc": Job("bars-dsc", 7, 5),
    "mca": Job("bars-mca-soft", 8, 5, ("training.annealing.parameter_noise={}",)),
    "mmca": Job("bars-mmca-soft", 7, 5, ("training.annealing.parameter_noise={}",)),
    "gsc": Job("bars-gsc", 7, 4),
}  # fmt: skip


def seconds_of(command: list[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Processor seconds of a command, in user and system mode; raises SystemExit where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def own(job: Job, folder: Path, environment: Mapping[str, str]) -> float:
    """A run of prosper_ng in a new folder."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    sizes = (f"estep.n_candidates={job.n_candidates}", f"estep.max_active={job.max_active}")
    command = [sys.executable, "-m", "prosper_ng", "--quiet", "run", str(CONFIGS / f"{job.file}.yaml")]
    for change in (*sizes, *job.changes):
        command += ["--set", change]
    return seconds_of([*command, "--output", "run"], folder, environment)


def measured(name: str, options: argparse.Namespace, place: Path, environment: Mapping[str, str]) -> str:
    """The line of a model."""
    job = JOBS[name]
    own(job, place, environment)
    mine, others = [], []
    for _ in range(options.turns):
        mine.append(own(job, place, environment))
        if options.prosper is not None:
            command = [options.prosper_python, str(CONTENDER), str(options.prosper), f"param-bars-{name}.py"]
            others.append(seconds_of(command, place / "barstests", environment))
    record = read_run(place / "run")
    sizes = f"{record.attributes['n_rows']:,} | {job.n_candidates}, {job.max_active} | {record.sweeps}"
    found = record.results["recovered"]
    cells = f"{median(mine):.2f} ({min(mine):.2f} to {max(mine):.2f})"
    beside = f"{median(others):.1f} | {median(others) / median(mine):.1f}" if others else " | "
    return f"| {name.upper()} | {sizes} | {found['found']} of {found['of']} | {cells} | {beside} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(JOBS), choices=list(JOBS), metavar="MODEL")
    parser.add_argument("--turns", type=int, default=3, help="runs of each program (default: %(default)s)")
    parser.add_argument("--prosper", type=Path, metavar="FOLDER", help="a checkout of ProSper")
    parser.add_argument("--prosper-python", default=sys.executable, metavar="FILE", help="Python for ProSper")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1") | {"PYTHONPYCACHEPREFIX": f"{name}/bytecode"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if options.prosper is not None:
            options.prosper = options.prosper.resolve()
            shutil.copytree(options.prosper / "examples" / "barstests", place / "barstests")
        print("| model | rows | H', gamma | sweeps | bars | prosper_ng, s | ProSper, s | ratio |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for model in options.only:
            print(measured(model, options, place, environment), flush=True)


if __name__ == "__main__":
    main()
