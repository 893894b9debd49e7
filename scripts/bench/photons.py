"""Photographs of few photons, restored: PSNR beside BM3D, non-local means and total variation, and processor seconds.

    python scripts/bench/photons.py [--seeds N] [--peaks 1 4 20] [--results FILE.jsonl]

Two gray crops of 128 x 128 pixels of scikit-image as Poisson counts, with 1, 4 and 20 photons where they are white.
prosper_ng learns from `configs/runs/restore-photons.yaml`: maximal causes with Poisson observables alone and with
groups of similar patches after them, and MCA in the place of the former. The others work on Anscombe's roots of the
counts, told that their noise is 1, and go back by the exact unbiased inverse. What the file holds is not done again.
"""

import argparse
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray

import prosper_ng
from prosper_ng.config import load
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.restoration.photons import mean_count, stabilized

Floats = NDArray[np.float64]

CONFIG = Path(__file__).parents[2] / "configs" / "runs" / "restore-photons.yaml"
PICTURES = {"camera": "[40, 100, 128, 128]", "astronaut": "[20, 110, 128, 128]"}
MCA = "model={kind: mca, n_latents: 64}"


def by_bm3d(root: Floats) -> Floats:
    """With its standard profile."""
    import bm3d

    return np.asarray(bm3d.bm3d(root, sigma_psd=1.0))


def by_non_local_means(root: Floats) -> Floats:
    """The fast variant in the gallery of scikit-image."""
    from skimage.restoration import denoise_nl_means

    return np.asarray(denoise_nl_means(root, patch_size=5, patch_distance=6, h=0.8, sigma=1.0, fast_mode=True))


def by_total_variation(root: Floats) -> Floats:
    """Chambolle's, with the weight that scikit-image calibrates on the noisy image."""
    from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle

    low, span = root.min(), np.ptp(root)
    scaled = (root - low) / span
    weights = {"weight": np.linspace(0.04, 2.0, 30)}
    return np.asarray(low + span * calibrate_denoiser(scaled, denoise_tv_chambolle, denoise_parameters=weights)(scaled))


PEERS: dict[str, Callable[[Floats], Floats]] = {
    "total variation": by_total_variation,
    "non-local means": by_non_local_means,
    "BM3D": by_bm3d,
}
METHODS = ("noisy", "MCA", "Poisson maximal causes", "with groups after them", *PEERS)


def psnr(image: Floats, clean: Floats) -> float:
    """In dB, for white at 255."""
    return float(10 * np.log10(255**2 / np.mean((image - clean) ** 2)))


def learned(picture: str, peak: float, seed: int, *more: str) -> tuple[Any, float]:
    """The outcome of a run and its processor seconds."""
    overrides = [
        f"seed={seed}", f"data.image={picture}", f"data.crop={PICTURES[picture]}", f"data.noise.peak={peak}",
        "task.every=20", "output={figures: false}", *more,
    ]  # fmt: skip
    config, began = load(CONFIG, RunConfig, overrides), time.process_time()
    with TemporaryDirectory() as folder:
        outcome = prosper_ng.run(config.resolved, Path(folder) / "run", progress=False)
    return outcome, time.process_time() - began


def measured(picture: str, peak: float, seed: int) -> dict[str, tuple[float, float]]:
    """PSNR and processor seconds of each method."""
    outcome, seconds = learned(picture, peak, seed)
    images = outcome.results["images"]
    clean, noisy = images["clean"][:, :, 0], images["noisy"][:, :, 0]
    alone, seconds_alone = learned(picture, peak, seed, "task.groups=false")
    mca, seconds_mca = learned(picture, peak, seed, "task.groups=false", MCA)
    found = {
        "noisy": (psnr(noisy, clean), 0.0),
        "MCA": (mca.results["psnr"]["after"], seconds_mca),
        "Poisson maximal causes": (alone.results["psnr"]["after"], seconds_alone),
        "with groups after them": (outcome.results["psnr"]["after"], seconds),
    }
    for name, restore in PEERS.items():
        began = time.process_time()
        image = mean_count(restore(stabilized(noisy * peak / 255))) * 255 / peak
        found[name] = psnr(image, clean), time.process_time() - began
    return found


def main() -> None:
    """Measure what is not known yet, and print a table of means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peaks", type=float, nargs="+", default=[1.0, 4.0, 20.0])
    parser.add_argument("--results", type=Path, default=Path("photons.jsonl"))
    arguments = parser.parse_args()
    lines = arguments.results.read_text(encoding="utf-8").splitlines() if arguments.results.exists() else []
    known = {tuple(case): found for case, found in map(json.loads, lines)}
    for case in product(PICTURES, arguments.peaks, range(arguments.seeds)):
        if case not in known:
            known[case] = measured(*case)
            with arguments.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps([case, known[case]]) + "\n")
            print(case, {name: round(of[0], 2) for name, of in known[case].items()}, flush=True)
    columns = list(product(PICTURES, arguments.peaks))
    print("| | " + " | ".join(f"{picture}, peak {peak:g}" for picture, peak in columns) + " | processor s |")
    print("| --- |" + " --- |" * (len(columns) + 1))
    for method in METHODS:
        cells = [np.mean([known[*column, seed][method][0] for seed in range(arguments.seeds)]) for column in columns]
        seconds = np.mean([found[method][1] for found in known.values()])
        print(f"| {method} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {seconds:.1f} |")


if __name__ == "__main__":
    main()
