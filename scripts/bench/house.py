"""Denoising House with 1, 4, 12 and 60 M-steps in a sweep, with state sets that evolve and with preselected ones.

PSNR and free energy per sweep and per second. Every run is one rank, in this process. Its seconds are processor time of
training, without the measuring of PSNR. A run that is done leaves NAME.json and the denoised NAME.png in the output
folder, and is not done again.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

from prosper_ng.environment import prepare_environment

ROOT = Path(__file__).parents[2]
HOUSE = ROOT.parent / "shared" / "data" / "house.png"
CONFIG = ROOT / "configs" / "runs" / "denoise-house.yaml"
ESTEPS = {"evolution": None, "preselection": "{kind: preselection, n_candidates: 6, max_active: 2}"}
SHOWN_SWEEPS = (1, 5, 10, 20, 40, 60)

Key = tuple[float, str, int]
Course = dict[str, list[float]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=HOUSE, metavar="FILE", help="house.png (default: %(default)s)")
    parser.add_argument("--noise", type=float, nargs="*", default=[25.0, 50.0], help="standard deviations of the noise")
    parser.add_argument("--updates", type=int, nargs="*", default=[1, 4, 12, 60], help="M-steps in a sweep")
    parser.add_argument("--esteps", nargs="*", default=list(ESTEPS), choices=list(ESTEPS), help="which state sets")
    parser.add_argument("--n-sweeps", type=int, nargs=2, default=[60, 20], help="of a run with either (default: 60 20)")
    parser.add_argument("--output", type=Path, default=Path("runs/bench-house"), help="where the results are kept")
    parser.add_argument("--figure", type=Path, help="where the figure goes; OUTPUT/house.png where not given")
    return parser.parse_args()


def course(image: Path, key: Key, n_sweeps: int, picture: Path) -> Course:
    """Sweep, processor seconds, PSNR and free energy of a run; PSNR after each of ten sweeps, then after each fifth."""
    from prosper_ng.config import load
    from prosper_ng.data.images import quality, save_png
    from prosper_ng.experiments.run import assemble_run
    from prosper_ng.experiments.run_config import RunConfig
    from prosper_ng.experiments.tasks.denoise import denoised
    from prosper_ng.experiments.tasks.interface import TaskContext
    from prosper_ng.learning.rehearsal import rehearse
    from prosper_ng.parallel.communicator import SerialCommunicator
    from prosper_ng.training.em import TruncatedEM, start

    noise, estep, n_updates = key
    overrides = [f"data.image={image}", f"data.noise={noise}", f"training.updates_per_sweep={n_updates}"]
    overrides += [f"training.n_sweeps={n_sweeps}"] + ([f"estep={ESTEPS[estep]}"] if ESTEPS[estep] else [])
    config = load(CONFIG, RunConfig, overrides).value
    parts = assemble_run(config, SerialCommunicator())
    rehearse(parts)
    state, context, seconds = start(parts.problem, parts.initial), TaskContext(parts.problem, parts.dataset), 0.0
    found: Course = {"sweep": [], "seconds": [], "psnr": [], "free_energy": []}
    sweeps = TruncatedEM(parts.problem, config.training).sweeps(state)
    for sweep in range(1, n_sweeps + 1):
        began = time.process_time()
        report = next(sweeps)
        seconds += time.process_time() - began
        if sweep <= 10 or sweep % 5 == 0:
            estimate = denoised(context, state)
            psnr = quality(parts.dataset.clean, estimate).psnr
            for name, value in zip(found, (sweep, seconds, psnr, report.free_energy), strict=True):
                found[name].append(value)
    save_png(picture, estimate)
    return found


def name_of(key: Key) -> str:
    noise, estep, n_updates = key
    return f"noise-{noise:g}-{estep}-updates-{n_updates}"


def show(courses: dict[Key, Course]) -> None:
    """A table in Markdown for each noise: PSNR and free energy by sweep, and the time that a sweep took."""
    for noise in sorted({key[0] for key in courses}):
        print(f"\nNoise {noise:g}: PSNR in dB (free energy per patch) after so many sweeps; seconds a sweep\n")
        print("| state sets | updates per sweep | " + " | ".join(map(str, SHOWN_SWEEPS)) + " | s/sweep |")
        print("| --- | --- |" + " --- |" * (len(SHOWN_SWEEPS) + 1))
        for (_, estep, n_updates), found in sorted(item for item in courses.items() if item[0][0] == noise):
            at = {sweep: i for i, sweep in enumerate(found["sweep"])}
            cells = [
                f"{found['psnr'][at[sweep]]:.2f} ({found['free_energy'][at[sweep]]:.2f})" if sweep in at else ""
                for sweep in SHOWN_SWEEPS
            ]
            seconds = found["seconds"][-1] / found["sweep"][-1]
            print(f"| {estep} | {n_updates} | " + " | ".join(cells) + f" | {seconds:.2f} |")


def draw(courses: dict[Key, Course], path: Path) -> None:
    """PSNR above and free energy below, over sweeps and over seconds, a pair of columns for each noise."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    noises = sorted({key[0] for key in courses})
    all_updates = sorted({key[2] for key in courses})
    figure, grid = plt.subplots(2, 2 * len(noises), figsize=(5.2 * len(noises), 5), sharex="col", squeeze=False)
    for column, noise in enumerate(noises):
        chosen = sorted(item for item in courses.items() if item[0][0] == noise)
        for (_, estep, n_updates), found in chosen:
            color = mpl.colormaps["viridis"](all_updates.index(n_updates) / max(len(all_updates) - 0.5, 1))
            style, label = ("-", str(n_updates)) if estep == "evolution" else ("--", f"{n_updates}, preselection")
            for row, quantity in enumerate(("psnr", "free_energy")):
                for offset, over in enumerate(("sweep", "seconds")):
                    axes = grid[row][2 * column + offset]
                    axes.plot(found[over], found[quantity], style, color=color, lw=1.3, label=label)
        for offset, over in enumerate(("sweeps", "processor seconds")):
            above, below = grid[0][2 * column + offset], grid[1][2 * column + offset]
            above.set_title(f"noise {noise:g}", fontsize=9)
            below.set_xlabel(over, fontsize=8)
            low = min(value for _, found in chosen for value in found["free_energy"][2:])
            high = max(value for _, found in chosen for value in found["free_energy"])
            below.set_ylim(low, high + 0.05 * (high - low))
    for axes in grid.flat:
        axes.tick_params(labelsize=7)
        axes.grid(color="#e4e4e4", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    grid[0][0].set_ylabel("PSNR in dB", fontsize=8)
    grid[1][0].set_ylabel("free energy per patch", fontsize=8)
    lines, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(
        lines, labels, title="updates per sweep", ncols=len(lines), fontsize=7, title_fontsize=7, frameon=False,
        loc="lower center",
    )  # fmt: skip
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    prepare_environment()
    options = arguments()
    if not options.image.exists():
        print(f"skipped: there is no {options.image}; name a file with --image FILE")
        return
    options.output.mkdir(parents=True, exist_ok=True)
    n_sweeps = dict(zip(ESTEPS, options.n_sweeps, strict=True))
    courses = {}
    for key in product(options.noise, options.esteps, options.updates):
        kept = options.output / f"{name_of(key)}.json"
        if not kept.exists():
            found = course(options.image, key, n_sweeps[key[1]], kept.with_suffix(".png"))
            kept.write_text(json.dumps(found))
            print(f"{name_of(key)}: {found['psnr'][-1]:.2f} dB, {found['seconds'][-1]:.0f} s")
        courses[key] = json.loads(kept.read_text())
    show(courses)
    draw(courses, options.figure or options.output / "house.png")


if __name__ == "__main__":
    main()
