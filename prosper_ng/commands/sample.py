"""`prosper-ng sample RUN_OR_CONFIG --rows N --output FILE`: data generated from a model."""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng import plugins
from prosper_ng.commands._arguments import path_argument
from prosper_ng.commands._learned import ENDINGS, add_force, positive, seed, warn_of

if TYPE_CHECKING:
    from prosper_ng.parallel.communicator import Communicator

HELP = "generate data from a learned model, alone or under mpiexec"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "source",
        type=path_argument,
        metavar="RUN_OR_CONFIG",
        help="the folder of a run, whose last parameters are used, or a configuration with training.initial_file",
    )
    parser.add_argument("--rows", type=positive, metavar="N", required=True, help="how many rows")
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="all randomness follows from it (0)")
    parser.add_argument("--states", action="store_true", help="write the states that made the rows as well")
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FILE",
        required=True,
        help=f"the file to write, {ENDINGS}; .npy, .csv, .tsv and .txt hold the rows alone",
    )
    add_force(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 once the file is written. Raises UserError where there is no model, or the file cannot be written."""
    from prosper_ng.parallel.failure import ending_all_ranks_together
    from prosper_ng.parallel.mpi import connect

    comm = connect()
    with ending_all_ranks_together(comm):
        return _run(arguments, comm)


def _run(arguments: argparse.Namespace, comm: "Communicator") -> int:
    from prosper_ng.experiments.given import given
    from prosper_ng.inference.inputs import files_in_configuration, inputs_of
    from prosper_ng.inference.rows import Wanted
    from prosper_ng.inference.samples import write_samples
    from prosper_ng.inference.stored import learned

    is_config = arguments.source.suffix.lower() in (".yaml", ".yml") and not os.path.isdir(arguments.source)
    run = None if is_config else learned(arguments.source, comm)
    if run is not None:
        warn_of(run, comm)
    known = given(arguments.source, comm) if run is None else run.learned

    def inputs() -> Iterator[Path]:
        if run is None:
            yield from files_in_configuration(arguments.source)
            yield from plugins.files()
        else:
            yield from inputs_of(run, Wanted())

    write_samples(
        arguments.output, known, arguments.rows, arguments.seed, comm, arguments.states, arguments.force, inputs
    )
    if comm.is_root and not arguments.quiet:
        print(f"{arguments.rows} rows are in {arguments.output}")
    return 0
