"""`prosper-ng completion SHELL`: a script with which a shell completes commands, options and names of files."""

import argparse

from prosper_ng.commands._arguments import path_argument

HELP = "print a script with which your shell completes commands, options and files"
_SHELLS = ("bash", "fish", "tcsh", "zsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the argument."""
    parser.add_argument("shell", choices=_SHELLS, help=f"which shell: {', '.join(_SHELLS)}")


def run(arguments: argparse.Namespace) -> int:
    """0; the script goes to standard output."""
    import shtab

    from prosper_ng.commands._parsers import PROGRAM, all_commands

    parser = all_commands()
    _mark_files(parser, shtab.FILE)
    print(shtab.complete(parser, arguments.shell, root_prefix=PROGRAM))
    return 0


def _mark_files(parser: argparse.ArgumentParser, file: object) -> None:
    """Say of each argument whether it is the name of a file, here and in the parsers below."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _mark_files(below, file)
        elif action.type is path_argument or action.dest == "imports":
            action.complete = file  # type: ignore[attr-defined]
