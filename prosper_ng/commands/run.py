"""`prosper-ng run FILE`: train as a configuration says; run it again to continue."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import add_config_arguments, load_run_config, path_argument

if TYPE_CHECKING:
    from prosper_ng.config import Loaded
    from prosper_ng.experiments.run import Outcome
    from prosper_ng.experiments.run_config import RunConfig
    from prosper_ng.parallel.communicator import Communicator

HELP = "train as a configuration says, alone or under mpiexec; the same command continues"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FOLDER",
        help="the run folder, instead of output.folder or runs/NAME",
    )
    add_running_arguments(parser)


def add_running_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--time-limit` and `--ranks`, for `carried_out`."""
    parser.add_argument(
        "--time-limit", metavar="TIME", help="stop with a checkpoint before this time is over: seconds, or like 1h30m"
    )
    parser.add_argument("--ranks", type=int, metavar="N", help="refuse to start with fewer ranks than these")


def run(arguments: argparse.Namespace) -> int:
    """0 where the run is finished, 75 where it was stopped and can go on."""
    return carried_out(arguments, _run)


def carried_out(
    arguments: argparse.Namespace, work: "Callable[[argparse.Namespace, Communicator, float | None], int]"
) -> int:
    """The exit status of what all ranks do together, with the time limit in seconds."""
    from prosper_ng.parallel.failure import ending_all_ranks_together
    from prosper_ng.parallel.mpi import connect
    from prosper_ng.running.run import seconds_of_limit

    time_limit = seconds_of_limit(arguments.time_limit, "--time-limit")
    comm = connect(arguments.ranks)
    with ending_all_ranks_together(comm):
        return work(arguments, comm, time_limit)


def _complete(arguments: argparse.Namespace) -> "Loaded[RunConfig]":
    from prosper_ng.experiments.completion import completed

    loaded = load_run_config(arguments)
    return completed(loaded, arguments.output or loaded.value.folder)


def _run(arguments: argparse.Namespace, comm: "Communicator", time_limit: float | None) -> int:
    from prosper_ng.parallel.failure import collectively

    with collectively(comm, ""):
        loaded = _complete(arguments) if comm.is_root else None
    loaded = comm.broadcast(loaded)
    assert loaded is not None
    return outcome_told(arguments, loaded, arguments.output or loaded.value.folder, comm, time_limit)[1]


def outcome_told(
    arguments: argparse.Namespace,
    loaded: "Loaded[RunConfig]",
    folder: Path,
    comm: "Communicator",
    time_limit: float | None,
) -> "tuple[Outcome, int]":
    """How a run ended, which the user is told, and the exit status."""
    from prosper_ng.experiments.run import MORE_TO_DO
    from prosper_ng.experiments.signals import stop_requests
    from prosper_ng.parallel.threads import warn_if_oversubscribed
    from prosper_ng.report.narrator import Narrator
    from prosper_ng.running.run import carry_out

    narrator = Narrator(loaded.value.training.all_sweeps, comm.is_root, arguments.quiet, arguments.verbose)
    warn_if_oversubscribed(comm, narrator.say)
    with stop_requests() as requests:
        outcome = carry_out(loaded, folder, comm, narrator, requests, sys.argv, time_limit)
    if comm.is_root and not arguments.quiet:
        print(f"results are in {folder}")
        print(outcome.sentence if outcome.finished else f"{outcome.sentence}; the same command continues")
    return outcome, 0 if outcome.finished else MORE_TO_DO
