"""Seconds that denoising takes to 29.5 and to 29.7 dB: House at noise 50, GSC, for three seeds of noise and dictionary.

    python scripts/bench/time_to_quality.py --image house.png --ranks 1 2 [--peer TVO=27 ...]

Each run is the command that users give, and its seconds are those on the clock from the first sweep on, the measuring
of PSNR after every sweep among them. Run it on a machine that does nothing else. A peer is named with the rows a second
that `peers.py --only large-gsc` found for it on the same patches; until all rows were visited once it has no
dictionary to denoise with.
"""

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ranks import ROOT, run_python

from prosper_ng.storage.run_record import read_run

HOUSE = ROOT.parent / "shared" / "data" / "house.png"
CONFIG = ROOT / "configs" / "runs" / "denoise-house-gsc.yaml"
QUALITIES = (29.5, 29.7)


class Course(NamedTuple):
    """PSNR and seconds after each sweep, in the mean over seeds where it is one of several runs."""

    seconds: np.ndarray
    psnr: np.ndarray

    def reaches(self, quality: float) -> str:
        """When, on the clock."""
        reached = np.flatnonzero(self.psnr >= quality)
        return f"{self.seconds[reached[0]]:.1f} s, sweep {reached[0] + 1}" if len(reached) else "not reached"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=HOUSE, metavar="FILE", help="house.png (default: %(default)s)")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="numbers of ranks (default: 1 2)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="(default: 1 2 3)")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="as in prosper-ng run")
    parser.add_argument("--peer", nargs="+", default=[], metavar="NAME=ROWS", help="rows a second of other programs")
    parser.add_argument("--figure", type=Path, help="where to draw the courses")
    return parser.parse_args()


def run(options: argparse.Namespace, n_ranks: int, seed: int, folder: Path) -> tuple[Course, int, float]:
    """The course of a run, its rows, and the PSNR of the noisy image."""
    overrides = [f"data.image={options.image}", f"seed={seed}", "output.figures=false", *options.overrides]
    changes = [word for override in overrides for word in ("--set", override)]
    run_python(n_ranks, "-m", "prosper_ng", "run", CONFIG, "--quiet", "--output", folder, *changes)
    record = read_run(folder)
    before = float(record.results["psnr"]["before"])
    return Course(record.history["elapsed"], record.history["psnr"]), int(record.attributes["n_rows"]), before


def draw(courses: dict[int, list[Course]], peers: list[str], n_rows: int, before: float, path: Path) -> None:
    """PSNR over seconds: each seed thin, means thick, peers where they stand before their first M-step."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (axes, below) = plt.subplots(
        2, 1, figsize=(6.4, 4.4), sharex=True, height_ratios=(5, 1), layout="constrained"
    )
    for color, (n_ranks, found) in zip(("#0b6e99", "#c44e34", "#4d8f3c", "#7b5ea7"), courses.items(), strict=False):
        for course in found:
            axes.plot(course.seconds, course.psnr, color=color, lw=0.6, alpha=0.6)
        whole = mean(found)
        label = f"prosper_ng, {n_ranks} {'rank' if n_ranks == 1 else 'ranks'}, mean of {len(found)}"
        axes.plot(whole.seconds, whole.psnr, color=color, lw=2, marker="o", ms=3, label=label)
    for quality in QUALITIES:
        axes.axhline(quality, color="#bbbbbb", lw=0.8, zorder=0)
    end = max(course.seconds[-1] for found in courses.values() for course in found)
    for style, peer in zip(("--", ":"), peers, strict=False):
        name, rate = peer.split("=")
        label = f"{name}: {min(float(rate) * end / n_rows, 1):.1%} of its first sweep in {end:.0f} s"
        below.plot([0, end], [before, before], style, color="#555555", label=label)
    below.set(xlabel="seconds on the clock", xlim=(0, None), ylim=(before - 0.5, before + 2))
    axes.set(ylabel="PSNR in dB")
    for each in (axes, below):
        each.legend(frameon=False, fontsize=8, loc="lower right" if each is axes else "upper right")
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def mean(courses: list[Course]) -> Course:
    """The mean over seeds, sweep by sweep."""
    return Course(*(np.mean(column, axis=0) for column in zip(*courses, strict=True)))


def main() -> None:
    options = arguments()
    if not options.image.exists():
        print(f"skipped: there is no {options.image}; name a file with --image FILE")
        return
    courses: dict[int, list[Course]] = {n_ranks: [] for n_ranks in options.ranks}
    print("| ranks | seed | " + " | ".join(f"{quality} dB" for quality in QUALITIES) + " | last |")
    print("| --- | --- |" + " --- |" * (len(QUALITIES) + 1))
    with tempfile.TemporaryDirectory() as place:
        for seed in options.seeds:
            for n_ranks in options.ranks:
                course, n_rows, before = run(options, n_ranks, seed, Path(place) / f"{n_ranks}-{seed}")
                courses[n_ranks].append(course)
                show(n_ranks, str(seed), course)
    for n_ranks, found in courses.items():
        show(n_ranks, "mean", mean(found))
    if options.figure:
        draw(courses, options.peer, n_rows, before, options.figure)


def show(n_ranks: int, seed: str, course: Course) -> None:
    cells = " | ".join(course.reaches(quality) for quality in QUALITIES)
    print(f"| {n_ranks} | {seed} | {cells} | {course.psnr[-1]:.2f} dB, {course.seconds[-1]:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
