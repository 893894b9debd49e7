"""The parsers of the command line: of one command, of a line without a command, and of all commands joined."""

import argparse
import difflib
import importlib
import pkgutil
from types import ModuleType
from typing import Any, NoReturn

from prosper_ng import __version__, commands
from prosper_ng.errors import UserError

PROGRAM = "prosper-ng"


class UsageError(UserError):
    """The command line does not say what to do."""


class Parser(argparse.ArgumentParser):
    """Reports what is wrong with the arguments like every other error."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; see {self.prog} --help")


def command_names() -> list[str]:
    """The names of all commands in alphabetical order; none is imported for it."""
    modules = pkgutil.iter_modules(commands.__path__)
    return sorted(entry.name.replace("_", "-") for entry in modules if not entry.name.startswith("_"))


def command(name: str) -> ModuleType:
    """The module of a command; UsageError where there is none of that name."""
    names = command_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"there is no command {name!r}; {hint}")
    return importlib.import_module(f"{commands.__name__}.{name.replace('-', '_')}")


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of what may follow the name of a command."""
    return _configured(Parser(f"{PROGRAM} {name}", **_about(name)), name)


def overview() -> argparse.ArgumentParser:
    """The parser of a command line without a command."""
    lines = [f"  {name:<12} {command(name).HELP}" for name in command_names()]
    parser = Parser(
        PROGRAM,
        usage=f"{PROGRAM} [--verbose | --quiet] COMMAND ...",
        description="Probabilistic sparse coding with truncated variational EM.",
        epilog="\n".join(["commands:", *lines, "", f"{PROGRAM} COMMAND --help tells more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_common(parser)
    return parser


def all_commands() -> argparse.ArgumentParser:
    """The parser of every command line: that of `overview`, with those of all commands below it."""
    parser = overview()
    below = parser.add_subparsers(prog=PROGRAM, metavar="COMMAND")
    for name in command_names():
        _configured(below.add_parser(name, help=command(name).HELP, **_about(name)), name)
    return parser


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add `--import FILE`, as often as wanted."""
    parser.add_argument(
        "--import",
        metavar="FILE",
        dest="imports",
        action="append",
        default=[],
        help="a file of Python with models or other components of your own; may be given several times",
    )


def _about(name: str) -> dict[str, Any]:
    # A command may give a common option a meaning of its own.
    return {"description": command(name).HELP, "conflict_handler": "resolve"}


def _configured(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    _add_common(parser)
    command(name).configure(parser)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("--verbose", action="store_true", help="say more")
    volume.add_argument("--quiet", action="store_true", help="say nothing but errors")
    add_import(parser)
