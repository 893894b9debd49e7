"""Streams that add up, told apart: digits over digits; and the bound of a single stream as a sum of entropies.

    python scripts/bench/streams.py --seeds 3 --figure docs/images/streams.png

Digits are those of scikit-learn, 0 to 4 in stream 1 and 5 to 9 in stream 2; a row is one of either, or the sum of both.
Digits of held-out rows are in none that is learned from. Times are of the processor.
"""

import argparse
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits

import prosper_ng

N_ROWS, N_HELD_OUT, N_SWEEPS, N_UPDATES = 2000, 600, 60, 40
AMOUNTS: tuple[int | None, ...] = (10, 30, 100, 200, None)


class Mixtures(NamedTuple):
    """Rows and what they are made of."""

    sources: np.ndarray
    """(n, 2, D), 0 where a stream is off."""
    on: np.ndarray
    """(n, 2)."""

    @property
    def values(self) -> np.ndarray:
        """(n, D)."""
        return self.sources.sum(axis=1)

    def labels(self, n_of_each: int | None) -> np.ndarray:
        """(n,) the states of so many rows with either stream alone, or of all rows."""
        states = self.on @ [1, 2]
        if n_of_each is None:
            return states
        labels = np.full(len(states), -1)
        for state in (1, 2):
            rows = np.flatnonzero(states == state)[:n_of_each]
            labels[rows] = state
        return labels


def digits_of(seed: int) -> tuple[Mixtures, Mixtures]:
    """Rows to learn from and rows that are held out."""
    images, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))

    def mixed(of: np.ndarray, n_rows: int) -> Mixtures:
        on = np.array([[1, 0], [0, 1], [1, 1]])[rng.integers(3, size=n_rows)]
        each = [images[rng.choice(of[(digits[of] > 4) == m], n_rows)] for m in (False, True)]
        return Mixtures(np.stack(each, axis=1) * on[..., None], on)

    return mixed(order[:1400], N_ROWS), mixed(order[1400:], N_HELD_OUT)


def learned(
    values: np.ndarray, seed: int, labels: np.ndarray | None = None, n_sweeps: int = N_SWEEPS, **model: Any
) -> prosper_ng.Learned:
    """What is learned in so many sweeps, at rates that rise and fall once."""
    options: dict[str, Any] = {"kind": "streams", "n_latents": 2, "n_dimensions": 10, "hidden": [64]} | model
    optimizer = {"rate": 0.004, "cycle": n_sweeps}
    if labels is not None:
        options["n_classes"] = 1 << options["n_latents"]
    training = {"n_sweeps": n_sweeps, "updates_per_sweep": min(N_UPDATES, max(1, len(values) // 40))}
    model = options | {"optimizer": optimizer}
    return prosper_ng.learn(values, model, labels=labels, training=training, seed=seed, progress=False)


def snr(truth: np.ndarray, found: np.ndarray) -> float:
    """Signal to noise in dB."""
    return float(10 * np.log10(np.sum(truth**2) / np.sum((truth - found) ** 2)))


def told_apart(model: prosper_ng.Learned, held_out: Mixtures) -> tuple[float, float, float]:
    """The share of rows with both switches right, of switches that are right, and the mean SNR of streams in sums."""
    found = model.posterior(held_out.values)
    right, both = (found.means > 0.5) == (held_out.on == 1), held_out.on.all(axis=1)
    each = [snr(held_out.sources[both, m], found.other_means["streams"][both, m]) for m in (0, 1)]
    return float(right.all(axis=1).mean()), float(right.mean()), float(np.mean(each))


def by_one(train: Mixtures, held_out: Mixtures, seed: int) -> tuple[float, float, float]:
    """SNR of one autoencoder of sums, of as many weights: its output for each stream, the best share of it, its sums.

    The best share is a number for each stream that is found from the truth of the held-out rows.
    """
    both = held_out.on.all(axis=1)
    whole = learned(train.values, seed, n_latents=1, n_dimensions=20, hidden=[122]).reconstruct(held_out.values[both])
    found, shares, each = whole.prediction, [], []
    for m in (0, 1):
        truth = held_out.sources[both, m]
        each.append(snr(truth, found))
        shares.append(snr(truth, found * np.sum(truth * found) / np.sum(found**2)))
    return float(np.mean(each)), float(np.mean(shares)), snr(held_out.values[both], found)


def by_each(train: Mixtures, held_out: Mixtures, n_of_each: int, seed: int) -> float:
    """SNR of two autoencoders, each of rows that are known to be its stream alone."""
    both, labels, each = held_out.on.all(axis=1), train.labels(n_of_each), []
    for m in (0, 1):
        own = learned(train.values[labels == m + 1], seed, n_latents=1)
        each.append(snr(held_out.sources[both, m], own.reconstruct(held_out.values[both]).prediction))
    return float(np.mean(each))


def report_digits(seeds: range, figure: str | None) -> None:
    """A table over amounts of labels, and what one autoencoder comes to."""
    print(f"{'labels of either':>18} {'rows right':>16} {'switches right':>16} {'SNR in dB':>16} {'s':>6}", flush=True)
    table: dict[str, np.ndarray] = {}
    examples = None
    for amount in AMOUNTS:
        start, found = time.process_time(), []
        for seed in seeds:
            train, held_out = digits_of(seed)
            model = learned(train.values, seed, train.labels(amount))
            found.append(told_apart(model, held_out))
            if amount == 200 and examples is None:
                examples = (model, held_out)
        seconds, name = (time.process_time() - start) / len(seeds), str(amount or "all rows")
        table[name] = np.array(found)
        spread = [f"{a:.3f} ({b:.3f})" for a, b in zip(np.mean(found, 0), np.min(found, 0), strict=True)]
        print(f"{name:>18} {spread[0]:>16} {spread[1]:>16} {spread[2]:>16} {seconds:6.1f}", flush=True)
    ones = [by_one(*digits_of(seed), seed) for seed in seeds]
    own = [by_each(*digits_of(seed), 200, seed) for seed in seeds]
    output, share, sums = np.mean(ones, 0)
    print(f"one autoencoder of sums: {output:.2f} dB, best share of it {share:.2f} dB, its sums {sums:.2f} dB")
    print(f"two autoencoders of 200 labeled rows each: {np.mean(own):.2f} dB", flush=True)
    if figure and examples:
        draw(figure, table, float(share), *examples)


def draw(path: str, table: dict[str, np.ndarray], one: float, model: prosper_ng.Learned, held_out: Mixtures) -> None:
    """Curves over amounts of labels, and rows with both streams on, told apart."""
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.15])
    upper, lower = left.subplots(2, 1, sharex=True)
    for axes, column in ((upper, 0), (lower, 2)):
        for place, found in enumerate(table.values()):
            axes.plot([place] * len(found), found[:, column], "o", color="0.7", markersize=4)
        axes.plot(range(len(table)), [found[:, column].mean() for found in table.values()], "o-")
    upper.axhline(0.9, color="0.5", linestyle=":")
    upper.set_ylabel("rows with both\nswitches right")
    lower.axhline(one, color="tab:red", linestyle="--")
    lower.text(0, one + 0.15, "one autoencoder of sums, best share", color="tab:red", fontsize=8)
    lower.set(ylabel="SNR of streams\nin sums (dB)", xlabel="labels of either stream")
    lower.set_xticks(range(len(table)), list(table))
    rows = np.flatnonzero(held_out.on.all(axis=1))[:6]
    found = model.posterior(held_out.values[rows]).other_means["streams"]
    names = ("sum", "stream 1", "found", "stream 2", "found")
    truth = held_out.sources[rows]
    shown = (held_out.values[rows], truth[:, 0], found[:, 0], truth[:, 1], found[:, 1])
    for line, images in zip(right.subplots(5, 6), shown, strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=20)
            axes.set(xticks=[], yticks=[])
    for axes, name in zip(right.axes[::6], names, strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(path, dpi=110)


def report_entropies(seeds: range) -> None:
    """A single stream that is always on: the bound and the sum of entropies."""
    print(f"{'seed':>5} {'sweeps':>7} {'F / N':>10} {'entropies':>10} {'apart':>8}")
    values, each = load_digits().data, 0.5 * np.log(2 * np.pi * np.e)
    for seed in seeds:
        for n_sweeps in (40, 120):
            model = learned(values, seed, n_sweeps=n_sweeps, n_latents=1)
            found = model.posterior(values)
            logs = np.log(found.other_means["deviations"])
            # Those of q and of the prior both have L halves of log 2 pi e.
            entropies = logs.sum(axis=(1, 2)).mean() - values.shape[1] * (each + np.log(model.params["sigma"]))
            bound = float(found.free_energy.mean())
            apart = abs(entropies / bound - 1)
            print(f"{seed:5} {n_sweeps:7} {bound:10.3f} {entropies:10.3f} {apart:8.2%}", flush=True)


def main() -> None:
    """Print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure")
    parser.add_argument("--only", choices=("entropies", "digits"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds = range(given.seeds)
    reports = {
        "entropies": lambda: report_entropies(seeds),
        "digits": lambda: report_digits(seeds, given.figure),
    }
    for name, report in reports.items():
        if given.only in (None, name):
            report()


if __name__ == "__main__":
    main()
