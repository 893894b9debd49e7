"""What the actions on campaigns share."""

import argparse
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import add_overrides, path_argument

if TYPE_CHECKING:
    from rich.console import Console

    from prosper_ng.campaigns.plan import CampaignPlan
    from prosper_ng.campaigns.results import ResultTable
    from prosper_ng.campaigns.run_state import RunState
    from prosper_ng.slurm.queue import QueuedJob


def add_campaign_arguments(parser: argparse.ArgumentParser) -> None:
    """Add FILE, `--output` and `--set`, for `load_campaign`."""
    parser.add_argument(
        "file", type=path_argument, metavar="FILE", help="the YAML file of a campaign, or a campaign's folder"
    )
    parser.add_argument(
        "--output", type=path_argument, metavar="FOLDER", help="the campaign's folder, instead of runs/NAME"
    )
    add_overrides(parser, "change a value of the campaign's file, such as repeats=2")


def load_campaign(arguments: argparse.Namespace) -> "CampaignPlan":
    """The plan that the arguments ask for. Raises UserError with everything that is wrong."""
    from prosper_ng.campaigns.file_kinds import expecting
    from prosper_ng.campaigns.plan import keep, load_plan
    from prosper_ng.errors import UserError
    from prosper_ng.storage.own_files import require_campaign_folder

    if os.path.isdir(arguments.file) and (arguments.overrides or arguments.output):
        raise UserError(f"{arguments.file} is a campaign's folder; --set and --output go with a campaign's file")
    with expecting("campaign", arguments.file):
        plan = load_plan(arguments.file, arguments.overrides, arguments.output)
    require_campaign_folder(plan.folder)
    if os.path.isdir(plan.folder):
        with contextlib.suppress(OSError):  # the folder may be somebody else's to look into
            keep(plan)  # so that thousands of runs need not be checked the next time
    return plan


def run_states_now(plan: "CampaignPlan") -> "list[RunState]":
    """How each run of the plan stands, with a look at Slurm's queue."""
    from prosper_ng.campaigns.run_state import run_states

    return run_states(plan, _queued_jobs(plan))


def _queued_jobs(plan: "CampaignPlan") -> "Mapping[str, QueuedJob]":
    """The jobs that Slurm knows, by one call; none where there is no Slurm, or one that does not answer."""
    from prosper_ng.campaigns.submissions import latest_jobs
    from prosper_ng.errors import UserError
    from prosper_ng.slurm.queue import queue

    try:
        return queue()
    except UserError as error:
        if latest_jobs(plan.folder):
            print(f"warning: jobs that wait are not known: {error}", file=sys.stderr)
        return {}


def collected(plan: "CampaignPlan", found: "Sequence[RunState]", quiet: bool) -> "ResultTable":
    """What the runs came to; a terminal is shown meanwhile how many of them were read."""
    from rich.console import Console
    from rich.progress import track

    from prosper_ng.campaigns.results import collect

    terminal = Console(stderr=True)
    if quiet or not terminal.is_terminal:
        return collect(plan, found)
    return collect(plan, found, lambda runs: track(runs, "reading runs", console=terminal, transient=True))


def counts(run_states: Sequence["RunState"]) -> str:
    """How many runs stand how: `10 finished, 2 failed`."""
    from prosper_ng.campaigns.run_state import STATES

    numbers = Counter(run_state.state for run_state in run_states)
    return ", ".join(f"{numbers[state]} {state}" for state in STATES if numbers[state])


def console() -> "Console":
    """Where tables go; lines that are read by programs are not broken."""
    from rich.console import Console

    found = Console(highlight=False)
    if not found.is_terminal:
        found.width = 400
    return found
