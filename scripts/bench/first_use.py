"""What the first use of a model costs: `prosper_ng.learn` of a small problem, without compiled kernels and with them.

Each measurement is a process of its own, from the import to the result; compiled kernels lie in a temporary folder that
is empty at first. Few latents are looked at in all their states, many are searched for.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from typing import NamedTuple

PROGRAM = """
import sys, warnings
import prosper_ng
from prosper_ng import compiling
from prosper_ng.numerics.random_streams import stream
from prosper_ng.running.first_use import model_of

warnings.simplefilter("ignore")
kind, n_latents = sys.argv[1], int(sys.argv[2])
model = model_of(kind, n_latents)
rows = model.support.feasible((500, 25), stream(0, "first use").generator())
with compiling.told() as told:
    prosper_ng.learn(rows, model)
print(told.n_kernels)
"""


class Use(NamedTuple):
    seconds: float
    n_kernels: int


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["bsc", "tsc", "dsc", "gsc", "mca", "mmca", "noisy_or", "sbn"])
    parser.add_argument("--latents", type=int, nargs="+", default=[10, 40], help="how many (default: %(default)s)")
    return parser.parse_args()


def used(model: str, n_latents: int, cache: str) -> Use:
    """One process."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, model, str(n_latents)],
        env=environment | {"XDG_CACHE_HOME": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.exit(f"{model} failed:\n{ended.stderr}")
    return Use(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(ended.stdout))


def main() -> None:
    options = arguments()
    print(f"{'model':<10} {'H':>3} {'first, s':>9} {'second, s':>10} {'kernels':>8}")
    for model in options.models:
        for n_latents in options.latents:
            with tempfile.TemporaryDirectory() as cache:
                first, second = used(model, n_latents, cache), used(model, n_latents, cache)
            line = f"{model:<10} {n_latents:>3} {first.seconds:>9.1f} {second.seconds:>10.1f} {first.n_kernels:>8}"
            print(line, flush=True)
            if second.n_kernels:
                sys.exit(f"{second.n_kernels} kernels were compiled again")


if __name__ == "__main__":
    main()
