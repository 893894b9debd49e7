"""`prosper-ng campaign ACTION FILE`: many runs from one file."""

import argparse

from prosper_ng.commands.campaign import collect, plan, rerun, status, submit
from prosper_ng.commands.campaign import run as run_all

HELP = "plan, run and collect many runs that differ in some values"

_ACTIONS = {"plan": plan, "run": run_all, "submit": submit, "status": status, "collect": collect, "rerun": rerun}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each with its arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, module in _ACTIONS.items():
        action = actions.add_parser(name, help=module.HELP, description=module.HELP)
        for flag in ("--verbose", "--quiet"):
            action.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        module.configure(action)


def run(arguments: argparse.Namespace) -> int:
    """The exit status of the action."""
    return _ACTIONS[arguments.action].run(arguments)
