"""The command line: finds the command, parses its arguments, and turns exceptions into sentences and exit statuses."""

import argparse
import difflib
import importlib
import io
import os
import pkgutil
import sys
from types import ModuleType
from typing import NoReturn

from prosper_ng import __version__, commands, compiling, plugins
from prosper_ng.errors import UserError
from prosper_ng.parallel.last_words import INTERRUPTED, exit_status, message_of, not_encodable
from prosper_ng.parallel.launcher import speaks_for_host

PROGRAM = "prosper-ng"
_BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended


class UsageError(UserError):
    """The command line does not say what to do."""


class _Parser(argparse.ArgumentParser):
    """Reports what is wrong with the arguments like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> int:
    """The exit status of one command: 0, or what the error that ended it stands for."""
    _escape_what_cannot_be_shown()
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


def command_names() -> list[str]:
    """The names of all commands in alphabetical order; none is imported for it."""
    modules = pkgutil.iter_modules(commands.__path__)
    return sorted(entry.name.replace("_", "-") for entry in modules if not entry.name.startswith("_"))


def _run(argv: list[str]) -> int:
    encoding = sys.getfilesystemencoding()
    for argument in argv if encoding.lower() not in ("utf-8", "utf8") else ():
        if any("\ud800" <= char <= "\udfff" for char in argument):
            raise UsageError(not_encodable(argument, encoding))
    files, argv = _imports(argv)
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    if name is None:
        parser = _overview()
        parser.parse_args(argv)
        parser.print_help()
        return UsageError.exit_status
    command = _command(name)
    # A command may give a common option a meaning of its own.
    parser = _Parser(f"{PROGRAM} {name}", description=command.HELP, conflict_handler="resolve")
    _add_common(parser)
    command.configure(parser)
    place = argv.index(name)
    arguments = parser.parse_args(argv[:place] + argv[place + 1 :])

    from prosper_ng.environment import prepare_environment

    prepare_environment()
    with (
        compiling.watched(None if arguments.quiet else compiling.tell),
        plugins.imported([*files, *arguments.imports]) as warnings,
    ):
        for warning in () if arguments.quiet else warnings:
            _say(f"warning: {warning}")
        return int(command.run(arguments))


def _imports(argv: list[str]) -> tuple[list[str], list[str]]:
    """The files of `--import`, wherever it stands, and all other arguments."""
    parser = _Parser(PROGRAM, add_help=False, allow_abbrev=False)
    _add_import(parser)
    found, others = parser.parse_known_args(argv)
    return found.imports, others


def _overview() -> argparse.ArgumentParser:
    """The parser of a command line without a command."""
    lines = [f"  {name:<12} {_command(name).HELP}" for name in command_names()]
    parser = _Parser(
        PROGRAM,
        usage=f"{PROGRAM} [--verbose | --quiet] COMMAND ...",
        description="Probabilistic sparse coding with truncated variational EM.",
        epilog="\n".join(["commands:", *lines, "", f"{PROGRAM} COMMAND --help tells more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_common(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("--verbose", action="store_true", help="say more")
    volume.add_argument("--quiet", action="store_true", help="say nothing but errors")
    _add_import(parser)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--import",
        metavar="FILE",
        dest="imports",
        action="append",
        default=[],
        help="a file of Python with models or other components of your own; may be given several times",
    )


def _command(name: str) -> ModuleType:
    names = command_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"there is no command {name!r}; {hint}")
    return importlib.import_module(f"{commands.__name__}.{name.replace('-', '_')}")


def _say(message: str) -> None:
    """Print to stderr, once on each host where a launcher has started several processes."""
    if speaks_for_host(os.environ):
        print(message, file=sys.stderr, flush=True)
