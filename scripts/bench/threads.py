"""Threads beside MPI ranks: `learn(n_jobs=n)` against `mpiexec -n n` with `learn(comm=)`, turn and turn about.

All learn from the same patches of a photograph, with the same bits; what is compared is the wall time of the sweeps
after the first, its median over the rounds and the least and most.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from prosper_ng.environment import prepare_environment

MODELS = {
    "bsc": {"kind": "bsc", "n_latents": 256},
    "gsc": {"kind": "gsc", "n_latents": 256, "shared_pi": True},
}
ESTEP = {"kind": "search", "n_states": 20, "variations": ["neighborhood"]}
MPIEXEC = Path(sys.prefix) / "bin" / "mpiexec"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="camera", help="a file, or a name in scikit-image (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4], help="threads, and ranks (default: 1 2 4)")
    parser.add_argument("--one", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--comm", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        _measure(arguments)
        return
    print("| model | workers | threads, s | ranks, s | same bits |\n" + "| --- " * 5 + "|")
    for kind in MODELS:
        seconds: dict[tuple[int, bool], list[float]] = {}
        digests = set()
        for _, size, of_ranks in product(range(arguments.rounds), arguments.sizes, (False, True)):
            found = _run(size, of_ranks, kind, arguments.image)
            seconds.setdefault((size, of_ranks), []).append(found["seconds"])
            digests.add(found["digest"])
        for size in arguments.sizes:
            cells = " | ".join(_spread(seconds[size, of_ranks]) for of_ranks in (False, True))
            print(f"| {kind.upper()} | {size} | {cells} | {len(digests) == 1} |", flush=True)


def _spread(times: Sequence[float]) -> str:
    return f"{median(times):.2f} ({min(times):.2f} to {max(times):.2f})"


def _run(size: int, of_ranks: bool, kind: str, image: str) -> dict[str, Any]:
    launcher = [str(MPIEXEC), "-n", str(size)] if of_ranks else []
    command = [*launcher, sys.executable, __file__, "--one", kind, "--image", image, "--sizes", str(size)]
    done = subprocess.run(command + ["--comm"] * of_ranks, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measure(arguments: argparse.Namespace) -> None:
    prepare_environment()
    import prosper_ng
    from prosper_ng.data.sources.image import Image

    comm = None
    if arguments.comm:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    data = Image(image=arguments.image, patch_size=8, crop=(0, 0, 256, 256), noise=25.0).open(1)
    times = []
    learned = prosper_ng.learn(
        data, MODELS[arguments.one], estep=ESTEP, training={"n_sweeps": 4, "updates_per_sweep": 4}, seed=1, comm=comm,
        n_jobs=None if comm else arguments.sizes[0], on_sweep=lambda report, params: times.append(time.perf_counter()),
    )  # fmt: skip
    if comm is None or comm.Get_rank() == 0:
        print(json.dumps({"seconds": times[-1] - times[0], "digest": learned.digest}))


if __name__ == "__main__":
    main()
