"""What the commands on learned models share."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import path_argument
from prosper_ng.components import LARGEST_SEED

if TYPE_CHECKING:
    from prosper_ng.inference.inference import Inferred, Options
    from prosper_ng.inference.rows import Wanted
    from prosper_ng.inference.stored import LearnedRun
    from prosper_ng.parallel.communicator import Communicator


def positive(text: str) -> int:
    """The number that an argument gives; argparse.ArgumentTypeError where it is not a whole number above 0."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def seed(text: str) -> int:
    """The seed that an argument gives; argparse.ArgumentTypeError where it is none."""
    is_short = text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_SEED))
    if not (is_short and int(text) <= LARGEST_SEED):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {LARGEST_SEED}")
    return int(text)


ENDINGS = "by the ending of its name HDF5 (.h5), .npz, .mat, .npy, .csv, .tsv or .txt"
"""What results can be written as, for help."""


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add `--force`."""
    parser.add_argument("--force", action="store_true", help="replace the output where it exists already")


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Add RUN, DATA, and how to infer, for `wanted_of` and `options_of`."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="the folder of the run")
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="the rows: a .h5, .npy, .npz, .mat or .csv file, a pattern of such files in quotation marks, or YAML "
        "with a `data` section; those of the run if not given",
    )
    parser.add_argument("--dataset", metavar="NAME", help="the name of the array in DATA; `data` if not given")
    parser.add_argument("--missing", action="store_true", help="take NaN for values that were not observed")
    parser.add_argument(
        "--adaptive",
        action="store_true",
        help="look harder: at all states where they are not too many, else at what lies around the best states of each "
        "row, again and with more of them where that improves the best one",
    )
    parser.add_argument(
        "--sweeps", type=positive, default=20, metavar="N", help="sweeps of an E-step that searches, at most (20)"
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="overrides",
        action="append",
        default=[],
        help="change the E-step, as in estep.n_states=200; may be given several times",
    )
    add_force(parser)


def wanted_of(arguments: argparse.Namespace) -> "Wanted":
    """The rows that the arguments ask for."""
    from prosper_ng.inference.rows import Wanted

    return Wanted(arguments.data, arguments.dataset, arguments.missing)


def options_of(arguments: argparse.Namespace) -> "Options":
    """How the arguments want it done."""
    from prosper_ng.inference.inference import Options

    return Options(arguments.sweeps, arguments.adaptive)


def warn_of(run: "LearnedRun", comm: "Communicator") -> None:
    """Print what is doubtful about a learned model."""
    for doubt in run.doubts if comm.is_root else ():
        print(f"warning: {doubt}", file=sys.stderr)


def report(inferred: "Inferred", adaptive: bool, *written: Path | None, alone: str | None = None) -> None:
    """Print how well the rows are explained, how sure their best states are, and where the results are.

    `alone` says what the first file holds where that is not everything. What is doubtful about the rows goes to stderr.
    """
    for doubt in inferred.doubts:
        print(f"warning: {doubt}", file=sys.stderr)
    print(f"free energy {inferred.free_energy:.6g} per row")
    if inferred.start.sentence is not None:
        print(inferred.start.sentence)
    if adaptive and inferred.n_certain:
        print(f"{_rows(inferred.n_certain)}: the best state is certain, since all states were looked at")
    if adaptive and inferred.unimproved is not None:
        n_others = inferred.n_rows - inferred.n_certain - inferred.n_unsettled
        print(
            f"{_rows(n_others)}: the best state has not improved for {inferred.unimproved} sweeps or more, which is no "
            "proof that there is none better"
        )
    if inferred.n_unsettled:
        advice = "even at the largest effort" if adaptive else "--adaptive looks harder at them"
        print(f"{_rows(inferred.n_unsettled)} may have a better state than the best one found; {advice}")
    if inferred.n_empty:
        print(f"{_rows(inferred.n_empty)} without any observed value of use: the model's prior is all that is known")
    if inferred.n_ignored:
        values = "1 value" if inferred.n_ignored == 1 else f"{inferred.n_ignored} values"
        print(f"{values} not used: in training no value of their columns was observed")
    for path in written:
        if path is not None:
            print(f"results are in {path}")
    if alone is not None:
        print(f"{written[0]} holds {alone} and nothing else; .h5, .npz and .mat hold everything")


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"
