"""The constants of the cost model in docs/scaling.md, measured on this machine, and what the model predicts with them.

One rank's E-step takes N (a + b D H + (S + 20) (c0 + c1 k + c2 k² + c3 k³)) + x P B seconds for N rows in B blocks, k
active causes and P statistics. The constants are fitted to the processor times of one thread over problems of
different sizes; those of the parameters, of the exact sums and of the M-step are timed by themselves.
"""

import argparse
from time import process_time
from typing import NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np
import scipy
from scipy.optimize import nnls
from synthetic import MODELS, N_PROPOSED, Size, problem_of, time_sweeps

from prosper_ng.config import from_mapping
from prosper_ng.data.memory_settings import text_of
from prosper_ng.experiments.checkpoint_times import checkpoint_bytes
from prosper_ng.experiments.estimate import Traffic, traffic_of
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.memory import needs_of, sizes_of
from prosper_ng.models.interface import MStep
from prosper_ng.numerics import tiles
from prosper_ng.numerics.linear import _first_equal, packed, unpacked
from prosper_ng.numerics.named_arrays import NamedArrays, segments
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.exact_sum import LEAST_CUT, ExactSum
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.training.em import statistics_of
from prosper_ng.training.joint_algebra import numbers_of_an_update

SMALL = Size(N=2048, D=64, H=256, S=60, active=3, block_rows=512)
FITTED = [
    SMALL, *(SMALL._replace(active=k) for k in (1, 6, 12, 24)), *(SMALL._replace(S=S) for S in (20, 180)),
    *(SMALL._replace(D=D) for D in (16, 256, 1024)), *(SMALL._replace(H=H) for H in (64, 512, 1024)),
    SMALL._replace(D=256, H=1024), SMALL._replace(H=1024, block_rows=64), SMALL._replace(H=512, block_rows=32),
    SMALL._replace(D=256, S=120, active=8), SMALL._replace(H=1024, S=120, active=8),
]  # fmt: skip
NAMES = ("a, a row", "b, a product y_d W_dh", "c0, a state", "c1, k", "c2, k²", "c3, k³", "x, a statistic of a block")


class Constants(NamedTuple):
    """Nanoseconds each."""

    e_step: np.ndarray
    prepare: float
    """Of D H²."""
    reduction: float
    """Of a statistic, without a network."""
    m_step: float
    """Of H³ + D H², by one rank."""
    joint: float
    """Of H², in an M-step of all ranks what more of them make no faster."""
    error: float
    """The largest factor by which the fit of the E-step is off."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e8, help="N of the prediction (default: %(default)g)")
    parser.add_argument("--ranks", type=int, default=1000, help="ranks of the prediction (default: %(default)s)")
    parser.add_argument(
        "--largest", type=int, default=2048, help="H of which the M-step is timed (default: %(default)s)"
    )
    return parser.parse_args()


def features(size: Size, n_statistics: int, active: float) -> np.ndarray:
    """What the constants of the E-step are multiplied with."""
    states = size.N * (size.S + N_PROPOSED)
    n_blocks = -(-size.N // size.block_rows)
    powers = [states * active**power for power in range(4)]
    return 1e-9 * np.array([size.N, size.N * size.D * size.H, *powers, n_blocks * n_statistics])


def shortest(action, n_times: int = 3) -> float:
    """Processor seconds of the fastest of some calls."""
    found = []
    for _ in range(n_times):
        began = process_time()
        action()
        found.append(process_time() - began)
    return min(found)


def n_statistics_of(kind: str, D: int, H: int) -> int:
    shapes = MODELS[kind](n_latents=H).statistics(D)
    return 2 + sum(int(np.prod(shape)) for shape in shapes.values())


def of_large_matrices(kind: str, H: int, D: int = 256) -> tuple[float, float, float, float]:
    """Nanoseconds of prepare, of a reduced statistic, of the M-step by one rank and by all, at a large H."""
    size = Size(N=64, D=D, H=H, S=60, active=8, block_rows=64)
    problem, params, _ = problem_of(kind, size)
    shapes = statistics_of(problem.model, problem.n_observed)
    total = ExactSum(segments(shapes))
    rng = np.random.default_rng(0)
    model = problem.model
    prepare = shortest(lambda: model.prepare(params, 1.0)) / (D * H**2)
    sums = statistics_like(kind, shapes, params, rng, D, H)
    total.add(sums.buffer)
    total.reduce(problem.comm, np.zeros(4))
    reduction = shortest(lambda: total.reduce(problem.comm, np.zeros(4))) / len(sums.buffer)
    learn = frozenset(model.parameters(D))
    m_step = shortest(lambda: model.maximize(params, sums, MStep(learn, rng=rng)), 2) / (H**3 + D * H**2)
    return 1e9 * prepare, 1e9 * reduction, 1e9 * m_step, 1e9 * joint_seconds(H, rng) / H**2


def joint_seconds(H: int, rng) -> float:
    """What all ranks wait for in an M-step together: column after column of tiles, root, and a chunk of rows."""
    root = rng.standard_normal((H, H // 4))
    matrix = root @ root.T + H * np.eye(H)
    triangle, comm = packed(matrix), SerialCommunicator()
    tile, column = np.linalg.cholesky(matrix[: tiles.TILE, : tiles.TILE]), matrix[H // 2 :, : tiles.TILE].copy()

    def panel() -> None:
        # At half of the height, as in the mean: one column is finished, and the next one made ready by its owner.
        scipy.linalg.blas.dtrsm(1.0, tile, column, side=1, lower=1, trans_a=1)
        _ = column - column @ column[: tiles.TILE].T

    def by_root() -> None:
        # As `solve_least_change` does it: unpacked, in other units, compared, and packed again for the others.
        moment = unpacked(triangle) * np.ones((H, 1))
        moment *= np.ones(H)
        _first_equal(moment)
        packed(moment)
        moment.copy()

    rows = rng.standard_normal((tiles.ROWS, H))
    solved = shortest(lambda: tiles.solutions(matrix, rows, comm))
    return shortest(panel) * H / tiles.TILE + shortest(by_root) + solved


def statistics_like(kind: str, shapes, params, rng, D: int, H: int):
    """Statistics as 4 H rows with independent latents of activity 1/8 would give them."""
    n_rows = 4 * H
    s = (rng.random((n_rows, H)) < 0.125).astype(float)
    y = s @ params["W"].T + rng.standard_normal((n_rows, D))
    sums, moment = NamedArrays(shapes), s.T @ s
    sums["n"] = n_rows
    sums["y_y"] = float(np.vdot(y, y))
    if kind == "bsc":
        sums["counts"], sums["y_s"], sums["s_s"] = s.sum(axis=0)[:, None], y.T @ s, packed(moment)
    else:
        sums["s"], sums["sz"], sums["y_sz"] = s.sum(axis=0), s.sum(axis=0), y.T @ s
        sums["szsz"] = packed(moment + 0.1 * np.diag(s.sum(axis=0)))
    return sums


def fit(kind: str, largest: int) -> Constants:
    prepare, *of_update = of_large_matrices(kind, largest)
    rows, seconds = [], []
    for size in FITTED:
        found = time_sweeps(kind, size, n_sweeps=5)
        rows.append(features(size, n_statistics_of(kind, size.D, size.H), found.active))
        seconds.append(found.e_step - 1e-9 * prepare * size.D * size.H**2)
    A, t = np.array(rows), np.array(seconds)
    constants, _ = nnls(A / t[:, None], np.ones(len(t)))  # equal relative errors
    ratios = A @ constants / t
    return Constants(constants, prepare, *of_update, float(np.max(np.maximum(ratios, 1 / ratios))))


def m_step_seconds(found: Constants, D: int, H: int, n_ranks: int) -> float:
    """Without the network."""
    alone = 1e-9 * found.m_step * (float(H) ** 3 + D * float(H) ** 2)
    return alone if H < tiles.LEAST_TILED else alone / n_ranks + 1e-9 * found.joint * float(H) ** 2


def show_constants(kind: str, found: Constants) -> None:
    print(f"\n{kind.upper()}: nanoseconds; over {len(FITTED)} E-steps the fit is off by a factor of {found.error:.2f}")
    for name, value in zip(NAMES, found.e_step, strict=True):
        print(f"  {name:<34}{value:>9.3g}")
    print(f"  {'prepare, D H²':<34}{found.prepare:>9.3g}\n  {'reduction, a statistic':<34}{found.reduction:>9.3g}")
    print(f"  {'M-step, H³ + D H²':<34}{found.m_step:>9.3g}\n  {'M-step of all, H²':<34}{found.joint:>9.3g}")


def predict(kind: str, found: Constants, options: argparse.Namespace) -> None:
    """A table over H; D = 256, S = 60, 8 active causes, blocks as large as they are by default."""
    N, R, D, S = int(options.rows), options.ranks, 256, 60
    print(f"\n{kind.upper()}, N = {N:.0e}, {R} ranks, D = {D}, S = {S}, 8 active causes; seconds of an iteration")
    names = ("rows", "blocks", "prepare", "M-step", "local", "10 Gb/s", "100 Gb/s", "efficiency")
    print(f"{'H':>6} " + " ".join(f"{name:>{max(len(name), 7)}}" for name in names) + "    reduced, memory, checkpoint")
    for H in (100, 300, 1000, 3000, 10000):
        config = run_config(kind, N, H, S)
        sizes, blocks = sizes_of(config.learning, D), RowBlocks(N, block_rows_of(H))
        n_blocks = len(blocks.owned(R // 2, R))
        size = Size(N // R, D, H, S, 8, blocks.block_rows)
        *per_row, per_block = found.e_step * features(size, sizes.n_statistics, 8)
        of_rows, of_blocks = sum(per_row), per_block * n_blocks / -(-size.N // size.block_rows)
        prepare, m_step = 1e-9 * found.prepare * D * H**2, m_step_seconds(found, D, H, R)
        local = 1e-9 * found.reduction * sizes.n_statistics
        traffic = traffic_of(config, D, R)
        slow, fast = (traffic.seconds(R, 1, bandwidth) for bandwidth in (1.25e9, 12.5e9))
        efficiency = (of_rows + of_blocks) / (of_rows + of_blocks + prepare + m_step + local + slow)
        times = (of_rows, of_blocks, prepare, m_step, local, slow, fast, efficiency)
        bytes_of = (
            traffic.reduced,
            needs_of(sizes, config.memory, blocks, 0, R).total,
            checkpoint_bytes(sizes, blocks),
        )
        line = " ".join(f"{value:>{max(len(name), 7)}.2f}" for name, value in zip(names, times, strict=True))
        print(f"{H:>6} {line}    {', '.join(map(text_of, bytes_of))}")
    crossings(kind, found, D, S)


def crossings(kind: str, found: Constants, D: int, S: int) -> None:
    """The H at which what does not get faster with more ranks takes as long as the rows of a rank."""
    print(
        f"{'rows of a rank':>15} {'M-step':>8} {'10 Gb/s':>8} {'100 Gb/s':>8}   H at which each takes as long as them"
    )
    sizes = np.unique(np.geomspace(30, 100_000, 400).astype(int))
    for n_rows in (1000, 10_000, 100_000):
        line = f"{n_rows:>15,}"
        for what in ("m_step", 1.25e9, 12.5e9):
            beyond = [H for H in sizes if serial(kind, found, what, D, H) > rows_of(kind, found, n_rows, D, H, S)]
            line += f" {f'{beyond[0]:,}' if beyond else 'never':>8}"
        print(line)


def serial(kind: str, found: Constants, what: str | float, D: int, H: int) -> float:
    if what == "m_step":
        return m_step_seconds(found, D, H, 1000)
    assert isinstance(what, float)
    P, statistics = n_statistics_of(kind, D, H), MODELS[kind](n_latents=int(H)).statistics(D)
    n_broadcast = D * H + numbers_of_an_update(statistics, D, 1000)
    return Traffic(24 * P, 8 * n_broadcast, 8 * P * (P >= LEAST_CUT), P >= LEAST_CUT).seconds(1000, 1, what)


def rows_of(kind: str, found: Constants, n_rows: int, D: int, H: int, S: int) -> float:
    size = Size(n_rows, D, H, S, 8, block_rows_of(H))
    return float(found.e_step @ features(size, n_statistics_of(kind, D, H), 8))


def block_rows_of(H: int) -> int:
    """Where there are many rows."""
    return default_block_rows(10**9, 1, H)


def run_config(kind: str, n_rows: int, H: int, S: int) -> RunConfig:
    whole = {
        "name": "predicted", "data": {"kind": "bars", "n_rows": n_rows}, "model": {"kind": kind, "n_latents": H},
        "estep": {"kind": "search", "n_states": S},
    }  # fmt: skip
    return from_mapping(whole, RunConfig).value


def main() -> None:
    options = arguments()
    for kind in MODELS:
        found = fit(kind, options.largest)
        show_constants(kind, found)
        predict(kind, found, options)


if __name__ == "__main__":
    main()
