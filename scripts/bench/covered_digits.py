"""Handwritten digits, on and off: what noisy-OR and Bernoulli maximal causes learn, and lower halves filled in.

    python scripts/bench/covered_digits.py [--seeds N] [--picture FILE.png]

The 1,797 digits of scikit-learn, 8 x 8 pixels, on where they are above 7 of 16; 1,500 to learn from, the rest held out.
Of those the lower half is covered, and predicted from the upper one. Prints a table over seeds: the mean squared error
of the predicted probabilities and the share of right pixels, beside the means of the pixels and scikit-learn's
`KNNImputer`, and processor seconds.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer

from prosper_ng.estimators import EFMCA, NoisyOR

Floats = NDArray[np.float64]

H, N_LEARNED, N_SHOWN, THRESHOLD = 48, 1500, 10, 7
SETTINGS: dict[str, Any] = {"n_states": 40, "max_iter": 100, "tol": 0}
NOISE = {"parameter_noise": {"W": [[0, 0.05], [60, 0.05], [80, 0.0]]}}


def noisy_or(seed: int) -> NoisyOR:
    """Causes that switch pixels on, with a leak."""
    return NoisyOR(H, leak=True, binarize=None, annealing=NOISE, random_state=seed, **SETTINGS)


def maximal_causes(seed: int) -> EFMCA:
    """Causes of which the most probable shows in each pixel."""
    return EFMCA(H, observable="bernoulli", annealing=NOISE, random_state=seed, **SETTINGS)


def by_model(make: Callable[[int], Any]) -> Callable[[Floats, Floats, int], tuple[Floats, Any]]:
    """What predicts by a model, and the model."""

    def predict(learned: Floats, covered: Floats, seed: int) -> tuple[Floats, Any]:
        model = make(seed).fit(learned)
        return model.reconstruct(covered), model

    return predict


def by_means(learned: Floats, covered: Floats, seed: int) -> tuple[Floats, Any]:
    """The share of digits in which a pixel is on."""
    return np.where(np.isnan(covered), learned.mean(axis=0), covered), None


def by_neighbors(learned: Floats, covered: Floats, seed: int) -> tuple[Floats, Any]:
    """The mean of the 15 digits with the nearest upper halves."""
    return np.asarray(KNNImputer(n_neighbors=15).fit(learned).transform(covered)), None


METHODS = {
    "means of the pixels": by_means,
    "KNNImputer": by_neighbors,
    "noisy-OR": by_model(noisy_or),
    "Bernoulli maximal causes": by_model(maximal_causes),
}


def data(seed: int) -> tuple[Floats, Floats, Floats]:
    """Digits to learn from, others, and these with the lower half covered."""
    order = np.random.default_rng(seed).permutation(1797)
    digits = (load_digits().data[order] > THRESHOLD).astype(np.float64)
    held_out = digits[N_LEARNED:]
    covered = held_out.copy()
    covered[:, 32:] = np.nan
    return digits[:N_LEARNED], held_out, covered


def draw(shown: dict[str, Floats], parts: dict[str, Floats], file: Path) -> None:
    """Digits in rows, and what was learned below."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(9.0, 7.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[len(shown), 3.2])
    for row, (name, images) in enumerate(shown.items()):
        for column, image in enumerate(images[:N_SHOWN]):
            axes = above.add_subplot(len(shown), N_SHOWN, row * N_SHOWN + column + 1)
            axes.imshow(np.ma.masked_invalid(image.reshape(8, 8)), cmap="gray_r", vmin=0, vmax=1)
            axes.set_facecolor("#c9d6e8")
            axes.set(xticks=[], yticks=[])
            if column == 0:
                axes.set_ylabel(name, rotation=0, ha="right", va="center")
    panels = below.subfigures(1, len(parts))
    for panel, (name, elements) in zip(panels, parts.items(), strict=True):
        panel.suptitle(f"elements of {name}, most active first", fontsize=10)
        for place, element in enumerate(elements[:24]):
            axes = panel.add_subplot(3, 8, place + 1)
            axes.imshow(element.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
    figure.savefig(file, dpi=130)


def main() -> None:
    """Learn, print the table, and draw the first seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in METHODS}
    shown: dict[str, Floats] = {}
    parts: dict[str, Floats] = {}
    for seed in range(arguments.seeds):
        learned, held_out, covered = data(seed)
        if seed == 0:
            shown |= {"digits": held_out, "covered": covered}
        for name, predict in METHODS.items():
            began = time.process_time()
            filled, model = predict(learned, covered, seed)
            seconds, below = time.process_time() - began, np.isnan(covered)
            error, right = filled[below] - held_out[below], (filled[below] > 0.5) == held_out[below]
            found[name].append((float(np.mean(error**2)), float(np.mean(right)), seconds))
            if seed == 0 and name != "means of the pixels":
                shown[name] = filled
            if seed == 0 and model is not None:
                use = model.learned_.model.activity(model.params_)
                parts[name] = model.components_[np.argsort(-np.asarray(use))]
    print("| | mean squared error | right pixels | processor s |\n| --- | --- | --- | --- |")
    for name, each in found.items():
        mean, spread = np.mean(each, axis=0), np.std(each, axis=0)
        print(f"| {name} | {mean[0]:.4f} ± {spread[0]:.4f} | {mean[1]:.1%} | {mean[2]:.1f} |")
    if arguments.picture is not None:
        draw(shown, parts, arguments.picture)


if __name__ == "__main__":
    main()
