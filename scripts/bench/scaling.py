"""How much faster more ranks are, and where the time of a sweep goes, from the history of runs that take turns.

Strong scaling: all patches of House on 1 and on more ranks. Weak scaling: as many rows for each rank on one rank, every
second, third, ... of them. On a machine that others use as well the fastest sweep of all is the one to look at; with
--processor times are those of the processor, which the others hardly change, and hold no I/O. The digests of runs over
the same rows are compared: they must not depend on the number of ranks.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from ranks import ROOT, run_python

from prosper_ng.data.sources.image import Image
from prosper_ng.storage.run_record import read_run

HOUSE = ROOT.parent / "shared" / "data" / "house.png"
CONFIG = ROOT / "configs" / "runs" / "denoise-house.yaml"
TIME_RANKS = Path(__file__).parent / "contenders" / "time_ranks.py"
PHASES = ("e_step", "imbalance", "m_step", "communication", "io")


class Case(NamedTuple):
    """A number of ranks, and of every how manieth patch they learn."""

    n_ranks: int
    every: int = 1


class Sweeps(NamedTuple):
    """What the runs of a case came to."""

    seconds: list[tuple[float, ...]]
    """Of each phase, in every sweep but the first of a run."""
    digests: set[str]

    @property
    def fastest(self) -> tuple[float, ...]:
        """The phases of the fastest sweep."""
        return min(self.seconds, key=sum)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=HOUSE, metavar="FILE", help="house.png (default: %(default)s)")
    parser.add_argument("--ranks", type=int, nargs="*", default=[1, 2], help="numbers of ranks (default: 1 2)")
    parser.add_argument("--updates", type=int, default=1, help="M-steps in a sweep (default: %(default)s)")
    parser.add_argument("--n-sweeps", type=int, default=6, help="sweeps of a run, the first left out")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case (default: %(default)s)")
    parser.add_argument("--processor", action="store_true", help="processor time instead of wall time")
    return parser.parse_args()


def write_rows(image: Path, every: int, folder: Path) -> int:
    """Save the noisy patches that a case learns from, where there is no such file yet; their number."""
    path = folder / f"rows-{every}.npy"
    if not path.exists():
        dataset = Image(image=str(image), noise=25.0, patch_size=8).open(1)
        np.save(path, dataset.read(0, dataset.n_rows)[::every])
    return len(np.load(path, mmap_mode="r"))


def run(options: argparse.Namespace, case: Case, folder: Path, output: Path) -> Sweeps:
    settings = [
        f"data={{kind: npy, path: {folder / f'rows-{case.every}.npy'}}}", "task={kind: train}",
        f"training.updates_per_sweep={options.updates}", f"training.n_sweeps={options.n_sweeps}",
        "output.figures=false", "output.checkpoint_sweeps=null", "output.checkpoint_minutes=null",
    ]  # fmt: skip
    changes = [word for context in settings for word in ("--set", context)]
    if options.processor:
        told = run_python(case.n_ranks, TIME_RANKS, CONFIG, *settings)
        sweeps = json.loads(told.splitlines()[-1])[1:]
        return Sweeps([tuple(sweep.get(name, 0.0) for name in PHASES) for sweep in sweeps], set())
    run_python(case.n_ranks, "-m", "prosper_ng", "run", CONFIG, "--quiet", "--output", output, *changes)
    record = read_run(output)
    columns = [record.history[f"seconds_{name}"][1:] for name in PHASES]
    return Sweeps([*zip(*columns, strict=True)], {str(record.attributes["digest"])})


def show(found: dict[Case, Sweeps], n_rows: dict[Case, int]) -> None:
    n_sweeps = len(found[Case(1)].seconds)
    print(f"milliseconds of the fastest sweep, and the median over {n_sweeps} sweeps of each case")
    names = ("E-step", "imbalance", "M-step", "communication", "I/O", "sum", "median")
    print(f"{'ranks':>5} {'rows':>7} " + " ".join(f"{name:>{max(len(name), 8)}}" for name in names))
    for case, sweeps in found.items():
        totals = (sum(sweeps.fastest), median(sum(seconds) for seconds in sweeps.seconds))
        times = zip(names, (*sweeps.fastest, *totals), strict=True)
        line = " ".join(f"{1000 * seconds:>{max(len(name), 8)}.1f}" for name, seconds in times)
        print(f"{case.n_ranks:>5} {n_rows[case]:>7,} {line}")
    for case in [each for each in found if each.n_ranks > 1]:
        seconds, alone, share = (sum(found[each].fastest) for each in (case, Case(1), Case(1, case.n_ranks)))
        strong = alone / (case.n_ranks * seconds)
        weak = share / seconds * n_rows[case] / (case.n_ranks * n_rows[Case(1, case.n_ranks)])
        rest = 1 - found[case].fastest[0] / seconds
        print(f"{case.n_ranks} ranks: strong efficiency {strong:.3f}, weak {weak:.3f}; not E-step: {rest:.1%}")


def main() -> None:
    options = arguments()
    if not options.image.exists():
        print(f"skipped: there is no {options.image}; name a file with --image FILE")
        return
    strong = [Case(n_ranks) for n_ranks in dict.fromkeys([1, *options.ranks])]
    cases = [*strong, *(Case(1, case.n_ranks) for case in strong if case.n_ranks > 1)]
    found = {case: Sweeps([], set()) for case in cases}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_rows = {case: write_rows(options.image, case.every, folder) for case in cases}
        for turn in range(options.rounds):
            for case, sweeps in found.items():
                once = run(options, case, folder, folder / f"{case.n_ranks}-{case.every}-{turn}")
                sweeps.seconds.extend(once.seconds)
                sweeps.digests.update(once.digests)
    show(found, n_rows)
    digests = set().union(*(found[case].digests for case in strong))
    if not options.processor:
        print(f"digests: {'all equal' if len(digests) == 1 else 'DIFFERENT, which is a defect'}")


if __name__ == "__main__":
    main()
