"""The cost model of docs/scaling.md held against runs that it was not fitted to: patches of photographs.

Constants are fitted anew, to the problems of cost_model.py, which are drawn from the models themselves. Then BSC and
GSC learn from patches, whitened or not, with other sizes, active latents as learning has them, and two M-steps a sweep.
Processor times of one thread; of the sweeps of a run, after some that load kernels, the shortest.
"""

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
from cost_model import Constants, features, fit, n_statistics_of
from synthetic import MODELS, N_PROPOSED, Size
from workloads import assembly_of, patches

from prosper_ng.data.sources.image import Image
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training

UPDATES = 2
N_BEFORE, N_TIMED = 4, 4
EVOLUTION = {"kind": "evolution", "n_parents": N_PROPOSED // 2, "n_children": 1, "n_generations": 2}


class Case(NamedTuple):
    """One run."""

    image: str
    kind: str
    side: int
    """Of a patch, in pixels."""
    n_rows: int
    n_latents: int
    n_states: int
    whiten: str = "none"


CASES = [
    Case("camera", "bsc", side=12, n_rows=20_000, n_latents=400, n_states=40, whiten="zca"),
    Case("coffee", "bsc", side=8, n_rows=30_000, n_latents=200, n_states=100),
    Case("astronaut", "gsc", side=16, n_rows=6_000, n_latents=300, n_states=90, whiten="zca"),
    Case("chelsea", "gsc", side=12, n_rows=10_000, n_latents=150, n_states=30),
]


def measured(case: Case) -> tuple[float, Size]:
    """Seconds of a sweep, and its sizes."""
    image = Image(image=case.image, patch_size=case.side, remove_mean=True, whiten=case.whiten)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, patches(image, case.n_rows))
        estep = {"kind": "search", "n_states": case.n_states, "variations": [EVOLUTION]}
        parts = assembly_of(path, {"kind": case.kind, "n_latents": case.n_latents}, estep)
        problem, state = parts.problem, start(parts.problem, parts.initial)
        settings = Training(n_sweeps=N_BEFORE + N_TIMED, updates_per_sweep=UPDATES)
        times = [sum(report.seconds.values()) for report in TruncatedEM(problem, settings).sweeps(state)]
        active = np.count_nonzero(problem.model.space.decode(state.rows["codes"][:500]), axis=-1).mean()
        size = Size(
            case.n_rows, problem.n_observed, case.n_latents, case.n_states, float(active), problem.blocks.block_rows
        )
    return min(times[N_BEFORE:]), size


def predicted(kind: str, found: Constants, size: Size) -> float:
    """Seconds of a sweep, by the model."""
    D, H, P = size.D, size.H, n_statistics_of(kind, size.D, size.H)
    update = found.prepare * D * H**2 + found.reduction * P + found.m_step * (float(H) ** 3 + D * H**2)
    return float(found.e_step @ features(size, P, size.active)) + 1e-9 * UPDATES * update


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| run | N | D | H | S | k | predicted, s | measured, s | ratio |\n" + "| --- " * 9 + "|")
    fitted = {kind: fit(kind, 2048) for kind in MODELS}
    for case in CASES:
        found = fitted[case.kind]
        seconds, size = measured(case)
        guess = predicted(case.kind, found, size)
        print(
            f"| {case.kind.upper()}, {case.image} | {size.N:,} | {size.D} | {size.H} | {size.S} | {size.active:.1f} "
            f"| {guess:.2f} | {seconds:.2f} | {guess / seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
