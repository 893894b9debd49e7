"""Spikes of the amplitudes 1, 6 and 8 on a noisy trace: what DSC learns of their templates, how often each amplitude is
there, and which one is there in each frame, held against the truth.

    python scripts/bench/discrete_signals.py [--seeds 5] [--starts 4] [--frames 2000] [--picture FILE.png]
    python scripts/bench/discrete_signals.py --write FOLDER    # spikes.npy, truth.npz of seed 0

The trace is cut into frames of 48 samples. In each frame each of eight neurons is silent or fires once, with a template
of its own that lies at its own place, and what they do adds up. Of some starts that of the highest free energy counts.
Prints a table of the seeds, the amplitudes decoded in all of them, and what comes of other ways to put the question.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from numpy.typing import NDArray

import prosper_ng
from prosper_ng.inference.learned import Learned
from prosper_ng.numerics.matching import recovered

Floats = NDArray[np.float64]

VALUES = np.array([0.0, 1.0, 6.0, 8.0])
PROBABILITIES = np.array([0.80, 0.08, 0.06, 0.06])
N_NEURONS, N_SAMPLES, NORM, SIGMA = 8, 48, 6.0, 1.5
TRAINING = {"n_sweeps": 150, "annealing": {"temperature": [[0, 10.0], [70, 1.0]]}}


class Recording(NamedTuple):
    """A trace, and what made it."""

    trace: Floats
    """(frames * 48,)."""
    templates: Floats
    """(48, H) the shape of each neuron's spikes of amplitude 1."""
    amplitudes: Floats
    """(frames, H)."""

    @property
    def rows(self) -> Floats:
        """(frames, 48): the one line that makes rows of a trace."""
        return (self.trace - np.median(self.trace)).reshape(-1, N_SAMPLES)


class Score(NamedTuple):
    """What was learned, neurons in the order of the truth."""

    templates: Floats
    """(48, H)."""
    cosines: Floats
    """(H,)."""
    scales: Floats
    """(H,) lengths of the templates, those of the truth being 1."""
    pi: Floats
    sigma: float
    decoded: Floats
    """(frames, H) the most probable amplitudes."""
    seconds: float

    @property
    def n_found(self) -> int:
        """Templates of the right shape and, to a tenth, the right size."""
        return int(np.sum((self.cosines >= 0.9) & (np.abs(self.scales - 1) < 0.1)))


def recording(seed: int, n_frames: int, jitter: int = 0) -> Recording:
    """A trace; with jitter each spike lies up to so many samples to either side of its place."""
    rng = np.random.default_rng(seed)
    at, width = rng.uniform(8, N_SAMPLES - 14, N_NEURONS), rng.uniform(1.5, 4, N_NEURONS)
    lag, rebound = rng.uniform(2, 3.5, N_NEURONS) * width, rng.uniform(0.2, 0.6, N_NEURONS)
    samples = np.arange(N_SAMPLES)[:, None]
    templates = rebound * _bump(samples, at + lag, 1.5 * width) - _bump(samples, at, width)
    templates *= NORM / np.linalg.norm(templates, axis=0)
    amplitudes = rng.choice(VALUES, (n_frames, N_NEURONS), p=PROBABILITIES)
    clean = amplitudes @ templates.T
    if jitter:
        shifts = rng.integers(-jitter, jitter + 1, amplitudes.shape)
        moved = np.stack([np.roll(templates, shift, axis=0) for shift in range(-jitter, jitter + 1)])
        clean = np.einsum("nh,nhd->nd", amplitudes, moved.transpose(0, 2, 1)[shifts + jitter, np.arange(N_NEURONS)])
    return Recording((clean + SIGMA * rng.standard_normal(clean.shape)).ravel(), templates, amplitudes)


def _bump(samples: Any, center: Floats, width: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * ((samples - center) / width) ** 2))


def learn(rows: Floats, n_starts: int, values: Sequence[float] = tuple(VALUES), **model: Any) -> Learned:
    """The best of some starts."""
    described = {"kind": "dsc", "n_latents": N_NEURONS, "values": list(values), **model}
    tries = [prosper_ng.learn(rows, described, training=TRAINING, seed=seed) for seed in range(n_starts)]
    return max(tries, key=lambda learned: float(learned.history["free_energy"][-1]))


def score(true: Recording, n_starts: int, rows: Floats | None = None, unit: float = 1.0, **options: Any) -> Score:
    """Learn from the rows of a recording, or from others that were made of it, and decode them."""
    rows, began = true.rows if rows is None else rows, time.process_time()
    learned = learn(rows, n_starts, **options)
    W, states = learned.params["W"], learned.posterior(rows, top_k=1).states[:, 0]
    partners = recovered(true.templates, W, threshold=0.0).assignment
    cosines = recovered(true.templates, W).correlations
    lengths = np.linalg.norm(W[:, partners], axis=0) / (unit * NORM)
    seconds = time.process_time() - began
    return Score(
        W[:, partners],
        cosines,
        lengths,
        learned.params["pi"],
        float(learned.params["sigma"]),
        states[:, partners],
        seconds,
    )


def confusion(true: Floats, decoded: Floats) -> Floats:
    """(K, K) shares of the decoded values (columns) where each true value (rows) was."""
    counts = np.array([[np.sum((true == a) & (decoded == b)) for b in VALUES] for a in VALUES])
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def draw(true: Recording, learned: Score, file: Path) -> None:
    """The trace with what was decoded, and the templates beside the true ones."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    axes = upper.subplots()
    n_shown = 10
    axes.plot(true.trace[: n_shown * N_SAMPLES], color="#888888", linewidth=0.7, label="trace")
    axes.plot(
        (learned.decoded[:n_shown] @ learned.templates.T).ravel(), color="#1f4e79", linewidth=1.3, label="decoded"
    )
    places = np.abs(true.templates).argmax(axis=0)
    top = axes.get_ylim()[1]
    for frame in range(n_shown):
        axes.axvline(frame * N_SAMPLES, color="#e4e4e4", linewidth=0.8, zorder=0)
        for neuron in np.flatnonzero((true.amplitudes[frame] != 0) | (learned.decoded[frame] != 0)):
            told, truth = learned.decoded[frame, neuron], true.amplitudes[frame, neuron]
            color = f"C{neuron}" if told == truth else "#9c2f2f"
            text = f"{told:g}" if told == truth else f"{told:g}, not {truth:g}"
            x = frame * N_SAMPLES + places[neuron]
            axes.text(x, top * (1.0 + 0.16 * (neuron % 4)), text, color=color, ha="center", va="bottom", fontsize=8)
    axes.set(xlabel="sample", xlim=(0, n_shown * N_SAMPLES), ylim=(None, top * 1.75))
    axes.legend(loc="lower right", ncols=2, frameon=False)
    for neuron, panel in enumerate(lower.subplots(1, N_NEURONS, sharey=True)):
        panel.plot(true.templates[:, neuron], color="#c8690a", linewidth=3, alpha=0.5, label="true")
        panel.plot(learned.templates[:, neuron], color=f"C{neuron}", linewidth=1.2, label="learned")
        panel.set_title(f"cosine {learned.cosines[neuron]:.3f}", fontsize=8)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--write", type=Path)
    asked: Any = parser.parse_args()
    if asked.write:
        written = recording(0, asked.frames)
        np.save(asked.write / "spikes.npy", written.rows)
        np.savez(asked.write / "truth.npz", templates=written.templates, amplitudes=written.amplitudes)
        return
    true = [recording(seed, asked.frames) for seed in range(asked.seeds)]
    print_seeds(true, asked.starts)
    print_ways(true[0], asked)


def print_seeds(true: list[Recording], n_starts: int) -> None:
    """The table of the seeds, and the amplitudes of all of them."""
    print("| seed | templates | smallest cosine | sigma | pi of 0, 1, 6, 8 | amplitudes right | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    scores = []
    for seed, each in enumerate(true):
        found = score(each, n_starts)
        right = np.mean(found.decoded == each.amplitudes)
        pi = ", ".join(f"{p:.3f}" for p in found.pi)
        print(
            f"| {seed} | {found.n_found} of {N_NEURONS} | {found.cosines.min():.3f} | {found.sigma:.3f} | {pi} "
            f"| {100 * right:.1f} % | {found.seconds:.1f} |",
            flush=True,
        )
        scores.append(found)
    shares = confusion(*(np.concatenate(part) for part in ([t.amplitudes for t in true], [s.decoded for s in scores])))
    print("\n| true | decoded 0 | 1 | 6 | 8 |\n| --- | --- | --- | --- | --- |")
    for value, row in zip(VALUES, shares, strict=True):
        print(f"| {value:g} | " + " | ".join(f"{100 * share:.1f} %" for share in row) + " |")


def print_ways(true: Recording, asked: Any) -> None:
    """One recording, put in other ways; the picture is of the first."""
    shifted = recording(0, asked.frames, jitter=2)
    microvolts = 50.0 * true.trace.reshape(-1, N_SAMPLES) + 1000.0
    ways: dict[str, dict[str, Any]] = {
        "as above": {},
        "in microvolts, 50 a unit": {"rows": 50.0 * true.rows, "unit": 50.0},
        "the same about 1,000": {"rows": microvolts, "unit": 50.0},
        "the same with `data_mean`": {"rows": microvolts, "unit": 50.0, "data_mean": True},
        "told the values 0, 1, 2, 3": {"values": (0.0, 1.0, 2.0, 3.0)},
        "told the values 0, 10, 60, 80": {"values": (0.0, 10.0, 60.0, 80.0), "unit": 0.1},
        "spikes up to 2 samples early or late": {"rows": shifted.rows},
    }
    print("\n| rows of seed 0 | templates | smallest cosine | sigma | pi | amplitudes right |")
    print("| --- | --- | --- | --- | --- | --- |")
    for label, options in ways.items():
        truth = shifted if "early" in label else true
        found = score(truth, asked.starts, **options)
        right = np.mean(found.decoded * options.get("unit", 1.0) ** ("values" in options) == truth.amplitudes)
        pi = ", ".join(f"{p:.2f}" for p in found.pi)
        print(
            f"| {label} | {found.n_found} of {N_NEURONS} | {found.cosines.min():.3f} | {found.sigma:.3g} | {pi} "
            f"| {100 * right:.1f} % |",
            flush=True,
        )
    if asked.picture:
        draw(true, score(true, asked.starts), asked.picture)


if __name__ == "__main__":
    main()
