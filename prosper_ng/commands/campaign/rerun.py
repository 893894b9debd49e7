"""`prosper-ng campaign rerun FILE`: begin failed runs anew."""

import argparse
from typing import TYPE_CHECKING

from prosper_ng.commands.campaign.arguments import add_campaign_arguments, load_campaign
from prosper_ng.commands.campaign.run import add_run_arguments, run_unfinished

if TYPE_CHECKING:
    from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun

HELP = "restart failed runs, or the named ones, from scratch; their old folders are set aside"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_campaign_arguments(parser)
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="a run, by the beginning of its id; all failed ones if none"
    )
    parser.add_argument("--later", action="store_true", help="only set the folders aside; run or submit starts them")
    add_run_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """As `campaign run`; 0 with `--later`. Raises UserError where a run is unknown or running."""
    from prosper_ng.campaigns.local import set_aside

    plan = load_campaign(arguments)
    chosen = _chosen(plan, arguments.ids)
    for each in chosen:
        place = set_aside(plan, each)
        if place is not None and not arguments.quiet:
            print(f"{each.id} ({each.title}) was set aside to {place}")
    if not chosen and not arguments.quiet:
        print("no run has failed; nothing is restarted")
    return 0 if arguments.later or not chosen else run_unfinished(plan, chosen, arguments)


def _chosen(plan: "CampaignPlan", ids: list[str]) -> "list[PlannedRun]":
    """The runs that are meant; all failed ones where none is named."""
    from prosper_ng.campaigns.run_state import BROKEN, run_states
    from prosper_ng.errors import UserError

    if not ids:
        found = zip(plan.runs, run_states(plan, {}), strict=True)
        return [run for run, run_state in found if run_state.state in BROKEN]
    chosen = {}
    for name in ids:
        meant = [run for run in plan.runs if run.id.startswith(name)]
        if len(meant) != 1:
            have = "no run of {} has" if not meant else f"{len(meant)} runs of {{}} have"
            message = f"{have.format(plan.path)} an id that begins with {name!r}; `campaign status` lists all"
            raise UserError(message)
        chosen[meant[0].id] = meant[0]
    return list(chosen.values())
