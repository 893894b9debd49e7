"""Laplace sparse coding on patches of photographs, beside GSC and scikit-learn's MiniBatchDictionaryLearning.

python scripts/bench/laplace_patches.py [--figure docs/images/laplace-patches.png]

F per entry of patches that were not learned from, seconds of the processor, and the dictionaries as pictures.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import prosper_ng

Floats = NDArray[np.float64]

PATCH, N_LATENTS, N_ROWS, NOISE = 8, 64, 6000, 5.0
ANNEALED = {"prior_weight": [[0, 0.8], [0.7, 1.0]], "noise_weight": [[0, 0.4], [0.7, 1.0]]}
CONTENDERS = {
    "laplace": {"model": "laplace", "training": {"n_sweeps": 30, "updates_per_sweep": 4}},
    "laplace, annealed": {
        "model": "laplace",
        "training": {"n_sweeps": 30, "updates_per_sweep": 4, "annealing": ANNEALED},
    },
    "gsc": {"model": "gsc", "training": {"n_sweeps": 60, "updates_per_sweep": 4}},
}


def patches(image: Floats, n_rows: int, seed: int) -> Floats:
    """(n_rows, PATCH²) patches without their means, with noise."""
    rng, (height, width) = np.random.default_rng(seed), image.shape
    tops, lefts = rng.integers(0, height - PATCH, n_rows), rng.integers(0, width - PATCH, n_rows)
    rows = np.stack(
        [image[i : i + PATCH, j : j + PATCH].ravel() for i, j in zip(tops, lefts, strict=True)]
    )  # fmt: skip
    return rows - rows.mean(axis=1, keepdims=True) + NOISE * rng.standard_normal(rows.shape)


def timed(work: Callable[[], object]) -> tuple[object, float]:
    """What it returns, and seconds of the processor."""
    begin = time.process_time()
    return work(), time.process_time() - begin


def dictionaries(image: Floats, name: str, seed: int) -> dict[str, Floats]:
    """Print lines of the table; the dictionaries (D, H) that were learned."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    rows, held_out, found = patches(image, N_ROWS, seed), patches(image, 2000, 100 + seed), {}
    for kind, settings in CONTENDERS.items():
        model = {"kind": settings["model"], "n_latents": N_LATENTS}
        learned, seconds = timed(
            lambda model=model, settings=settings: prosper_ng.learn(
                rows, model, training=settings["training"], seed=seed, progress=False
            )
        )
        bound = learned.free_energy(held_out).mean() / rows.shape[1]
        scale = learned.params["lambda"] if settings["model"] == "laplace" else 1.0
        found[kind] = learned.params["W"] * scale
        print(f"| {name} | {seed} | {kind} | {bound:.3f} | {learned.params['sigma']:.2f} | {seconds:.0f} |", flush=True)
    coder, seconds = timed(
        lambda: MiniBatchDictionaryLearning(n_components=N_LATENTS, random_state=seed, alpha=2 * NOISE).fit(rows)
    )
    found["MiniBatchDictionaryLearning"] = coder.components_.T
    print(f"| {name} | {seed} | MiniBatchDictionaryLearning | | | {seconds:.0f} |", flush=True)
    return found


def draw(found: dict[str, Floats], path: str) -> None:
    """The elements of each that differ most from 0, as tiles."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(3 * len(found), 3.2), layout="constrained")
    for axis, (kind, W) in zip(axes, found.items(), strict=True):
        tiles = np.full((8 * (PATCH + 1) - 1, 8 * (PATCH + 1) - 1), np.nan)
        for place, h in enumerate(np.argsort(-np.linalg.norm(W, axis=0))):
            i, j = (PATCH + 1) * (place // 8), (PATCH + 1) * (place % 8)
            tiles[i : i + PATCH, j : j + PATCH] = W[:, h].reshape(PATCH, PATCH) / np.abs(W[:, h]).max()
        axis.imshow(tiles, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        axis.set_title(kind, fontsize=9)
        axis.axis("off")
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})


def main() -> None:
    """Print the table, and draw the dictionaries of the first photograph."""
    from skimage import data

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", metavar="FILE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| photograph | seed | | held-out F per entry | sigma | processor s |\n| --- | --- | --- | --- | --- | --- |")
    for name in ("camera", "coins"):
        for seed in given.seeds:
            found = dictionaries(getattr(data, name)().astype(float), name, seed)
            if given.figure and (name, seed) == ("camera", given.seeds[0]):
                draw(found, given.figure)


if __name__ == "__main__":
    main()
