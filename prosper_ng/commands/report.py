"""`prosper-ng report RUN`: all there is to see of a run, as one HTML file."""

import argparse
from pathlib import Path

HELP = "write a page about a run, one HTML file without anything around it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of the run")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where to put it; report.html in the folder if not given"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once it is written. Raises UserError where there is no run, a package is missing, or no place to write."""
    from prosper_ng.report.page import NAME, write_page
    from prosper_ng.report.run_page import run_page
    from prosper_ng.storage.run_record import read_run

    record = read_run(arguments.run)
    path = arguments.output or record.path.parent / NAME
    write_page(path, run_page(record))
    if not arguments.quiet:
        print(path)
    return 0
