"""Threads beside MPI ranks: `learn(n_jobs=2)` against `mpiexec -n 2` with `learn(comm=)`, turn and turn about.

Both learn from the same patches of a photograph, with the same bits; what is compared is the wall time of the sweeps
after the first.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

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
    parser.add_argument("--size", type=int, default=2, help="threads, and ranks (default: %(default)s)")
    parser.add_argument("--one", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--comm", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        _measure(arguments)
        return
    print(f"{'model':6} {'threads s':>10} {'ranks s':>10} {'speed of threads':>17}   same bits")
    for kind in MODELS:
        threads, ranks = [], []
        digests = set()
        for _ in range(arguments.rounds):
            for of, launcher in ((threads, []), (ranks, [str(MPIEXEC), "-n", str(arguments.size)])):
                found = _run(launcher, kind, arguments)
                of.append(found["seconds"])
                digests.add(found["digest"])
        speed = median(rank / thread for thread, rank in zip(threads, ranks, strict=True))
        print(f"{kind:6} {median(threads):10.2f} {median(ranks):10.2f} {speed:17.2f}   {len(digests) == 1}")


def _run(launcher: list[str], kind: str, arguments: argparse.Namespace) -> dict[str, float | str]:
    command = [*launcher, sys.executable, __file__, "--one", kind, "--image", arguments.image]
    command += ["--size", str(arguments.size), *(["--comm"] if launcher else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float | str] = json.loads(done.stdout)
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
        n_jobs=None if comm else arguments.size, on_sweep=lambda report, params: times.append(time.perf_counter()),
    )  # fmt: skip
    if comm is None or comm.Get_rank() == 0:
        print(json.dumps({"seconds": times[-1] - times[0], "digest": learned.digest}))


if __name__ == "__main__":
    main()
