"""How the time of an iteration grows with N, S, H, D and the number of active causes: a table, and a figure of it.

BSC and GSC with evolutionary search (20 states proposed for each row). Rows are drawn from the model, which starts from
the parameters and states that made them. Times are processor times of one thread, of each phase the shortest over the
sweeps of several rounds; rounds go over all points, so that a machine that slows down for a while slows all of them.
"""

import argparse
from itertools import product
from pathlib import Path

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from synthetic import Seconds, Size, time_sweeps

BASE = Size()
PANELS = {
    "N": ("rows N", [1024, 2048, 4096, 8192, 16384]),
    "S": ("states of a row S", [15, 30, 60, 120, 240]),
    "H": ("latents H", [64, 128, 256, 512, 1024, 2048]),
    "D": ("observed dimensions D", [16, 32, 64, 128, 256, 512, 1024]),
    "active": ("active causes", [1, 2, 4, 8, 16]),
}
COLORS = {"bsc": "tab:blue", "gsc": "tab:orange"}
Found = dict[str, dict[str, list[Seconds]]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", nargs="*", choices=PANELS, default=list(PANELS), help="what grows (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each point (default: %(default)s)")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="where to draw what was measured")
    return parser.parse_args()


def measure(panels: list[str], n_rounds: int) -> Found:
    """The times of all points, each the shortest over the rounds."""
    found: Found = {name: {kind: [] for kind in COLORS} for name in panels}
    for turn in range(n_rounds):
        for name, kind in product(panels, COLORS):
            for place, value in enumerate(PANELS[name][1]):
                point = time_sweeps(kind, BASE._replace(**{name: value}), n_sweeps=3)
                if turn == 0:
                    found[name][kind].append(point)
                else:
                    found[name][kind][place] = found[name][kind][place].shortest(point)
    return found


def show(found: Found) -> None:
    """The points of each panel, and the powers that they follow."""
    for name, kinds in found.items():
        print(f"\n{'':>7}  {'BSC':>9} {'M-step':>8} {'active':>6}   {'GSC':>9} {'M-step':>8} {'active':>6}    (ms)")
        for place, value in enumerate(PANELS[name][1]):
            line = f"{name[:1]} {value:>6}"
            for point in (points[place] for points in kinds.values()):
                line += f"  {1e3 * (point.sweep - point.m_step):>9.1f} {1e3 * point.m_step:>8.1f} {point.active:>6.1f}"
            print(line)
        for kind, points in kinds.items():
            print(f"{kind}: exponent {exponent(PANELS[name][1], points):.2f} over the upper half")


def exponent(values: list[int], points: list[Seconds]) -> float:
    """The slope of the logarithm of the E-step over that of the size, over the upper half of the sizes."""
    upper = slice(len(values) // 2, None)
    return float(np.polyfit(np.log(values[upper]), np.log([point.e_step for point in points][upper]), 1)[0])


def draw(found: Found, path: Path) -> None:
    """One panel for each size that grows; over H both axes are logarithmic, and powers are straight lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found), 3.9), squeeze=False, layout="constrained")
    for axis, (name, kinds) in zip(axes[0], found.items(), strict=True):
        label, values = PANELS[name]
        for kind, points in kinds.items():
            rows = [1e3 * (point.sweep - point.m_step) for point in points]
            axis.plot(values, rows, "o-", color=COLORS[kind], label=f"{kind.upper()}, E-step and statistics")
            m_steps = [1e3 * point.m_step for point in points]
            axis.plot(values, m_steps, "s:", color=COLORS[kind], markersize=4, label=f"{kind.upper()}, M-step")
        if name == "H":
            axis.loglog()
            for power, height in ((1, 15), (3, 1.2)):
                guide = height * (np.array(values[2:]) / values[2]) ** power
                axis.plot(values[2:], guide, "k--", linewidth=0.8, zorder=0)
                axis.annotate(f"H{'³' if power == 3 else ''}", (values[2], guide[0]), fontsize=8, ha="right")
            axis.set_xticks(values, [f"{value:,}" for value in values], rotation=45)
            axis.minorticks_off()
        else:
            axis.set_xlim(0)
            axis.set_ylim(0)
            axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("milliseconds of an iteration, one thread")
    others = f"else N = {BASE.N:,}, D = {BASE.D}, H = {BASE.H}, S = {BASE.S}, {BASE.active:g} active causes"
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, title=others, loc="outside upper center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\n{path}")


def main() -> None:
    options = arguments()
    found = measure(options.panels, options.rounds)
    show(found)
    if options.figure is not None:
        draw(found, options.figure)


if __name__ == "__main__":
    main()
