"""`prosper-ng campaign ACTION FILE`: many runs from one file."""

import argparse

from prosper_ng.commands import (
    _campaign_collect,
    _campaign_plan,
    _campaign_rerun,
    _campaign_run,
    _campaign_status,
    _campaign_submit,
)

HELP = "plan, run and collect many runs that differ in some values"

_ACTIONS = {
    "plan": _campaign_plan,
    "run": _campaign_run,
    "submit": _campaign_submit,
    "status": _campaign_status,
    "collect": _campaign_collect,
    "rerun": _campaign_rerun,
}


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
