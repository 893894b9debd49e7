"""Free energy against time for each way to choose K_n, with as many states for each row; a figure for each data set.

    python scripts/bench/esteps.py [--only bars-10 ...] [--image house.png] [--folder docs/images]

Binary Sparse Coding by plain EM at temperature 1, the same first parameters for all kinds (for bars, the true elements
under noise as strong as they are, so that local optima do not decide), one thread. Time is that of the processor for
whole sweeps, E-step and M-step; kernels are compiled before. Prints what each kind came to.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from workloads import HOUSE, assembly_of, patches

from prosper_ng.data.sources.bars import Bars
from prosper_ng.data.sources.image import Image
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training

FIGURES = Path(__file__).parents[2] / "docs" / "images"
STYLE = {
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#888888",
    "axes.linewidth": 0.6, "grid.color": "#e4e4e4", "grid.linewidth": 0.6, "axes.axisbelow": True,
}  # fmt: skip


class Scene(NamedTuple):
    """What is learned from what, and for how long."""

    title: str
    n_latents: int
    size: tuple[int, int]
    """H' and gamma of preselection, which settle S for all."""
    seconds: float
    n_seeds: int
    """First parameters to start from."""
    data: Callable[[str], "Data"]
    """Given the name of the image."""

    @property
    def n_states(self) -> int:
        """S, the states that preselection has."""
        n_candidates, max_active = self.size
        patterns = [bin(pattern).count("1") for pattern in range(1 << n_candidates)]
        return 1 + self.n_latents + sum(2 <= active <= max_active for active in patterns)


class Data(NamedTuple):
    """What is learned from."""

    rows: np.ndarray
    """(n, D)."""
    W: np.ndarray | None = None
    """(D, H) the truth, to start in its neighborhood."""


def bars(n_bars: int, n_rows: int) -> Data:
    """Two bars in each image, on average."""
    dataset = Bars(n_bars=n_bars, n_rows=n_rows, activity=2 / n_bars).open(1)
    return Data(dataset.read(0, n_rows), dataset.truth["W"])


SCENES = {
    "bars-10": Scene("Bars: H = 10, D = 25, N = 1,000", 10, (7, 4), 1, 10, lambda _: bars(10, 1000)),
    "bars-100": Scene("Bars: H = 100, D = 2,500, N = 4,000", 100, (6, 3), 10, 2, lambda _: bars(100, 4000)),
    "patches": Scene(
        "Natural patches (camera): H = 300, D = 144, N = 10,000", 300, (8, 3), 30, 1,
        lambda _: Data(patches(Image(image="camera", patch_size=12), 10_000)),
    ),
    "house": Scene(
        "House, noise 25: H = 256, D = 64, N = 10,000", 256, (8, 3), 30, 1,
        lambda image: Data(patches(Image(image=image, noise=25.0, patch_size=8), 10_000)),
    ),
}  # fmt: skip


def search(*variations: dict[str, Any], n_states: int | None = None) -> Callable[[Scene], dict[str, Any]]:
    """Stored state sets with these variations; S is that of the scene where it is not given."""
    return lambda scene: {"kind": "search", "n_states": n_states or scene.n_states, "variations": list(variations)}


def preselection(scene: Scene) -> dict[str, Any]:
    """Expectation Truncation; without the correction of the prior all kinds climb the same free energy."""
    n_candidates, max_active = scene.size
    sizes = {"n_candidates": n_candidates, "max_active": max_active}
    return {"kind": "preselection", "corrects_prior": False, **sizes}


SAMPLING = ({"kind": "sampling", "source": "prior"}, {"kind": "sampling", "source": "marginals"})
KINDS: dict[str, tuple[str, Callable[[Scene], dict[str, Any]]]] = {
    "exhaustive": ("#222222", lambda _: {"kind": "exhaustive"}),
    "preselection": ("#0072b2", preselection),
    "evolution": ("#d55e00", search({"kind": "evolution"})),
    "neighborhood": ("#009e73", search({"kind": "neighborhood"})),
    "sampling": ("#cc79a7", search(*SAMPLING)),
    "preselection, then neighborhood": ("#e69f00", search({"kind": "preselection"}, {"kind": "neighborhood"})),
    "neighborhood, smaller S": ("#56b4e9", search({"kind": "neighborhood"}, n_states=60)),
}
"""The kinds of E-step: their color, and the configuration for a scene."""


def climb(scene: Scene, data: Data, kind: str, seed: int) -> np.ndarray:
    """(n_sweeps, 2) seconds since the start, and free energy per row."""
    with tempfile.TemporaryDirectory() as name:
        rows, initial = Path(name) / "rows.npy", None
        np.save(rows, data.rows)
        if data.W is not None:
            initial = Path(name) / "initial.npz"
            # As much noise as signal: what is learned has to be found, but nobody ends elsewhere by chance.
            noise = np.random.default_rng(seed).standard_normal(data.W.shape)
            np.savez(initial, W=data.W + np.sqrt(np.mean(data.W**2)) * noise)
        model = {"kind": "bsc", "n_latents": scene.n_latents}
        parts = assembly_of(rows, model, KINDS[kind][1](scene), initial, seed)
    em = TruncatedEM(parts.problem, Training(n_sweeps=1_000_000))
    next(em.sweeps(start(parts.problem, parts.initial.copy())))  # compiles or loads kernels
    found: list[tuple[float, float]] = []
    sweeps = em.sweeps(start(parts.problem, parts.initial.copy()))
    began = time.process_time()
    while not found or found[-1][0] < scene.seconds:
        report = next(sweeps)
        found.append((time.process_time() - began, report.free_energy))
    return np.array(found)


def draw(scene: Scene, curves: dict[str, list[np.ndarray]], path: Path) -> None:
    """For each kind a pale line for each seed and the median of all; F from where the first sweeps are left behind."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.0), dpi=200, layout="constrained")
        axes = figure.subplots()
        for kind, found in curves.items():
            color, first = KINDS[kind][0], max(curve[0, 0] for curve in found)
            seconds = np.geomspace(first, max(scene.seconds, 2 * first), 400)
            middle = np.median([np.interp(seconds, *curve.T) for curve in found], axis=0)
            for curve in found:
                axes.plot(*curve.T, color=color, linewidth=0.6, alpha=0.35)
            axes.plot(seconds, middle, color=color, linewidth=1.6, label=f"{kind} ({states(scene, kind):,} states)")
        top = max(curve[:, 1].max() for found in curves.values() for curve in found)
        bottom = min(np.interp(0.02 * scene.seconds, *curve.T) for found in curves.values() for curve in found)
        axes.set(xscale="log", ylim=(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)))
        axes.set(xlabel="seconds of one core", ylabel="free energy per row, nats")
        axes.set_title(scene.title, loc="left", fontsize=8, fontweight="bold")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(True)
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
        figure.savefig(path)


def states(scene: Scene, kind: str) -> int:
    """The size of K_n."""
    return 1 << scene.n_latents if kind == "exhaustive" else KINDS[kind][1](scene).get("n_states", scene.n_states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(SCENES), choices=list(SCENES), metavar="SCENE")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    parser.add_argument("--image", default=str(HOUSE) if HOUSE.exists() else "camera", help="a file with House")
    parser.add_argument("--folder", type=Path, default=FIGURES, help="for the figures (default: %(default)s)")
    options = parser.parse_args()
    print("| data | E-step | states | ms a sweep | F after 10 % of the time | F at the end |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.only:
        scene, curves = SCENES[name], {}
        data = scene.data(options.image)
        for kind in options.kinds:
            if kind == "exhaustive" and scene.n_latents > 10:
                continue
            curves[kind] = [climb(scene, data, kind, seed) for seed in range(scene.n_seeds)]
            print(row(name, kind, scene, curves[kind]), flush=True)
        draw(scene, curves, options.folder / f"esteps-{name}.png")


def row(name: str, kind: str, scene: Scene, found: list[np.ndarray]) -> str:
    """One line of the table: medians over seeds."""
    sweep = median([1e3 * float(curve[-1, 0]) / len(curve) for curve in found])
    early, late = (median([float(np.interp(part * scene.seconds, *curve.T)) for curve in found]) for part in (0.1, 1.0))
    return f"| {name} | {kind} | {states(scene, kind):,} | {sweep:,.1f} | {early:.2f} | {late:.2f} |"


if __name__ == "__main__":
    main()
