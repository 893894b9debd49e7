"""Dictionaries of Laplace latents found from random starts, with and without entropy annealing, and by FastICA.

    python scripts/bench/laplace.py --seeds 20

Rows are W z + noise, z ~ Laplace(1), columns of W of length 1. An element is found where a learned one has a normalized
correlation of 0.9 or more with it. Times are of the processor.
"""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.decomposition import FastICA

import prosper_ng
from prosper_ng.numerics.matching import recovered

D, H, N, SIGMA, N_SWEEPS = 12, 8, 800, 0.3, 300
ANNEALED = {"prior_weight": [[0.0, 0.8], [0.7, 1.0]], "noise_weight": [[0.0, 0.4], [0.7, 1.0]]}


def rows_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The dictionary (D, H) and rows (N, D)."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(D, H))
    W /= np.linalg.norm(W, axis=0)
    return W, rng.laplace(size=(N, H)) @ W.T + SIGMA * rng.normal(size=(N, D))


def learned(values: np.ndarray, seed: int, covariance: str = "full", **training: object) -> prosper_ng.Learned:
    """What is learned in so many sweeps."""
    options = {"n_sweeps": N_SWEEPS} | training
    model, estep = {"kind": "laplace", "n_latents": H}, {"kind": "gaussian", "covariance": covariance}
    return prosper_ng.learn(values, model, estep=estep, training=options, seed=seed, progress=False)


def by_ica(values: np.ndarray, seed: int) -> np.ndarray:
    """The mixing matrix (D, H) of FastICA."""
    return FastICA(H, random_state=seed, max_iter=2000).fit(values).mixing_


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore")
    ways: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "laplace": lambda values, seed: learned(values, seed).params["W"],
        "laplace, annealed": lambda values, seed: learned(values, seed, annealing=ANNEALED).params["W"],
        "laplace, annealed, mean field": lambda values, seed: learned(
            values, seed, "diagonal", annealing=ANNEALED
        ).params["W"],
        "FastICA": by_ica,
    }
    ways["laplace"](rows_of(0)[1], 0)  # compiles
    print(f"{'':30} {'all found':>10} {'elements found':>15} {'seconds':>8}", flush=True)
    for name, way in ways.items():
        start, found = time.process_time(), []
        for seed in seeds:
            W, values = rows_of(seed)
            found.append(recovered(W, way(values, seed), ignore_sign=True).found)
        seconds = (time.process_time() - start) / len(seeds)
        print(f"{name:30} {sum(n == H for n in found):4} of {len(seeds):2} {np.mean(found):15.2f} {seconds:8.2f}")


if __name__ == "__main__":
    main()
