"""Where the time of a sweep goes on 1 and on more ranks, from the history of runs on them; the ranks take turns.

The digest of every run is compared: it must not depend on the number of ranks.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from prosper_ng.storage.run_record import read_run

ROOT = Path(__file__).parents[2]
HOUSE = ROOT.parent / "shared" / "data" / "house.png"
CONFIG = ROOT / "configs" / "runs" / "denoise-house.yaml"
PHASES = ("e_step", "imbalance", "m_step", "communication")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=HOUSE, metavar="FILE", help="house.png (default: %(default)s)")
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2], help="numbers of ranks (default: 1 2)")
    parser.add_argument("--updates", type=int, default=1, help="M-steps in a sweep (default: %(default)s)")
    parser.add_argument("--n-sweeps", type=int, default=6, help="sweeps of a run, the first left out")
    parser.add_argument("--rounds", type=int, default=3, help="runs on each number of ranks (default: %(default)s)")
    return parser.parse_args()


def run(options: argparse.Namespace, n_ranks: int, folder: Path) -> tuple[dict[str, list[float]], str]:
    """Seconds of each phase in every sweep but the first, and the digest of the run."""
    settings = [
        f"data.image={options.image}", f"training.updates_per_sweep={options.updates}", "task={kind: train}",
        f"training.n_sweeps={options.n_sweeps}", "output.figures=false",
    ]  # fmt: skip
    command = [sys.executable, "-m", "prosper_ng", "run", str(CONFIG), "--quiet", "--output", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    if n_ranks > 1:
        command = ["mpiexec", "-n", str(n_ranks), *command]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"PATH": path})
    record = read_run(folder)
    return {name: list(record.history[f"seconds_{name}"][1:]) for name in PHASES}, str(record.attributes["digest"])


def main() -> None:
    options = arguments()
    if not options.image.exists():
        print(f"skipped: there is no {options.image}; name a file with --image FILE")
        return
    seconds: dict[int, dict[str, list[float]]] = {n: {name: [] for name in PHASES} for n in options.ranks}
    digests = set()
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.rounds):
            for n_ranks in options.ranks:
                found, digest = run(options, n_ranks, Path(folder) / f"{n_ranks}-{turn}")
                digests.add(digest)
                for name in PHASES:
                    seconds[n_ranks][name] += found[name]
    print(
        f"milliseconds of a sweep, median of {options.rounds * (options.n_sweeps - 1)} sweeps on each number of ranks"
    )
    print(f"{'ranks':>5} {'E-step':>9} {'imbalance':>10} {'M-step':>8} {'communication':>14} {'sum':>8}")
    for n_ranks, found in seconds.items():
        times = [1000 * median(found[name]) for name in PHASES]
        print("{:>5} {:>9.1f} {:>10.1f} {:>8.1f} {:>14.2f} {:>8.1f}".format(n_ranks, *times, sum(times)))
    print(f"digests: {'all equal' if len(digests) == 1 else 'DIFFERENT, which is a defect'}")


if __name__ == "__main__":
    main()
