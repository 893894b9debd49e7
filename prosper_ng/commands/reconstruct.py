"""`prosper-ng reconstruct RUN [DATA] --output FILE`: what a learned model predicts of the data."""

import argparse
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import path_argument
from prosper_ng.commands._learned import ENDINGS, add_inference_arguments, options_of, report, wanted_of, warn_of

if TYPE_CHECKING:
    from prosper_ng.parallel.communicator import Communicator

HELP = "predict each row from its posterior, and fill in what is missing, alone or under mpiexec"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_inference_arguments(parser)
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FILE",
        required=True,
        help=f"the file to write, {ENDINGS}; .npy, .csv, .tsv and .txt hold the image or the rows alone; "
        "for patches of an image also a picture (.png, .tif, .jpg), which else is put beside the file as PNG",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once the file is written. Raises UserError where run, data, or output do not allow it."""
    from prosper_ng.parallel.failure import ending_all_ranks_together
    from prosper_ng.parallel.mpi import connect

    comm = connect()
    with ending_all_ranks_together(comm):
        return _run(arguments, comm)


def _run(arguments: argparse.Namespace, comm: "Communicator") -> int:
    from prosper_ng.inference.files import write_reconstruction
    from prosper_ng.inference.stored import learned

    run = learned(arguments.run, comm, arguments.overrides)
    warn_of(run, comm)
    wanted, options = wanted_of(arguments), options_of(arguments)
    inferred, picture, alone = write_reconstruction(arguments.output, run, wanted, options, comm, arguments.force)
    if comm.is_root and not arguments.quiet:
        report(inferred, options.adaptive, arguments.output, picture, alone=alone)
    return 0
