"""How long commands take to start, and a run until its first sweep is done, with and without compiled kernels at hand.

Each measurement is a process of its own, over so few rows that the sweep itself hardly counts. Compiled kernels lie in
a temporary folder, which is empty for every cold start.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "runs" / "denoise-camera.yaml"
FEW_ROWS = ("data.crop=[0, 0, 40, 40]", "training.n_sweeps=1", "training.updates_per_sweep=1", "output.figures=false")
RUN_IMPORTS = "import prosper_ng.cli, prosper_ng.experiments.run, prosper_ng.experiments.run_config"
PREPARED = "from prosper_ng.environment import prepare_environment; prepare_environment(); "


class Times(NamedTuple):
    wall: float
    processor: float


class Case(NamedTuple):
    name: str
    command: list[str]
    cold: bool = False


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG, help="what is run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: %(default)s)")
    return parser.parse_args()


def cases(config: Path, output: Path) -> list[Case]:
    program = [sys.executable, "-m", "prosper_ng"]
    run = [*program, "run", str(config), "--quiet", "--output", str(output)]
    for context in FEW_ROWS:
        run += ["--set", context]
    return [
        Case("python, numpy imported", [sys.executable, "-c", "import numpy"]),
        Case("prosper-ng --help", [*program, "--help"]),
        Case("prosper-ng validate", [*program, "validate", "--quiet", str(config)]),
        Case("imports of a run", [sys.executable, "-c", PREPARED + RUN_IMPORTS]),
        Case("run, one sweep, kernels at hand", run),
        Case("run, one sweep, no kernels", run, cold=True),
    ]


def measured(case: Case, folder: Path) -> Times:
    """One process, with the kernels of earlier ones or without."""
    kernels = Path(tempfile.mkdtemp(dir=folder)) if case.cold else folder / "kernels"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment["XDG_CACHE_HOME"] = str(kernels)
    ended = subprocess.run(case.command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.exit(f"{case.name} failed:\n{ended.stderr}")
    return Times(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        all_cases = [cases(options.config.resolve(), folder / f"run-{turn}") for turn in range(options.rounds + 1)]
        measured(all_cases[-1][-2], folder)  # fills the cache
        times: dict[str, list[Times]] = {case.name: [] for case in all_cases[0]}
        for turn in range(options.rounds):
            for case in all_cases[turn]:
                output = folder / f"run-{turn}"
                if output.exists():
                    output.rename(folder / f"done-{turn}-{time.time_ns()}")
                times[case.name].append(measured(case, folder))
    print(f"median of {options.rounds}, in seconds{'':<10} {'processor':>9} {'wall':>6}   wall from fastest to slowest")
    for label, found in times.items():
        walls = sorted(one.wall for one in found)
        processor = median(one.processor for one in found)
        print(f"{label:<34} {processor:>9.2f} {median(walls):>6.2f}   {walls[0]:.2f} to {walls[-1]:.2f}")


if __name__ == "__main__":
    main()
