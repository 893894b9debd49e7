"""`prosper-ng plot RUN`: the pictures of a run, from its run.h5 alone."""

import argparse

from prosper_ng.commands._arguments import path_argument

HELP = "draw the pictures of a run"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="the folder of the run")
    parser.add_argument(
        "--output", type=path_argument, metavar="FOLDER", help="where to write them; the folder of the run by default"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once they are drawn. Raises UserError where there is no run, or no matplotlib, or no place to write."""
    from prosper_ng.errors import UserError
    from prosper_ng.report.pictures import draw
    from prosper_ng.storage.own_files import PICTURES, files_named_in, require_no_input
    from prosper_ng.storage.run_record import read_run

    record = read_run(arguments.run)
    folder = record.path.parent if arguments.output is None else arguments.output
    for name in PICTURES:
        require_no_input(folder / name, files_named_in(record.config.get("data")))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn, notes = draw(record, folder)
    except OSError as error:
        raise UserError(f"the pictures cannot be written to {folder}: {error.strerror or error}") from error
    if not arguments.quiet:
        for line in [*map(str, drawn), *notes]:
            print(line)
    return 0
