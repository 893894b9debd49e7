"""The command line: finds the command, parses its arguments, and turns exceptions into sentences and exit statuses."""

import io
import os
import sys

from prosper_ng import compiling, plugins
from prosper_ng.commands._parsers import (
    PROGRAM,
    Parser,
    UsageError,
    add_import,
    command,
    overview,
    parser_of,
)
from prosper_ng.environment import be_command, prepare_environment
from prosper_ng.errors import UserError
from prosper_ng.parallel.last_words import INTERRUPTED, exit_status, message_of, not_encodable
from prosper_ng.parallel.launcher import speaks_for_host

_BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


def main(argv: list[str] | None = None) -> int:
    """The exit status of one command: 0, or what the error that ended it stands for."""
    _escape_what_cannot_be_shown()
    if argv is None:
        be_command()
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except (UserError, UnicodeEncodeError) as error:
        _say(message_of(error))
        return exit_status(error)
    except KeyboardInterrupt:
        _say("interrupted before the end")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output wants no more of it. Without this, Python would complain once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return status


def _escape_what_cannot_be_shown() -> None:
    """Print characters that the terminal does not know, or that are no characters at all, by their numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(argv: list[str]) -> int:
    encoding = sys.getfilesystemencoding()
    for argument in argv if encoding.lower() not in ("utf-8", "utf8") else ():
        if any("\ud800" <= char <= "\udfff" for char in argument):
            raise UsageError(not_encodable(argument, encoding))
    files, argv = _imports(argv)
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    if name is None:
        parser = overview()
        parser.parse_args(argv)
        parser.print_help()
        return UsageError.exit_status
    parser = parser_of(name)
    place = argv.index(name)
    arguments = parser.parse_args(argv[:place] + argv[place + 1 :])

    prepare_environment()
    with (
        compiling.watched(None if arguments.quiet else compiling.tell),
        plugins.imported([*files, *arguments.imports]) as warnings,
    ):
        for warning in () if arguments.quiet else warnings:
            _say(f"warning: {warning}")
        return int(command(name).run(arguments))


def _imports(argv: list[str]) -> tuple[list[str], list[str]]:
    """The files of `--import`, wherever it stands, and all other arguments."""
    parser = Parser(PROGRAM, add_help=False, allow_abbrev=False)
    add_import(parser)
    found, others = parser.parse_known_args(argv)
    return found.imports, others


def _say(message: str) -> None:
    """Print to stderr, once on each host where a launcher has started several processes."""
    if speaks_for_host(os.environ):
        print(message, file=sys.stderr, flush=True)
