"""Digits told apart by a few labels, beside scikit-learn's classifiers that use rows without labels as well.

    python scripts/bench/labels.py [--seeds N] [--first SEED]

Scikit-learn's digits: 1,200 rows to learn from, of which some have labels, and 597 that are held out; the share of
these that is told right, over seeds, which also draw the rows. Settings were chosen on the seeds from 100 on.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier

from prosper_ng.estimators import MixtureClassifier

N_LEARNED = 1200
LABELS = {10: 20, 50: 50, 100: 50, 1200: 100}
"""How many rows have labels, and the components of mixtures for that."""

Make = Callable[[int, int], Any]


def mixture(**options: Any) -> Make:
    """Makes a mixture for a number of labels; with few of them components are found while it cools."""

    def make(n_labels: int, seed: int) -> Any:
        annealing = {"temperature": [[0, 8], [30, 1]]} if n_labels < N_LEARNED else None
        return MixtureClassifier(
            LABELS[n_labels], max_iter=60, tol=0, annealing=annealing, random_state=seed, **options
        )  # fmt: skip

    return make


def self_training(n_labels: int, seed: int) -> Any:
    """Logistic regression, once more with what it is sure of."""
    regression = make_pipeline(MinMaxScaler(), LogisticRegression(C=10, max_iter=1000))
    return SelfTrainingClassifier(regression, threshold=0.9) if n_labels < N_LEARNED else regression


WAYS: dict[str, Make] = {
    "`MixtureClassifier`, Poisson": mixture(observable="poisson"),
    "`MixtureClassifier`, one variance": mixture(noise="scalar"),
    "`LabelPropagation`, 7 neighbors": lambda *_: LabelPropagation(kernel="knn", n_neighbors=7),
    "`LabelSpreading`, 7 neighbors": lambda *_: LabelSpreading(kernel="knn", n_neighbors=7),
    "`SelfTrainingClassifier`, logistic regression": self_training,
    "`KNeighborsClassifier`, 1 neighbor": lambda *_: OfLabeled(KNeighborsClassifier(1)),
}


class OfLabeled:
    """A classifier that learns from rows with labels only."""

    def __init__(self, one: Any) -> None:
        self._one = one

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> "OfLabeled":
        """Without the others."""
        self._one.fit(X[y >= 0], y[y >= 0])
        return self

    def score(self, X: NDArray[Any], y: NDArray[Any]) -> float:
        """The share that is told right."""
        return float(self._one.score(X, y))


def told_right(make: Make, n_labels: int, seed: int) -> float:
    """The share of the held-out rows."""
    rows, digit = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(rows))
    known, others = order[:N_LEARNED], order[N_LEARNED:]
    y = np.where(np.arange(N_LEARNED) < n_labels, digit[known], -1)
    with warnings.catch_warnings(action="ignore"):  # of components, or classes, without labels
        return float(make(n_labels, seed).fit(rows[known], y).score(rows[others], digit[others]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    print("| |", " | ".join(f"{n:,} labels, C = {C}" for n, C in LABELS.items()), "| processor s of a fit |")
    print("| --- |", " | ".join("---" for _ in LABELS), "| --- |")
    for name, make in WAYS.items():
        began, cells = time.process_time(), []
        for n_labels in LABELS:
            shares = [told_right(make, n_labels, arguments.first + seed) for seed in range(arguments.seeds)]
            cells.append(f"{np.mean(shares):.3f} ({min(shares):.2f} to {max(shares):.2f})")
        seconds = (time.process_time() - began) / (len(LABELS) * arguments.seeds)
        print(f"| {name} |", " | ".join(cells), f"| {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
