"""How the time of an iteration grows with N, S, H, D and the number of active causes: a table, and a figure of it.

BSC and GSC with evolutionary search (20 states proposed for each row). Rows are drawn from the model, which starts from
the parameters and states that made them. Times are processor times of one thread, of each phase the shortest of
several sweeps.
"""

import argparse
from pathlib import Path

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from synthetic import Seconds, Size, time_sweeps

BASE = Size()
PANELS = {
    "N": ("rows N", [1024, 2048, 4096, 8192, 16384, 32768]),
    "S": ("states of a row S", [15, 30, 60, 120, 240]),
    "H": ("latents H", [64, 128, 256, 512, 1024, 2048]),
    "D": ("observed dimensions D", [16, 32, 64, 128, 256, 512, 1024]),
    "active": ("active causes", [1, 2, 4, 8, 16, 32]),
}
COLORS = {"bsc": "tab:blue", "gsc": "tab:orange"}
Found = dict[str, dict[str, list[Seconds]]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", nargs="*", choices=PANELS, default=list(PANELS), help="what grows (default: all)")
    parser.add_argument("--sweeps", type=int, default=4, help="sweeps that are timed (default: %(default)s)")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="where to draw what was measured")
    return parser.parse_args()


def measure(panels: list[str], n_sweeps: int) -> Found:
    """The times of all points, printed as they come."""
    found: Found = {}
    for name in panels:
        print(f"\n{'':>7}  {'BSC':>9} {'M-step':>8} {'active':>6}   {'GSC':>9} {'M-step':>8} {'active':>6}    (ms)")
        found[name] = {kind: [] for kind in COLORS}
        for value in PANELS[name][1]:
            line = f"{name[:1]} {value:>6}"
            for kind, points in found[name].items():
                point = time_sweeps(kind, BASE._replace(**{name: value}), n_sweeps)
                points.append(point)
                line += f"  {1e3 * (point.sweep - point.m_step):>9.1f} {1e3 * point.m_step:>8.1f} {point.active:>6.1f}"
            print(line, flush=True)
        for kind, points in found[name].items():
            print(f"{kind}: exponent {exponent(PANELS[name][1], points):.2f} over the upper half")
    return found


def exponent(values: list[int], points: list[Seconds]) -> float:
    """The slope of the logarithm of the E-step over that of the size, over the upper half of the sizes."""
    upper = slice(len(values) // 2, None)
    return float(np.polyfit(np.log(values[upper]), np.log([point.e_step for point in points][upper]), 1)[0])


def draw(found: Found, path: Path) -> None:
    """One panel for each size that grows; on double logarithmic axes a power is a straight line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found), 3.8), squeeze=False, layout="constrained")
    for axis, (name, kinds) in zip(axes[0], found.items(), strict=True):
        label, values = PANELS[name]
        sizes = np.array(values, float)
        for kind, points in kinds.items():
            rows = np.array([point.sweep - point.m_step for point in points])
            axis.loglog(sizes, rows, "o-", color=COLORS[kind], label=f"{kind.upper()}, E-step and statistics")
            axis.loglog(sizes, [point.m_step for point in points], "s:", color=COLORS[kind], markersize=4, alpha=0.7,
                        label=f"{kind.upper()}, M-step")  # fmt: skip
            guide = rows[-1] * (sizes / sizes[-1])
            axis.loglog(sizes[len(sizes) // 2 :], guide[len(sizes) // 2 :], "k--", linewidth=0.8, zorder=0)
        axis.set_xlabel(label)
        axis.set_xticks(sizes, [f"{value:,}" for value in values], rotation=45, fontsize=8)
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("seconds of an iteration")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    guide = plt.Line2D([], [], color="k", linestyle="--", linewidth=0.8)
    figure.legend([*handles, guide], [*labels, "linear"], loc="outside upper center", ncols=5, frameon=False)
    figure.suptitle(
        f"else N = {BASE.N:,}, D = {BASE.D}, H = {BASE.H}, S = {BASE.S}, {BASE.active:g} active causes; one thread",
        fontsize=9, y=0.02, va="bottom",
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\n{path}")


def main() -> None:
    options = arguments()
    found = measure(options.panels, options.sweeps)
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
