"""`prosper-ng restore RUN PICTURE`: another picture restored with a dictionary that was learned before."""

import argparse
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import add_overrides, path_argument
from prosper_ng.commands.run import add_running_arguments, carried_out, outcome_told

if TYPE_CHECKING:
    from prosper_ng.parallel.communicator import Communicator

HELP = "restore another picture with the dictionary of a run, alone or under mpiexec; the same command continues"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "run", type=path_argument, metavar="RUN", help="the folder of a run on patches of pictures, or a saved model"
    )
    parser.add_argument("picture", type=path_argument, metavar="PICTURE", help="the picture to restore")
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="PATH",
        help="the run folder; or a .png, .tif or .jpg for the picture, with all else in a folder of that name beside "
        "it; runs/NAME-PICTURE if not given",
    )
    parser.add_argument(
        "--sweeps",
        type=_count,
        default=0,
        metavar="K",
        help="learn on for so many sweeps; with 0 the dictionary stays as it is, and only the noise level and the "
        "activity of the latents are learned from the picture (0)",
    )
    add_overrides(parser, "change what is done, such as data.mask=gaps.png, data.peak=4095 or data.clean=clean.png")
    add_running_arguments(parser)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """0 where the picture is there, 75 where it was stopped and can go on."""
    return carried_out(arguments, _run)


def _run(arguments: argparse.Namespace, comm: "Communicator", time_limit: float | None) -> int:
    from prosper_ng.experiments.restoring import restoring
    from prosper_ng.experiments.run import files_read_by
    from prosper_ng.parallel.failure import collectively
    from prosper_ng.running.restore import places_of, write_picture

    found = None
    with collectively(comm, ""):
        if comm.is_root:
            loaded = restoring(arguments.run, str(arguments.picture), arguments.sweeps, arguments.overrides)
            places = places_of(arguments.output, loaded.value.folder, [*files_read_by(loaded)])
            found = loaded, places
    found = comm.broadcast(found)
    assert found is not None
    loaded, (folder, picture) = found
    outcome, status = outcome_told(arguments, loaded, folder, comm, time_limit)
    with collectively(comm, ""):
        if comm.is_root and outcome.finished and picture is not None:
            write_picture(outcome, picture)
            if not arguments.quiet:
                print(f"the picture is {picture}")
    return status
