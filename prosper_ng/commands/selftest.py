"""`prosper-ng selftest`: whether runs survive on this machine and this file system what can happen to them."""

import argparse
import math
from typing import TYPE_CHECKING

from prosper_ng.commands._learned import positive, seed

if TYPE_CHECKING:
    from prosper_ng.diagnostics.selftest_trials import Result

HELP = "kill runs, damage their files, continue on other ranks, and compare all bits; run it once on a new machine"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--ranks", type=positive, metavar="N", default=2, help="the largest number of ranks (2)")
    parser.add_argument(
        "--cycles", type=positive, metavar="M", default=5, help="how many times each fault is tried (5)"
    )
    parser.add_argument("--seed", type=seed, metavar="S", default=1, help="decides when and where faults strike (1)")
    parser.add_argument("--folder", metavar="FOLDER", default=".", help="a folder on the file system to test (.)")
    parser.add_argument(
        "--launcher",
        metavar="COMMAND",
        help="starts ranks when `-n N` is added, such as 'srun --mpi=pmi2'; ' ' for one process",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 where everything held, 1 where something did not. Raises UserError where nothing can be tried."""
    import shlex
    import tempfile
    from pathlib import Path

    from prosper_ng.diagnostics.selftest_trials import Trials
    from prosper_ng.errors import UserError

    if not Path("/proc/self/stat").exists():
        raise UserError("selftest finds the processes that it kills in /proc, which this system does not have")
    launcher = shlex.split(arguments.launcher) if arguments.launcher else _own_launcher()
    try:
        kept = tempfile.TemporaryDirectory(prefix="prosper-ng-selftest-", dir=arguments.folder)
    except OSError as error:
        raise UserError(f"{arguments.folder} cannot be written to ({error.strerror})") from None
    with kept as folder:
        where = " ".join(launcher) or "no launcher was found: single processes only"
        print(f"in {folder}, up to {arguments.ranks if launcher else 1} ranks ({where})\n")
        print(f"{'what was done':<50}{'times':>6}{'gone within':>13}   outcome", flush=True)
        held = True
        for result in Trials(Path(folder), launcher, arguments.ranks, arguments.cycles, arguments.seed).results():
            held &= result.complaint is None
            print(_line(result), flush=True)
    print(f"\n{'everything held' if held else 'something did not hold: runs are not safe here'}")
    return 0 if held else 1


def _own_launcher() -> list[str]:
    """The launcher of the MPI library in this environment, else the first on the path, else none."""
    import shutil

    from prosper_ng.parallel.launcher import own_mpiexec

    found = own_mpiexec() or shutil.which("mpiexec")
    return [found] if found else []


def _line(result: "Result") -> str:
    seconds = "" if result.seconds is None or math.isinf(result.seconds) else f"{result.seconds:.2f} s"
    outcome = result.complaint or (f"not tried: {result.impossible}" if result.impossible else "same bits")
    return f"{result.trial:<50}{result.times:>6}{seconds:>13}   {outcome}"
