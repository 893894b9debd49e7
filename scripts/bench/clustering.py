"""Mixtures that look at a few components of each row, beside scikit-learn's KMeans, MiniBatchKMeans, GaussianMixture.

    python scripts/bench/clustering.py [--only evaluations,patches,growth,gaussian,coreset] [--seeds N]
        [--components C ...]

`evaluations`: C = 400, N = 20,000, on a grid in the plane and on blobs of 10 dimensions: mean squared distances, and
distances that were computed for each row in 30 sweeps, from KMeans' seeds and from one's own. What is compared among
components is counted apart. `patches`: 200,000 colored patches of 6 x 6 pixels, processor seconds of the whole fit.
`growth`: processor time of a sweep over C. `gaussian`: diagonal components from one start, log likelihoods. `coreset`:
20,000 of 1,000,000 rows that stand for all.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.mixture import GaussianMixture

import prosper_ng
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.latents.near_values import near_values

Floats = NDArray[np.float64]

K_MEANS = {"kind": "mixture", "noise": "scalar", "equal_weights": True}
SPHERES = {"kind": "mixture", "noise": "scalar"}
WAYS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "k-means, C' = 1, G = 5": (K_MEANS, {"n_states": 1, "n_near": 5}),
    "k-means, C' = 1, G = 10": (K_MEANS, {"n_states": 1, "n_near": 10}),
    "GMM, C' = 3, G = 5": (SPHERES, {"n_states": 3, "n_near": 5}),
    "GMM, C' = 3, G = 15": (SPHERES, {"n_states": 3, "n_near": 15}),
}


def error(rows: Floats, centers: Floats) -> float:
    """The mean squared distance to the nearest center."""
    return float(np.mean(pairwise_distances_argmin_min(rows, centers)[1] ** 2))


def learned(rows: Floats, model: dict[str, Any], estep: dict[str, Any], n_sweeps: int, **options: Any) -> Any:
    """What the program learns."""
    training = {"n_sweeps": n_sweeps} | options.pop("training", {})
    return prosper_ng.learn(
        rows, model, estep={"kind": "clusters"} | estep, training=training, progress=False, **options
    )


def grid(rng: np.random.Generator) -> Floats:
    """20,000 points around those of a grid of 20 x 20."""
    points = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    return points[rng.integers(0, 400, 20_000)] + 0.3 * rng.standard_normal((20_000, 2))


def blobs(
    rng: np.random.Generator, n_rows: int = 20_000, n_observed: int = 10, n_blobs: int = 400, deviation: float = 3.0
) -> Floats:
    """Points around 400 others, which overlap."""
    centers = deviation * rng.standard_normal((n_blobs, n_observed))
    return np.asarray(centers[rng.integers(0, n_blobs, n_rows)] + rng.standard_normal((n_rows, n_observed)))


def patches(n_rows: int, seed: int = 0) -> Floats:
    """(n_rows, 108) patches of 6 x 6 pixels and three colors, of four photographs."""
    from skimage import data

    found = []
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        image = getattr(data, name)().astype(np.float64) / 255
        windows = np.lib.stride_tricks.sliding_window_view(image, (6, 6, 3))
        found.append(windows.reshape(-1, 108))
    whole = np.concatenate(found)
    return whole[np.random.default_rng(seed).permutation(len(whole))[:n_rows]]


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """What a call returns, and the processor seconds it took."""
    began = time.process_time()
    found = call(*arguments)
    return found, time.process_time() - began


def of_evaluations(arguments: argparse.Namespace) -> Iterator[str]:
    """C = 400: errors beside KMeans', and evaluations."""
    C = 400
    yield "| data | method | from KMeans' seeds | from own seeds | evaluations a row | among components | KMeans |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, make in (("grid, D = 2", grid), ("blobs, D = 10", blobs)):
        rows = make(np.random.default_rng(0))
        found: dict[str, list[tuple[float, ...]]] = {way: [] for way in WAYS}
        for seed in range(arguments.seeds):
            seeds, _ = kmeans_plusplus(rows, C, random_state=seed)
            theirs = KMeans(C, init=seeds, n_init=1).fit(rows)
            own = KMeans(C, n_init=1, random_state=seed).fit(rows)
            errors = error(rows, theirs.cluster_centers_), error(rows, own.cluster_centers_)
            for way, (model, estep) in WAYS.items():
                told = []
                for start, of_kmeans in (({"W": seeds.T}, errors[0]), (None, errors[1])):
                    result = learned(rows, model | {"n_components": C}, estep, 30, start=start, seed=seed)
                    told.append(100 * (error(rows, result.params["W"].T) / of_kmeans - 1))
                counted = float(result.history["n_evaluated"].sum())
                found[way].append((*told, counted, 30 * compared(C) / len(rows), C * theirs.n_iter_))
        for way, numbers in found.items():
            same, fresh, counted, among, kmeans = np.mean(numbers, axis=0)
            spread = np.ptp([each[:2] for each in numbers], axis=0) / 2
            yield (
                f"| {name} | {way} | {same:+.1f} ± {spread[0]:.1f} % | {fresh:+.1f} ± {spread[1]:.1f} % "
                f"| {counted:.0f} | {among:.0f} | {kmeans:,.0f} |"
            )


def compared(n_components: int) -> int:
    """Comparisons of components with each other in a sweep."""
    count = 0

    def likeness(values: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        nonlocal count
        count += len(values) * len(others)
        return -np.abs(values[:, None] - others).astype(np.float64)

    near_values(n_components, 5, likeness)
    return count


def of_patches(arguments: argparse.Namespace) -> Iterator[str]:
    """Processor seconds of whole fits to 200,000 patches."""
    rows = patches(200_000)
    yield "| C | method | error | beside KMeans | processor s | KMeans' / these | sweeps |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for C in arguments.components:
        kmeans, seconds = timed(KMeans(C, n_init=1, random_state=0, max_iter=arguments.most).fit, rows)
        least = error(rows, kmeans.cluster_centers_)
        yield f"| {C:,} | KMeans | {least:.5f} | | {seconds:.0f} | | {kmeans.n_iter_} |"
        batches, own = timed(MiniBatchKMeans(C, n_init=1, random_state=0, batch_size=4096).fit, rows)
        yield told(C, "MiniBatchKMeans", error(rows, batches.cluster_centers_), least, own, seconds, batches.n_iter_)
        model, estep = K_MEANS | {"n_components": C}, {"n_states": 1, "n_near": 16, "n_cells": 8}
        for seed in range(arguments.seeds):
            for n_sweeps in (2, 4):
                result, own = timed(partial(learned, seed=seed), rows, model, estep, n_sweeps)
                way = f"C' = 1, G = 16, 8 cells, seed {seed}"
                yield told(C, way, error(rows, result.params["W"].T), least, own, seconds, n_sweeps)


def told(C: int, way: str, found: float, least: float, own: float, seconds: float, n_sweeps: int) -> str:
    """A row of the table."""
    beside = f"{100 * (found / least - 1):+.1f} %"
    return f"| {C:,} | {way} | {found:.5f} | {beside} | {own:.1f} | {seconds / own:.1f} | {n_sweeps} |"


def of_growth(arguments: argparse.Namespace) -> Iterator[str]:
    """Processor time of a sweep, beside C."""
    rows = blobs(np.random.default_rng(0), 100_000, 20, 10_000)
    sizes, seconds = [100, 300, 1000, 3000, 10_000], []
    yield "| C | processor s of a sweep | evaluations a row |"
    yield "| --- | --- | --- |"
    for C in sizes:
        starts = rows[np.random.default_rng(1).choice(len(rows), C, replace=False)].T
        model, estep = K_MEANS | {"n_components": C}, {"n_states": 1, "n_near": 5}
        marks: list[float] = []

        def on_sweep(*_: Any, marks: list[float] = marks) -> None:
            marks.append(time.process_time())

        result = learned(rows, model, estep, 12, start={"W": starts}, on_sweep=on_sweep)
        seconds.append(float(np.median(np.diff(marks[1:]))))
        yield f"| {C:,} | {seconds[-1]:.3f} | {result.history['n_evaluated'][-1]:.1f} |"
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    yield f"\nexponent of the processor time over C: {exponent:.2f}"


def of_gaussian(arguments: argparse.Namespace) -> Iterator[str]:
    """Diagonal Gaussians from one start: mean log likelihoods after 60 sweeps."""
    C, D, N = 50, 6, 10_000
    yield "| start | GaussianMixture | all components | C' = 3, G = 15, its exact log likelihood | evaluations a row |"
    yield "| --- | --- | --- | --- | --- |"
    rng = np.random.default_rng(3)
    centers, deviations = 2.5 * rng.standard_normal((C, D)), rng.gamma(2.0, 0.5, (1, D))
    rows = np.asarray(centers[rng.integers(0, C, N)] + deviations * rng.standard_normal((N, D)))
    for seed in range(arguments.seeds):
        seeds, _ = kmeans_plusplus(rows, C, random_state=seed)
        V = np.full((C, D), rows.var(axis=0) / 10)
        theirs = GaussianMixture(
            C, covariance_type="diag", weights_init=np.full(C, 1 / C), means_init=seeds, precisions_init=1 / V,
            max_iter=60, tol=0.0, reg_covar=1e-10,
        )  # fmt: skip
        theirs.fit(rows)
        start = {"W": seeds.T, "V": V.T, "pi": np.full(C, 1 / C)}
        model = {"kind": "mixture", "n_components": C}
        whole = learned(rows, model, {"kind": "exhaustive"}, 60, start=start)
        few = learned(rows, model, {"n_states": 3, "n_near": 15}, 60, start=start)
        yield (
            f"| {seed} | {theirs.score(rows):.4f} | {log_likelihood(whole, rows):.4f} "
            f"| {log_likelihood(few, rows):.4f} | {few.history['n_evaluated'].sum():.0f} |"
        )


def log_likelihood(known: Any, rows: Floats) -> float:
    """The mean over all components."""
    return float(np.mean(dataclasses.replace(known, estep=Exhaustive()).free_energy(rows)))


def of_coreset(arguments: argparse.Namespace) -> Iterator[str]:
    """Blobs, N = 1,000,000, C = 400: 30 sweeps over all rows, beside 30 and 60 over 20,000 that stand for all.

    Errors to the nearest centers, and in brackets what learning tells: to those that were nearest before its last step.
    """
    yield "| data | seed | all rows | processor s | coreset, 30 sweeps | processor s | 60 sweeps | processor s |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    model, estep = WAYS["k-means, C' = 1, G = 5"]
    for name, deviation in (("overlapping", 3.0), ("apart", 6.0)):
        for seed in range(arguments.seeds):
            rows = blobs(np.random.default_rng(seed), 1_000_000, deviation=deviation)
            learn = partial(learned, rows, model | {"n_components": 400}, estep, seed=seed)
            whole, seconds = timed(learn, 30)
            least, cells = error(rows, whole.params["W"].T), ""
            for n_sweeps in (30, 60):
                few, own = timed(partial(learn, n_sweeps, coreset=20_000))
                found = error(rows, few.params["W"].T)
                told = 10 * few.on_all_rows["mean_squared_error"]
                cells += f" {100 * (found / least - 1):+.1f} % ({100 * (told / least - 1):+.1f} %) | {own:.0f} |"
            yield f"| {name} | {seed} | {least:.3f} | {seconds:.0f} |{cells}"


SECTIONS = {
    "evaluations": of_evaluations,
    "patches": of_patches,
    "growth": of_growth,
    "gaussian": of_gaussian,
    "coreset": of_coreset,
}


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SECTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--components", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--most", type=int, default=300, help="iterations of KMeans")
    arguments = parser.parse_args()
    for name in arguments.only:
        print(f"\n{name}\n")
        for line in SECTIONS[name](arguments):
            print(line, flush=True)


if __name__ == "__main__":
    main()
