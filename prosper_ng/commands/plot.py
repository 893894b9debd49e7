"""`prosper-ng plot RUN`: the pictures of a run, from its run.h5 alone."""

import argparse
import os
from pathlib import Path
from typing import NamedTuple

from prosper_ng.commands._arguments import path_argument

HELP = "draw the pictures of a run"
_NAMES = ("curves", "dictionary", "recovery", "comparison")
_ON_REQUEST = ("fields",)
"""Pictures that take a while, and are drawn where they are named."""
_FORMATS = ("png", "pdf", "svg")
_OTHER_FORMATS = ("bmp", "eps", "gif", "htm", "html", "jpeg", "jpg", "pgf", "ps", "svgz", "tif", "tiff", "webp")


class Asked(NamedTuple):
    """What is to be drawn, and where to."""

    folder: Path | None
    """The folder of the run where None."""
    file: str | None
    """The name of the one file; None for a file of each picture under its own name."""
    ending: str
    picture: str | None
    """The one picture; all where None."""

    def file_of(self, picture: str) -> str:
        """The name of the file with a picture."""
        return self.file or f"{picture}.{self.ending}"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", type=path_argument, metavar="RUN", help="the folder of the run")
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FOLDER|FILE",
        help="where to write them, the folder of the run by default; or the file for one of them, which ends in .png, "
        ".pdf or .svg",
    )
    parser.add_argument("--format", choices=_FORMATS, help="of the pictures in a folder; png by default")
    parser.add_argument("--picture", choices=_NAMES + _ON_REQUEST, help="draw this one only")
    parser.add_argument(
        "--elements",
        metavar="NUMBERS",
        help="draw these dictionary elements only, with their numbers, in this order: 0-15,40",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once they are drawn. Raises UserError where there is no run, nothing of what is asked for, or no matplotlib, or
    no place to write.
    """
    from prosper_ng.errors import UserError
    from prosper_ng.report.pictures import draw, drawing_of
    from prosper_ng.storage.own_files import files_named_in, require_no_input
    from prosper_ng.storage.run_record import read_run

    asked = _asked(arguments)
    record = read_run(arguments.run)
    drawings = None if asked.picture is None else {asked.picture: drawing_of(record, asked.picture, arguments.elements)}
    folder = record.path.parent if asked.folder is None else asked.folder
    for name in _NAMES if drawings is None else drawings:
        require_no_input(folder / asked.file_of(name), files_named_in(record.config.get("data")))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn, notes = draw(record, folder, asked.file_of, drawings)
    except OSError as error:
        raise UserError(f"the pictures cannot be written to {folder}: {error.strerror or error}") from error
    if not arguments.quiet:
        for line in [*map(str, drawn), *notes]:
            print(line)
    return 0


def _asked(arguments: argparse.Namespace) -> Asked:
    """What is asked for; UserError where its parts do not go together."""
    from prosper_ng.errors import UserError

    output, picture = arguments.output, arguments.picture
    if arguments.elements is not None:
        if picture not in (None, "dictionary"):
            raise UserError(f"--elements chooses elements of the dictionary, and --picture {picture} shows none")
        picture = "dictionary"
    ending = "" if output is None or os.path.isdir(output) else output.suffix[1:].lower()
    if ending in _OTHER_FORMATS:
        raise UserError(f"{output}: pictures are written as .png, .pdf or .svg; end the name so, or name a folder")
    if ending not in _FORMATS:
        return Asked(output, None, arguments.format or "png", picture)
    if arguments.format not in (None, ending):
        raise UserError(f"{output} is a picture as {ending}, and --format {arguments.format} asks for another one")
    picture = picture or (output.stem if output.stem in _NAMES + _ON_REQUEST else None)
    if picture is None:
        names = f"{', '.join(_NAMES)} or {_ON_REQUEST[0]}"
        raise UserError(f"{output} is one picture, and a run has several: name one of them, --picture {names}")
    return Asked(output.parent, output.name, ending, picture)
