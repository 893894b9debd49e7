"""What a sweep over many components is made of, and what that makes of many rows on many ranks.

    python scripts/bench/components.py [--components C ...] [--dimensions D] [--models MODEL ...]

Rows lie around components at random. Processor time of one thread: of each row the E-step (`find`), statistics (`add`)
and exact sums of blocks (`blocks`); of each sweep tables (`prepare`) on every rank, near components (`near`), of which
each rank finds a share, and the M-step with its checks, where one rank does it alone. The second table is for 10^8 rows
on 1,000 ranks whose hosts send 10 Gbit/s, in seconds: rows of the rank that has most, `efficiency` is their share.
M-steps are shared there, but for what each rank copies of all parameters (`copies`).
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.estep.clusters import Clusters
from prosper_ng.learning.assembly import most_block_rows
from prosper_ng.models.mfa import Mfa
from prosper_ng.models.mixture import Mixture
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks, default_block_rows, together
from prosper_ng.training.block_sums import BlockSums
from prosper_ng.training.data_selection import batch_of
from prosper_ng.training.maximization import Carried, Maximization
from prosper_ng.training.owners import LEAST_SHARED, Owners
from prosper_ng.training.settings import Training
from prosper_ng.training.totals import PartTotals, kept_statistics_of
from prosper_ng.training.visits import View, add_statistics

MODELS: dict[str, tuple[Any, Clusters]] = {
    "k-means": (Mixture(n_components=1, noise="scalar", equal_weights=True), Clusters(n_states=1, n_near=10)),
    "gmm": (Mixture(n_components=1), Clusters()),
    "mfa": (Mfa(n_components=1, n_factors=5), Clusters()),
}
N_BLOCKS = 2
N_ROWS, N_RANKS, BYTES_A_SECOND = 10**8, 1000, 1.25e9


class Costs(NamedTuple):
    """Processor seconds."""

    find: float
    """Of a row."""
    add: float
    blocks: float
    prepare: float
    """Of a sweep."""
    near: float
    maximize: float
    copies: float
    n_numbers: int
    """Statistics."""
    n_parameters: int


def problem(model: Any, n_dimensions: int, n_rows: int) -> tuple[NamedArrays, Any]:
    """Parameters, and rows around their means."""
    rng, C = np.random.default_rng(0), model.n_components
    params = NamedArrays({name: spec.shape for name, spec in model.parameters(n_dimensions).items()})
    for name in params:
        params[name] = {"pi": 1 / C, "center": 0.0, "origin": 0.0, "frame": 0.0}.get(name, 1.0)
    params["W"] = 4.0 * rng.standard_normal((n_dimensions, C))
    if "A" in params:
        params["A"] = 0.3 * rng.standard_normal(params["A"].shape)
    return params, model.sample(params, n_rows, rng)[0]


def measured(model: Any, estep: Clusters, n_dimensions: int, block_rows: int) -> Costs:
    """Of the third sweep, in which all rows know components."""
    params, values = problem(model, n_dimensions, N_BLOCKS * block_rows)
    blocks, seconds, sums = RowBlocks(len(values), block_rows), np.zeros(3), BlockSums(model, n_dimensions)
    View.of(model, estep, params, 0, 0)  # compiles
    begun = time.process_time()
    model.prepare(params)
    prepare = time.process_time() - begun
    view = View.of(model, estep, params, 0, 1)
    near = time.process_time() - begun - 2 * prepare
    rows = estep.initial_rows(model, n_dimensions, np.arange(len(values)), view.activity, view.streams)
    for _ in range(3):
        sums.clear()
        seconds[:] = 0.0
        for block in range(blocks.n_blocks):
            for some in together(np.array(blocks.rows(block))):
                times = [time.process_time()]
                own = {name: each[some[0] : some[-1] + 1] for name, each in rows.items()}
                target = view.target(batch_of(some, values[some], None))
                posterior = estep.posterior(target, own, True)
                times.append(time.process_time())
                add_statistics(target.batch, posterior, None, sums.statistics)
                times.append(time.process_time())
                seconds[:2] += np.diff(times)
            begun = time.process_time()
            sums.end_block()
            seconds[2] += time.process_time() - begun
    comm = SerialCommunicator()
    total, _, _ = sums.reduce(comm, np.zeros(0))
    totals = PartTotals(kept_statistics_of(model, n_dimensions), 1)
    maximization = Maximization(model, estep, Training(), n_dimensions, 0, Owners(model, n_dimensions, comm))
    begun = time.process_time()
    maximization.update(Carried(params, totals, NamedArrays({})), total, 0, 0, Training().at(0))
    maximize = time.process_time() - begun
    sizes = len(total.buffer), len(params.buffer)
    return Costs(*seconds / len(values), prepare, near, maximize, copying(model, params), *sizes)


def copying(model: Any, params: NamedArrays) -> float:
    """Seconds for what a rank copies where M-steps are shared."""
    begun, copied = time.process_time(), params.zeros_like()
    for name, axis in model.axes_by_value.items():
        if name in params:
            copied[name] = np.moveaxis(np.ascontiguousarray(np.moveaxis(params[name], axis, 0)), 0, axis)
    return time.process_time() - begun


def lines(arguments: argparse.Namespace) -> Iterator[str]:
    """Both tables."""
    far = ["| model | C | rows | near | prepare | M-step | copies | wire | efficiency |", "| --- " * 9 + "|"]
    yield "| model | C | find, µs | add | blocks | prepare, s | near | M-step | statistics |"
    yield "| --- " * 9 + "|"
    for name in arguments.models:
        for C in arguments.components:
            model, estep = MODELS[name]
            model = replace(model, n_components=C)
            block_rows = default_block_rows(N_ROWS, 1, most_block_rows(model))
            each = measured(model, estep, arguments.dimensions, block_rows)
            of_rows = " | ".join(f"{1e6 * cost:.2f}" for cost in each[:3])
            of_sweep = " | ".join(f"{cost:.2f}" for cost in each[3:6])
            yield f"| {name} | {C:,} | {of_rows} | {of_sweep} | {each.n_numbers:,} |"
            most = -(-RowBlocks(N_ROWS, block_rows).n_blocks // N_RANKS) * block_rows
            is_shared = each.n_numbers >= LEAST_SHARED and N_RANKS <= C
            n_bytes = 24 * each.n_numbers + 8 * each.n_parameters
            n_bytes += 0 if is_shared else 8 * (each.n_numbers + each.n_parameters)
            m_step = (each.maximize / N_RANKS, each.copies) if is_shared else (each.maximize, 0.0)
            parts = (most * sum(each[:3]), each.near / N_RANKS, each.prepare, *m_step, n_bytes / BYTES_A_SECOND)
            ideal = N_ROWS / N_RANKS * sum(each[:3])
            far.append(
                f"| {name} | {C:,} | " + " | ".join(f"{part:.2f}" for part in parts) + f" | {ideal / sum(parts):.2f} |"
            )
    yield ""
    yield from far


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--dimensions", type=int, default=100)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["k-means", "gmm"])
    for line in lines(parser.parse_args()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
