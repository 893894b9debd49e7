"""How far the free energy is from the sum of entropies, for every model that has one, over sweeps of learning.

    python scripts/bench/entropy_sums.py --seeds 3 --figure docs/images/entropy-sums.png

Rows are drawn from the model itself, with parameters at random; learning starts at random, without annealing. The gap
is `entropy_gap` of the history: F per row, less the entropy of posteriors, plus that of prior and noise; in nats.
"""

import argparse
import warnings
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import prosper_ng
from prosper_ng.components import components_of
from prosper_ng.drawing.style import BLUE, EDGE, GREEN, ORANGE, RED, VIOLET, count_on, drawn, save
from prosper_ng.testing.problems import rows_of

Floats = NDArray[np.float64]

OBSERVABLES = ("normal", "poisson", "gamma", "exponential", "bernoulli", "beta")
STEPS = {"rate": 0.05, "cycle": 200}
EARLY = 20
"""The sweep from which on the fall is told."""


class Case(NamedTuple):
    """A model, and how many rows of how many entries it is learned from."""

    model: dict[str, Any]
    n_observed: int = 12
    n_rows: int = 1000

    @property
    def instance(self) -> Any:
        """The model."""
        options = dict(self.model)
        return components_of("prosper_ng.models")[options.pop("kind")](**options)


def cases() -> dict[str, Case]:
    """All models of the program that know their free energy, by name."""
    few = {"n_latents": 4}
    found = {kind: Case({"kind": kind, **few}) for kind in ("bsc", "tsc", "gsc", "mca", "mmca", "noisy_or", "laplace")}
    found["dsc"] = Case({"kind": "dsc", "values": (-1.0, 0.0, 1.0, 2.0), **few})
    for kind, number in (("ef_mca", few), ("mixture", {"n_components": 4})):
        for observable in OBSERVABLES:
            found[f"{kind}, {observable}"] = Case({"kind": kind, "observable": observable, **number})
    return found | {
        "mfa": Case({"kind": "mfa", "n_components": 3, "n_factors": 2}),
        "glyphs": Case({"kind": "glyphs", "n_components": 2}, 36),
        "sbn": Case({"kind": "sbn", **few}, 24),
        "sbn, two layers": Case({"kind": "sbn", "n_latents": 5, "n_top": 1}, 32),
        "bvae": Case({"kind": "bvae", "hidden": [8], "optimizer": STEPS, **few}),
        "streams": Case({"kind": "streams", "n_latents": 2, "n_dimensions": 2, "hidden": [8], "optimizer": STEPS}),
    }


def history_of(case: Case, seed: int, n_sweeps: int) -> dict[str, Floats]:
    """Numbers of each sweep, by name; `entropy_gap` among them."""
    values = rows_of(case.instance, case.n_rows, case.n_observed, np.random.default_rng(seed))
    options: dict[str, Any] = {"training": {"n_sweeps": n_sweeps}, "seed": seed, "progress": False}
    return dict(prosper_ng.learn(values, case.model, **options).history)


def row(name: str, case: Case, gaps: Floats) -> str:
    """A line of the table, from gaps (seeds, sweeps): means over seeds, and the largest of all."""
    mean = gaps.mean(axis=0)
    fall = f"{mean[EARLY - 1] / mean[-1]:,.0f}" if case.instance.identity == "at convergence" else ""
    told = " | ".join(f"{each:.1e}" for each in (mean[0], mean[EARLY - 1], mean[-1], gaps.max()))
    return f"| {name} | {case.instance.identity} | {told} | {fall} |"


def draw(found: dict[str, list[dict[str, Floats]]], path: Path) -> None:
    """F and the sum of entropies of one run; the gaps of all, of those that M-steps close the largest."""
    with drawn(1500, 640, layout="constrained") as figure:
        run, (sums, gaps) = found["sbn"][0], figure.subplots(1, 2)
        sums.plot(run["sweep"], run["free_energy"], color=BLUE, label="free energy F")
        sums.plot(run["sweep"], run["free_energy"] - run["entropy_gap"], color=ORANGE, label="sum of entropies")
        sums.set(ylabel="nats per row", title="A sigmoid belief net")
        colors, closed = cycle((BLUE, GREEN, VIOLET, RED)), []
        for name, runs in found.items():
            size = [np.abs(run["entropy_gap"]) for run in runs]
            if cases()[name].instance.identity == "after M-step":
                closed += size
                continue
            color = next(colors)
            for number, gap in enumerate(size):
                label = name if number == 0 else None
                gaps.plot(run["sweep"], gap, color=color, linewidth=0.9, label=label)
        gaps.plot(run["sweep"], np.max(closed, axis=0), color=EDGE, label="largest of all others, after their M-steps")
        gaps.set(yscale="log", ylim=(1e-16, 10), title="All models, each on rows of its own")
        gaps.set_ylabel("gap between both, nats per row")
        gaps.yaxis.set_major_formatter("{x:.0e}")
        for axes in (sums, gaps):
            axes.set(xscale="log", xlabel="sweep")
            axes.grid(True)
            count_on(axes)
            axes.xaxis.set_minor_formatter("")
            axes.legend(frameon=False, loc="lower right" if axes is sums else "center left", fontsize=7)
        save(figure, path)


def main() -> None:
    """Print a table, and draw a figure where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, help="a file for the curves")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"| model | identity holds | sweep 1 | sweep {EARLY} | sweep {options.sweeps} | largest | falls by |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found: dict[str, list[dict[str, Floats]]] = {}
    for name, case in cases().items():
        found[name] = [history_of(case, seed, options.sweeps) for seed in range(options.seeds)]
        print(row(name, case, np.abs([run["entropy_gap"] for run in found[name]])), flush=True)
    if options.figure:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
