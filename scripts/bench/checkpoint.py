"""Seconds and bytes of a checkpoint, and its share of an iteration: BSC with H latents and S states for each of N rows.

One rank writes the state sets as a run does (checksums, sync, read back, SHA-256, rename), then reads them as a
resumption does. The sweep beside it is that of an evolutionary search over as many rows, measured on fewer of them;
what a checkpoint costs in sweeps compares processor times.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

from prosper_ng.environment import prepare_environment

prepare_environment()

import numpy as np

from prosper_ng.estep.search import Search
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.learning.census import take_census
from prosper_ng.models.bsc import BSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.training.em import Problem, TruncatedEM, start
from prosper_ng.training.settings import Training

GIB = 2**30


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="*", default=[62_500, 250_000, 1_000_000], metavar="N", help="rows to measure"
    )
    parser.add_argument("--full", type=int, default=1_000_000, metavar="N", help="rows to extrapolate to")
    parser.add_argument("--latents", type=int, default=256, metavar="H")
    parser.add_argument("--states", type=int, default=60, metavar="S")
    parser.add_argument("--observed", type=int, default=64, metavar="D")
    parser.add_argument("--rounds", type=int, default=2, help="the fastest counts (default: %(default)s)")
    parser.add_argument("--sweep-rows", type=int, default=10_000, metavar="N", help="rows that the sweep is timed on")
    parser.add_argument("--folder", type=Path, help="on the file system to be measured (default: a temporary one)")
    return parser.parse_args()


def bytes_of_row(options: argparse.Namespace) -> int:
    """What a checkpoint keeps of a row: S states of H bits, and S log joints."""
    return options.states * (8 * -(-options.latents // 64) + 8)


def state_sets(n_rows: int, options: argparse.Namespace) -> StateSets:
    rng = np.random.default_rng(0)
    words = -(-options.latents // 64)
    piece = rng.integers(0, 2**64, (1000, options.states, words), np.uint64)
    return StateSets(
        np.resize(piece, (n_rows, options.states, words)),
        np.resize(rng.normal(size=(999, 60)), (n_rows, options.states)),
    )


def checkpoint_seconds(n_rows: int, options: argparse.Namespace) -> tuple[float, float, float, int]:
    """Seconds to write one, processor seconds of that, seconds to read it, and its bytes on disk."""
    sets, comm = state_sets(n_rows, options), SerialCommunicator()
    root = {"params": NamedArrays.of(W=np.zeros((options.observed, options.latents)))}
    written, worked, read = [], [], []
    for _ in range(options.rounds):
        folder = Path(tempfile.mkdtemp(prefix="checkpoint-bench-", dir=options.folder))
        try:
            store, began, before = Checkpoints(folder, comm), time.perf_counter(), time.process_time()
            warning = store.save(1, root=root, rows=sets._asdict(), starts=[0, n_rows], attributes={})
            written.append(time.perf_counter() - began)
            worked.append(time.process_time() - before)
            if warning:
                raise SystemExit(warning)
            n_bytes = sum(path.stat().st_size for path in folder.iterdir())
            began = time.perf_counter()
            Checkpoints(folder, comm).load_latest(0, n_rows, n_rows, sets._asdict())
            read.append(time.perf_counter() - began)
        finally:
            shutil.rmtree(folder)
    return min(written), min(worked), min(read), n_bytes


def sweep_seconds(options: argparse.Namespace) -> float:
    """Processor seconds of one sweep for each row."""
    n_rows, comm = options.sweep_rows, SerialCommunicator()
    values = np.random.default_rng(1).normal(size=(n_rows, options.observed))
    model = BSC(n_latents=options.latents)
    estep = Search(n_states=options.states)
    problem = Problem(model, estep, values, RowBlocks(n_rows, default_block_rows(n_rows, 1)), comm, 1)
    params = model.initial(take_census(problem).moments, stream(1, "initial parameters").generator())
    seconds, before = [], time.process_time()
    for _ in TruncatedEM(problem, Training(n_sweeps=4)).sweeps(start(problem, params)):
        now = time.process_time()
        seconds.append(now - before)
        before = now
    return min(seconds[1:]) / n_rows


def main() -> None:
    options = arguments()
    row_bytes = bytes_of_row(options)
    print(f"H = {options.latents}, S = {options.states}: {row_bytes:,} bytes a row by the formula S (8 ceil(H/64) + 8)")
    per_row = sweep_seconds(options)
    print(f"a sweep takes {1e6 * per_row:.1f} processor microseconds a row\n")
    line = "{:>10} {:>9} {:>9} {:>15} {:>9} {:>7} {:>17}"
    print(line.format("rows", "GiB", "write, s", "of it processor", "read, s", "MiB/s", "sweeps it costs"))
    last_written = last_worked = 0.0
    for n_rows in options.rows:
        written, worked, read, n_bytes = checkpoint_seconds(n_rows, options)
        last_written, last_worked = written / n_rows, worked / n_rows
        numbers = (f"{n_bytes / GIB:.2f}", f"{written:.1f}", f"{worked:.1f}", f"{read:.1f}")
        speed, share = f"{n_bytes / 2**20 / written:.0f}", f"{worked / (per_row * n_rows):.2f}"
        print(line.format(f"{n_rows:,}", *numbers, speed, share), flush=True)
    if options.full not in options.rows:
        full = options.full
        numbers = (f"{row_bytes * full / GIB:.2f}", f"{last_written * full:.1f}", f"{last_worked * full:.1f}", "", "")
        print(line.format(f"{full:,}", *numbers, f"{last_worked / per_row:.2f}"), " (extrapolated)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nlargest memory of the process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
