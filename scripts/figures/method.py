"""The pictures of docs/explanation/method.md: truncated variational EM at work on bars, and the model as a graph.

    python scripts/figures/method.py [--folder docs/images]

Prints what the pictures show of the row in them.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from prosper_ng.config.loader import from_mapping
from prosper_ng.data.sources.bars import Bars
from prosper_ng.drawing.style import BLUE, GRID, INK, ORANGE, PALE
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training

SIDE, N_ROWS, N_LATENTS, N_STATES, N_SWEEPS, SHOWN = 4, 500, 12, 6, 100, 5
FOLDER = Path(__file__).parents[2] / "docs" / "images"


class Snapshot(NamedTuple):
    """Parameters and state sets after a sweep."""

    params: dict[str, np.ndarray]
    states: np.ndarray
    """(N, S, H)."""


def learn() -> tuple[np.ndarray, list[Snapshot], list[float]]:
    """The rows, what stands before and after each sweep, and F of each sweep."""
    rows = Bars(n_bars=2 * SIDE, n_rows=N_ROWS, activity=0.25).open(1).read(0, N_ROWS)
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", rows)
        config = {
            "name": "method", "seed": 3, "data": {"kind": "npy", "path": f"{folder}/rows.npy"},
            "model": {"kind": "bsc", "n_latents": N_LATENTS},
            "estep": {"kind": "search", "n_states": N_STATES, "variations": ["evolution"]},
        }  # fmt: skip
        parts = assemble_run(from_mapping(config, RunConfig).value, SerialCommunicator())
    state = start(parts.problem, parts.initial)
    em = TruncatedEM(parts.problem, Training(n_sweeps=N_SWEEPS))

    def snapshot() -> Snapshot:
        params = {name: np.array(values) for name, values in state.params.items()}
        return Snapshot(params, parts.problem.model.space.decode(state.rows["codes"].copy()))

    snapshots, climb = [snapshot()], []
    for report in em.sweeps(state):
        snapshots.append(snapshot())
        climb.append(report.free_energy)
    return rows, snapshots, climb


def log_joints(rows: np.ndarray, states: np.ndarray, params: dict[str, np.ndarray]) -> np.ndarray:
    """(N, S) log p(s, y) of binary sparse coding."""
    W, pi, sigma = params["W"], params["pi"], params["sigma"]
    prior = (states * np.log(pi) + (1 - states) * np.log1p(-pi)).sum(axis=2)
    residuals = rows[:, None] - states @ W.T
    return prior - (residuals**2).sum(axis=2) / (2 * sigma**2) - W.shape[0] / 2 * np.log(2 * np.pi * sigma**2)


def weights(joints: np.ndarray) -> np.ndarray:
    """(..., S) q_n, which is the joint divided by its sum over K_n."""
    q = np.exp(joints - joints.max(axis=-1, keepdims=True))
    return np.asarray(q / q.sum(axis=-1, keepdims=True))


def picture(axes: Axes, values: np.ndarray, scale: float) -> None:
    """A row as pixels, gray where it is 0."""
    axes.imshow(values.reshape(SIDE, SIDE), cmap="RdBu_r", vmin=-scale, vmax=scale)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=PALE, linewidth=0.5)


def state_sets(figure: Figure, rows: np.ndarray, before: Snapshot, after: Snapshot) -> None:
    """A row, and its states before and after an E-step at the same parameters, each with its weight."""
    params = before.params
    sets = [before.states, after.states]
    joints = [log_joints(rows, states, params) for states in sets]
    bounds = [np.logaddexp.reduce(joint, axis=1) for joint in joints]
    several = weights(joints[1]).max(axis=1) < 0.75  # a posterior that says more than one state
    n = int(np.argmax(np.where(several, bounds[1] - bounds[0], -np.inf)))
    print(f"row {n}: F_n {bounds[0][n]:.2f} before the E-step of sweep {SHOWN + 1}, {bounds[1][n]:.2f} after")
    scale = np.abs(rows[n]).max()
    grid = figure.add_gridspec(2, N_STATES + 1, left=0.03, right=0.53, top=0.84, bottom=0.1, hspace=0.75, wspace=0.25)
    shown = figure.add_subplot(grid[:, 0])
    picture(shown, rows[n], scale)
    shown.set_title("a row y_n", fontsize=8)
    for line, (states, joint, bound, word) in enumerate(zip(sets, joints, bounds, ("before", "after"), strict=True)):
        order, q = np.argsort(-joint[n]), weights(joint[n])
        kept = {tuple(state) for state in sets[0][n]}
        for place, s in enumerate(order):
            axes = figure.add_subplot(grid[line, place + 1])
            picture(axes, params["W"] @ states[n, s], scale)
            new = tuple(states[n, s]) not in kept
            axes.set_xlabel(f"q = {q[s]:.2f}", fontsize=7, color=ORANGE if new else INK)
            for spine in axes.spines.values():
                spine.set(color=ORANGE if new else PALE, linewidth=1.8 if new else 0.5)
        box = grid[line, 1].get_position(figure)
        title = f"K_n {word} the E-step of sweep {SHOWN + 1}: F_n = {bound[n]:.1f}"
        figure.text(box.x0, box.y1 + 0.035, title, fontsize=8)


def at_work(rows: np.ndarray, snapshots: list[Snapshot], climb: list[float]) -> Figure:
    """What one E-step does to a row, F over the sweeps, and the dictionary as it grows."""
    figure = Figure(figsize=(11, 3.3), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    state_sets(figure, rows, snapshots[SHOWN], snapshots[SHOWN + 1])
    figure.text(0.03, 0.94, "E-step: better states", fontsize=9, fontweight="bold")
    figure.text(0.575, 0.94, "F never falls", fontsize=9, fontweight="bold")
    axes = figure.add_axes((0.605, 0.17, 0.135, 0.67))
    axes.plot(range(1, len(climb) + 1), climb, color=BLUE)
    axes.plot(SHOWN + 1, climb[SHOWN], "o", color=ORANGE, markersize=4)
    axes.grid(color=GRID)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("sweep", fontsize=8)
    axes.set_title("F per row, nats", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.77, 0.94, "M-step: W that explains them", fontsize=9, fontweight="bold")
    grid = figure.add_gridspec(5, 8, left=0.77, right=0.99, top=0.80, bottom=0.06, wspace=0.15, hspace=0.15)
    last = snapshots[-1].params["pi"]
    used = np.argsort(-last)[:8]
    for line, sweep in enumerate((0, 2, 6, 20, N_SWEEPS)):
        for place, h in enumerate(used):
            axes = figure.add_subplot(grid[line, place])
            picture(axes, snapshots[sweep].params["W"][:, h], 10.0)
            if place == 0:
                axes.set_ylabel(str(sweep), fontsize=7, rotation=0, ha="right", va="center")
    figure.text(0.77, 0.845, "W after 0, 2, 6, 20, 100 sweeps", fontsize=7.5)
    return figure


def node(axes: Axes, place: tuple[float, float], name: str, kind: str) -> None:
    """A quantity: filled where it is observed, without a circle where it is a parameter."""
    if kind != "parameter":
        axes.add_patch(Circle(place, 0.34, facecolor="#d9d9d9" if kind == "observed" else "white", edgecolor=INK))
    axes.text(*place, name, ha="center", va="center", fontsize=11)


def graph() -> Figure:
    """The models as a directed graph with a plate over rows."""
    figure = Figure(figsize=(6.4, 2.6), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 8), ylim=(0, 3.25), aspect="equal")
    axes.axis("off")
    for x, height, width, label in ((2.0, 1.35, 1.6, "h = 1 ... H"), (4.4, 1.35, 1.6, "d = 1 ... D")):
        axes.add_patch(FancyBboxPatch((x, 0.75), width, height, "round,pad=0.08", fill=False, edgecolor=PALE))
        axes.text(x + width, 0.78, label, ha="right", fontsize=7.5, color=PALE)
    axes.add_patch(FancyBboxPatch((1.75, 0.35), 4.55, 2.15, "round,pad=0.1", fill=False, edgecolor=BLUE))
    axes.text(6.32, 0.38, "rows n = 1 ... N", ha="right", fontsize=8, color=BLUE)
    places = {"pi": (0.7, 1.5), "s": (2.8, 1.5), "y": (5.2, 1.5), "W": (4.05, 2.95), "sigma": (7.3, 1.5)}
    node(axes, places["pi"], "π", "parameter")
    node(axes, places["s"], "s", "latent")
    node(axes, places["y"], "y", "observed")
    node(axes, places["W"], "W", "parameter")
    node(axes, places["sigma"], "σ", "parameter")
    for origin, target, gap in (("pi", "s", 9), ("s", "y", 20), ("W", "y", 9), ("sigma", "y", 9)):
        arrow = FancyArrowPatch(
            places[origin], places[target], arrowstyle="-|>", mutation_scale=11, color=INK, shrinkA=gap, shrinkB=20
        )
        axes.add_patch(arrow)
    captions = (
        ("pi", "how often a latent\nis active", 0.35), ("sigma", "noise level", 0.35), ("W", "dictionary", -0.75)
    )  # fmt: skip
    for name, text, below in captions:
        x, y = places[name]
        place = (x - 0.35, y) if name == "W" else (x, y - below)
        axes.text(*place, text, ha="right" if name == "W" else "center", va="center" if name == "W" else "top",
                  fontsize=7.5, color=PALE)  # fmt: skip
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for the pictures (default: %(default)s)")
    folder = parser.parse_args().folder
    rows, snapshots, climb = learn()
    print(f"F per row {climb[0]:.2f} after the first sweep, {climb[-1]:.2f} after the last")
    print(f"least rise {min(np.diff(climb)):.2g}")
    at_work(rows, snapshots, climb).savefig(folder / "method.png", metadata={"Software": None})
    graph().savefig(folder / "graphical-model.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
