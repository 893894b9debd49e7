"""Problems of any size, drawn from the model that is then fitted, at the parameters that made them."""

from time import process_time
from typing import NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.models.bsc import BSC
from prosper_ng.models.gsc import GSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.training import em
from prosper_ng.training.em import Problem, TruncatedEM, start
from prosper_ng.training.settings import Training

# On a machine that others use as well, wall time says more about them.
setattr(em, "perf_counter", process_time)  # noqa: B010

MODELS = {"bsc": BSC, "gsc": GSC}
N_PROPOSED = 20
"""States that are proposed for a row in each sweep: 10 parents, 1 child, 2 generations."""


class Size(NamedTuple):
    """One problem."""

    N: int = 4096
    D: int = 64
    H: int = 256
    S: int = 60
    active: float = 3.0
    """Latents that the prior expects to be active."""
    block_rows: int = 512


class Seconds(NamedTuple):
    """Processor time of the phases of a sweep, of each the shortest that was seen."""

    e_step: float
    reduction: float
    """What it takes without a network."""
    m_step: float
    active: float
    """Active latents in the mean over all states that are kept."""

    @property
    def sweep(self) -> float:
        return self.e_step + self.reduction + self.m_step

    def shortest(self, other: "Seconds") -> "Seconds":
        """Of each phase the shorter time of two measurements."""
        return Seconds(*map(min, self, other))


def problem_of(kind: str, size: Size) -> tuple[Problem, NamedArrays, np.ndarray]:
    """Rows, the parameters that made them, and (N, S, words) state sets: the true states, and those one flip away."""
    rng = np.random.default_rng(1)
    model = MODELS[kind](n_latents=size.H)
    specs = model.parameters(size.D)
    params = NamedArrays({name: spec.shape for name, spec in specs.items()})
    params["W"] = rng.standard_normal((size.D, size.H))
    params["sigma"] = 1.0
    params["pi"] = min(size.active / size.H, 0.5)
    for name, value in {"mu": 1.0, "psi": 0.1}.items():
        if name in params:
            params[name] = value
    values, truth = model.sample(params, size.N, rng)
    codes = np.repeat(model.space.encode(truth)[:, None, :], size.S, axis=1)
    rows = np.arange(size.N)
    for s in range(1, size.S):
        flipped = (rows + s) % size.H
        codes[rows, s, flipped // 64] ^= np.uint64(1) << (flipped % 64).astype(np.uint64)
    variation = Evolution(n_parents=10, n_children=1, n_generations=2)
    estep = Search(n_states=size.S, variations=(variation,))
    blocks = RowBlocks(size.N, size.block_rows)
    return Problem(model, estep, values, blocks, SerialCommunicator(), 1), params, codes


def time_sweeps(kind: str, size: Size, n_sweeps: int = 4, n_before: int = 2) -> Seconds:
    """Sweeps from the truth, so that little changes, after some that load kernels; S may be H at most."""
    problem, params, codes = problem_of(kind, size)
    state = start(problem, params)
    state.rows["codes"][...] = codes
    found: dict[str, list[float]] = {}
    for report in TruncatedEM(problem, Training(n_sweeps=n_before + n_sweeps)).sweeps(state):
        if report.sweep > n_before:
            for name, seconds in report.seconds.items():
                found.setdefault(name, []).append(seconds)
    active = float(np.count_nonzero(problem.model.space.decode(state.rows["codes"][:64]), axis=-1).mean())
    return Seconds(min(found["e_step"]), min(found["communication"]), min(found["m_step"]), active)
