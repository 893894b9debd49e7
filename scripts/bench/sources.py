"""Blind source separation: how well GSC and TSC find the mixing matrix, beside FastICA of scikit-learn.

    python scripts/bench/sources.py [--seeds 5] [--latents 4 10] [--rows 3000] [--picture FILE.png]

Sources of unit variance are mixed by a square matrix, and noise of standard deviation 0.01 is added. All methods get
whitened mixtures. Prints a table: the Amari index, 0 where the mixing matrix is found but for order and scale, its
median over the seeds and in brackets its range. Then four signals with structure in time, which none of the methods
looks at.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import FastICA

import prosper_ng
from prosper_ng.data.preprocessing import Whitening
from prosper_ng.numerics.matching import amari_index

Floats = NDArray[np.float64]

SIGMA, WORST = 0.01, 100.0
SEARCH = {"kind": "search", "n_states": 30, "variations": ["preselection", "neighborhood"]}
TRAINING = {"n_sweeps": 30, "updates_per_sweep": 10, "initial": {"sigma": 0.5}}
# Every source is -1 or 1 and nothing in between; noise that is not learned keeps W from falling to 0.
DENSE = {
    "n_sweeps": 35,
    "updates_per_sweep": 10,
    "initial": {"sigma": 0.3, "pi": 0.99},
    "learn": ["W"],
    "annealing": {"temperature": [[0, 10.0], [25, 1.0]]},
}


class Method(NamedTuple):
    """A model, and how it is learned."""

    kind: str
    training: dict[str, Any] = TRAINING


METHODS = {
    "GSC": Method("gsc"),
    "GSC, best of 5": Method("gsc", TRAINING | {"restarts": 5}),
    "TSC": Method("tsc"),
    "TSC, dense": Method("tsc", DENSE),
}


def sources(kind: str, n_rows: int, n_sources: int, rng: np.random.Generator) -> Floats:
    """(n, H) of unit variance."""
    shape = (n_rows, n_sources)
    drawn = {
        "Laplace": lambda: rng.laplace(size=shape),
        "Student, 2.5 degrees": lambda: rng.standard_t(2.5, shape),
        "spike and slab, 0.2": lambda: np.where(rng.random(shape) < 0.2, rng.standard_normal(shape), 0.0),
        "ternary, 0.1": lambda: rng.choice([-1.0, 0.0, 1.0], shape, p=[0.05, 0.9, 0.05]),
        "ternary, 0.5": lambda: rng.choice([-1.0, 0.0, 1.0], shape, p=[0.25, 0.5, 0.25]),
        "binary": lambda: rng.choice([-1.0, 1.0], shape),
        "uniform": lambda: rng.uniform(-1.0, 1.0, shape),
    }[kind]()
    return np.asarray(drawn / drawn.std(axis=0))


KINDS = ("Laplace", "Student, 2.5 degrees", "spike and slab, 0.2", "ternary, 0.1", "ternary, 0.5", "binary", "uniform")


def mixing_matrix(kind: str, n_sources: int, rng: np.random.Generator) -> Floats:
    """(D, H) with entries of variance 1/H, or with singular values that span a factor of 2 (well) or 100 (badly)."""
    drawn = rng.standard_normal((n_sources, n_sources)) / np.sqrt(n_sources)
    if kind == "random":
        return np.asarray(drawn)
    left, _, right = np.linalg.svd(drawn)
    return np.asarray(left * np.geomspace(1.0, 0.5 if kind == "well" else 1 / WORST, n_sources) @ right)


def by_fastica(mixtures: Floats, seed: int) -> Floats:
    """(D, H) the mixing matrix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged; the table shows what it came to
        return np.asarray(FastICA(whiten="unit-variance", random_state=seed, max_iter=500).fit(mixtures).mixing_)


def by_model(method: Method, mixtures: Floats, seed: int) -> Floats:
    """(D, H) the mixing matrix."""
    whitening = Whitening.of_moments("zca", mixtures.mean(axis=0), np.cov(mixtures.T), 0.0, "the mixtures")
    model = {"kind": method.kind, "n_latents": mixtures.shape[1]}
    learned = prosper_ng.learn(whitening.apply(mixtures), model, estep=SEARCH, training=method.training, seed=seed)
    return whitening.undo_directions(learned.params["W"].T).T


def compare(mixtures: Floats, A: Floats, seed: int) -> dict[str, tuple[float, float]]:
    """The Amari index, and seconds of the processor, of each method."""
    found = {}
    for name in ("FastICA", *METHODS):
        began = time.process_time()
        W = by_fastica(mixtures, seed) if name == "FastICA" else by_model(METHODS[name], mixtures, seed)
        seconds = time.process_time() - began
        index = amari_index(A, W)
        assert index is not None  # a square matrix of full rank has one
        found[name] = index, seconds
    return found


def mixed(kind: str, mix: str, n_sources: int, n_rows: int, seed: int) -> tuple[Floats, Floats]:
    """Mixtures (n, D) and the mixing matrix."""
    rng = np.random.default_rng(seed)
    clean, A = sources(kind, n_rows, n_sources, rng), mixing_matrix(mix, n_sources, rng)
    return clean @ A.T + SIGMA * rng.standard_normal((n_rows, n_sources)), A


def sounds(n_rows: int) -> Floats:
    """(n, 4) at 8,000 a second: pulses that ring, a gliding voice in syllables, a hum, noise in bursts."""
    rng, t = np.random.default_rng(0), np.arange(n_rows) / 8000.0
    ring = np.sin(2 * np.pi * 440.0 * t[:800]) * np.exp(-t[:800] * 60.0)
    pulses = np.convolve(rng.random(n_rows) < 0.001, ring)[:n_rows]
    pitch = np.cumsum(120.0 + 30.0 * np.sin(2 * np.pi * 0.7 * t)) / 8000.0
    harmonics = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 12))
    voice = harmonics * np.maximum(np.sin(2 * np.pi * 2.3 * t), 0) ** 2
    bursts = rng.standard_normal(n_rows) * (np.sin(2 * np.pi * 1.1 * t) > 0.6)
    signals = np.column_stack([pulses, voice, np.sin(2 * np.pi * 50.0 * t), bursts])
    return np.asarray(signals / signals.std(axis=0))


def draw(file: Path) -> None:
    """The sounds, what the microphones hear, and what TSC makes of it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    clean, mixtures, A = recorded()
    unmixing = np.linalg.pinv(by_model(METHODS["TSC"], mixtures, 0))
    partners = np.abs(unmixing @ A).argmax(axis=0)
    found = (mixtures - mixtures.mean(axis=0)) @ unmixing[partners].T
    found *= np.sign(np.diagonal(unmixing[partners] @ A)) / found.std(axis=0)
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    columns = {"sources": clean, "mixtures": mixtures, "found by TSC": found}
    for axes, (title, signals) in zip(figure.subplots(1, 3), columns.items(), strict=True):
        for number, signal in enumerate(signals.T):
            axes.plot(np.arange(8000) / 8.0, signal[:8000] / np.abs(signal).max() - 2.1 * number, linewidth=0.4)
        axes.set(title=title, xlabel="ms", yticks=[])
    figure.savefig(file, dpi=100)


def recorded() -> tuple[Floats, Floats, Floats]:
    """Two seconds of sounds, four microphones in 16 bits, and the mixing matrix in their units."""
    rng = np.random.default_rng(1)
    clean, A = sounds(16000), 3000.0 * mixing_matrix("random", 4, rng)
    return clean, np.round(clean @ A.T + 30.0 * rng.standard_normal((16000, 4))).astype(np.int16), A


def row(label: str, results: list[dict[str, tuple[float, float]]]) -> str:
    """One line of the table."""
    cells = []
    for name in results[0]:
        indices = np.array([result[name][0] for result in results])
        seconds = float(np.median([result[name][1] for result in results]))
        spread = f" ({indices.min():.3f} to {indices.max():.3f})" if len(indices) > 1 else ""
        cells.append(f"{np.median(indices):.3f}{spread}, {seconds:.1f} s")
    return f"| {label} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--latents", type=int, nargs="+", default=[4, 10])
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--mixings", nargs="+", default=["random"], choices=["random", "well", "badly"])
    parser.add_argument("--picture", type=Path)
    asked: Any = parser.parse_args()
    print("| sources | " + " | ".join(("FastICA", *METHODS)) + " |\n| --- |" + " --- |" * (1 + len(METHODS)))
    for n_sources in asked.latents:
        for mix in asked.mixings:
            for kind in asked.kinds:
                each = [(*mixed(kind, mix, n_sources, asked.rows, seed), seed) for seed in range(asked.seeds)]
                print(row(f"{kind}; H {n_sources}, {mix}", [compare(*one) for one in each]), flush=True)
    _, mixtures, A = recorded()
    print(row("sounds in 16 bits; H 4", [compare(mixtures, A, 0)]))
    if asked.picture:
        draw(asked.picture)


if __name__ == "__main__":
    main()
