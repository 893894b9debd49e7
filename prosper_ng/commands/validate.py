"""`prosper-ng validate FILE`: check a configuration, and whether it fits its data, without running it."""

import argparse
import sys
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import add_config_arguments, load_run_config, path_argument
from prosper_ng.components import kind_of

if TYPE_CHECKING:
    from prosper_ng.config import Loaded
    from prosper_ng.experiments.preview import Preview
    from prosper_ng.experiments.run_config import RunConfig

HELP = "check the configuration of a run with its data, and show it with all defaults"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        "--verbose", action="store_true", help="print the complete configuration, with the origin of each value"
    )
    parser.add_argument(
        "--output", type=path_argument, metavar="FOLDER", help="the run folder, instead of output.folder or runs/NAME"
    )
    parser.add_argument(
        "--no-data", action="store_true", help="leave data and folders alone, as where they lie on another machine"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 where the configuration is valid, and can be run. Raises UserError with what is wrong."""
    loaded = load_run_config(arguments)
    if not arguments.no_data:
        from prosper_ng.experiments.completion import completed

        loaded = completed(loaded, arguments.output or loaded.value.folder)
    found = None if arguments.no_data else _put_together(arguments, loaded)
    quiet, mark = getattr(arguments, "quiet", False), "# " if arguments.verbose else ""
    if not quiet or arguments.verbose:
        print(f"{mark}{arguments.file}: valid")
    if arguments.verbose:
        from prosper_ng.config import annotated_yaml

        print(annotated_yaml(loaded.resolved, loaded.origins))
    if quiet:
        return 0
    for warning in found.warnings if found is not None else ():
        print(f"warning: {warning}", file=sys.stderr)
    for note in loaded.notes:
        print(f"{mark}{note}")
    if loaded.left_open:
        print(f"{mark}found from the picture when it is run: {', '.join(loaded.left_open)}")
    elif kind_of(loaded.value.estep) == "auto":
        print(f"{mark}estep auto: {loaded.value.learning.chosen_estep.reason}")
    if found is not None:
        print(f"{mark}data: {_in_words(found)}")
        if found.note is not None:
            print(f"{mark}{found.note}")
    return 0


def _put_together(arguments: argparse.Namespace, loaded: "Loaded[RunConfig]") -> "Preview":
    from prosper_ng.experiments.preview import preview

    return preview(loaded, arguments.output or loaded.value.folder)


def _in_words(found: "Preview") -> str:
    all_of_them = found.n_looked_at == found.n_rows
    looked_at = "all of them" if all_of_them else f"the first {found.n_looked_at:,} of them"
    return f"{found.n_rows:,} rows of {found.n_observed:,} values from {found.where}; {looked_at} were looked at"
