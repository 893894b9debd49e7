"""`prosper-ng infer RUN [DATA]`: the posterior of each row under a learned model."""

import argparse
import os
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import path_argument
from prosper_ng.commands._learned import (
    ENDINGS,
    add_inference_arguments,
    options_of,
    positive,
    report,
    wanted_of,
    warn_of,
)

if TYPE_CHECKING:
    from prosper_ng.parallel.communicator import Communicator

HELP = "find the best states, posterior means and free energy of each row, alone or under mpiexec"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_inference_arguments(parser)
    parser.add_argument("--top-k", type=positive, default=5, metavar="K", help="how many states are kept of a row (5)")
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FILE",
        help=f"the file to write, {ENDINGS}; .npy, .csv, .tsv and .txt hold the posterior means alone, of mixtures "
        "the labels; inference.h5 in the folder of the run if not given",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once the file is written. Raises UserError where run, data, or output do not allow it."""
    from prosper_ng.parallel.failure import ending_all_ranks_together
    from prosper_ng.parallel.mpi import connect

    comm = connect()
    with ending_all_ranks_together(comm):
        return _run(arguments, comm)


def _run(arguments: argparse.Namespace, comm: "Communicator") -> int:
    from prosper_ng.inference.files import write_inference
    from prosper_ng.inference.stored import learned
    from prosper_ng.storage.result_formats import format_of

    run = learned(arguments.run, comm, arguments.overrides)
    warn_of(run, comm)
    wanted, options = wanted_of(arguments), options_of(arguments)
    folder = arguments.run.parent if os.path.isfile(arguments.run) else arguments.run
    output = arguments.output or folder / "inference.h5"
    inferred = write_inference(output, run, wanted, options, arguments.top_k, comm, arguments.force)
    if comm.is_root and not arguments.quiet:
        what = "the labels" if "labels" in inferred.local else "the posterior means of the latents"
        alone = what if format_of(output).holds_one else None
        report(inferred, options.adaptive, output, alone=alone)
    return 0
