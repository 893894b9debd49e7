"""E-step and M-step of BSC with evolutionary state sets: data points per second of one thread, here and in the peers.

The rows are patches of a photograph with noise. Each contender is a process of its own with one thread; they take
turns, so that a machine that slows down slows all of them. Times are processor times; the first sweep of each, in which
kernels are compiled or loaded, does not count. The peers are not part of this project: name checkouts of them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from prosper_ng.storage.sources.image import Image

HOUSE = Path(__file__).parents[3] / "shared" / "data" / "house.png"
CONTENDERS = Path(__file__).parent / "contenders"
NOISE, PATCH_SIZE = 25.0, 8
WORKLOAD = {
    "n_latents": 256, "n_states": 60, "n_parents": 10, "n_children": 1, "n_generations": 2,
    "tvo_batch": 32, "tvo_precision": "float32",
}  # fmt: skip


class Contender(NamedTuple):
    name: str
    command: list[str]
    n_sweeps: int


class Speed(NamedTuple):
    """Seconds of processor time for each row, in the median over sweeps; the mean number of active latents."""

    e_step: float
    m_step: float
    active: float

    @property
    def sweep(self) -> float:
        return self.e_step + self.m_step


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    image = str(HOUSE) if HOUSE.exists() else "camera"
    parser.add_argument("--image", default=image, help="a file, or a name in scikit-image (default: %(default)s)")
    parser.add_argument("--n-rows", type=int, default=10_000, metavar="N", help="data points (default: %(default)s)")
    parser.add_argument("--keep-mean", action="store_true", help="do not subtract from each patch its mean")
    parser.add_argument("--sweeps", type=int, default=40, help="sweeps of prosper_ng (default: %(default)s)")
    parser.add_argument("--peer-sweeps", type=int, default=3, help="sweeps of a peer, 2 or more (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (default: %(default)s)")
    for peer in ("evo", "tvo"):
        parser.add_argument(f"--{peer}", type=Path, metavar="FOLDER", help=f"a checkout of tvlearn/{peer}")
        parser.add_argument(
            f"--{peer}-python", default=sys.executable, metavar="FILE", help="the Python to run it with"
        )
    return parser.parse_args()


def rows_of(image: str, n_rows: int, remove_mean: bool) -> np.ndarray:
    """Patches (n_rows, D), spread evenly over the image."""
    dataset = Image(image=image, noise=NOISE, patch_size=PATCH_SIZE, remove_mean=remove_mean).open(seed=1)
    every = np.linspace(0, dataset.n_rows - 1, n_rows).astype(np.int64)
    return dataset.read(0, dataset.n_rows)[every]


def contenders(options: argparse.Namespace, rows: Path) -> list[Contender]:
    """prosper_ng and the peers that are there; says why one is not."""

    def contender(name: str, python: str, n_sweeps: int, *folder: str) -> Contender:
        program = str(CONTENDERS / f"time_{name}.py")
        return Contender(name, [python, program, json.dumps(WORKLOAD), str(rows), str(n_sweeps), *folder], n_sweeps)

    found = [contender("own", sys.executable, options.sweeps)]
    for name in ("evo", "tvo"):
        folder, python = getattr(options, name), getattr(options, f"{name}_python")
        if folder is None:
            print(f"{name}: skipped, no checkout of it was named (--{name} FOLDER)")
        elif not (folder / name).is_dir():
            print(f"{name}: skipped, {folder} holds no package {name}")
        else:
            found.append(contender(name, python, options.peer_sweeps, str(folder.resolve())))
    return found


def speed(contender: Contender, n_rows: int) -> Speed | None:
    """One turn of a contender; None, with its last words printed, where it failed."""
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    ended = subprocess.run(contender.command, capture_output=True, text=True, env=os.environ | one_thread, check=False)
    if ended.returncode:
        print(f"{contender.name}: failed: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}")
        return None
    result = json.loads(ended.stdout.splitlines()[-1])
    e_step, m_step = (median(result[name][1:]) / n_rows for name in ("e_step", "m_step"))
    return Speed(e_step, m_step, result["active"][-1])


def show(turns: dict[str, list[Speed]]) -> None:
    print(
        f"\n{'':<11} {'E-step':>9} {'M-step':>9} {'sweep':>9}   {'E-step':>8} {'M-step':>8} {'sweep':>8}   "
        f"{'active':>6}   speed of prosper_ng over it, each turn\n"
        f"{'':<11} {'rows/s':>9} {'rows/s':>9} {'rows/s':>9}   {'µs/row':>8} {'µs/row':>8} {'µs/row':>8}   {'':>6}"
    )
    for name, speeds in turns.items():
        times = [median(getattr(turn, field) for turn in speeds) for field in ("e_step", "m_step", "sweep")]
        rates = " ".join(f"{1 / seconds:>9,.0f}" for seconds in times)
        per_row = " ".join(f"{1e6 * seconds:>8.1f}" for seconds in times)
        ratios = [turn.sweep / own.sweep for turn, own in zip(speeds, turns["own"], strict=True)]
        said = "" if name == "own" else f"{median(ratios):.0f}  ({', '.join(f'{ratio:.0f}' for ratio in ratios)})"
        label = "prosper_ng" if name == "own" else name
        print(f"{label:<11} {rates}   {per_row}   {speeds[-1].active:>6.2f}   {said}")


def main() -> None:
    options = arguments()
    rows = rows_of(options.image, options.n_rows, not options.keep_mean)
    print(
        f"{options.n_rows} patches of {PATCH_SIZE} x {PATCH_SIZE} pixels of {options.image}, noise {NOISE:g}, H = 256, "
        f"S = 60, 10 parents, 1 child, 2 generations, one thread; median over sweeps, then over {options.rounds} turns"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, rows)
        racing = contenders(options, path)
        turns: dict[str, list[Speed]] = {contender.name: [] for contender in racing}
        for _ in range(options.rounds):
            for contender in [one for one in racing if one.name in turns]:
                found = speed(contender, options.n_rows)
                if found is None:
                    del turns[contender.name]
                else:
                    turns[contender.name].append(found)
        if "own" in turns:
            show(turns)


if __name__ == "__main__":
    main()
