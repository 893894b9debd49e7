"""`prosper-ng campaign run FILE`: run what is unfinished on this machine."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prosper_ng.commands._learned import positive
from prosper_ng.commands.campaign.arguments import add_campaign_arguments, counts, load_campaign

if TYPE_CHECKING:
    from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun

HELP = "run everything unfinished on this machine; run it again to continue"

NEEDED_BY_ALL = ("prosper_ng.cli", "prosper_ng.commands.run", "prosper_ng.running.run")
_FAILED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_campaign_arguments(parser)
    add_run_arguments(parser)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ID",
        help="run these runs, by their ids, and leave the others to other calls, which may go on at the same time",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says how runs share the machine."""
    parser.add_argument("--cores", type=positive, metavar="N", help="cores to use, instead of all that may be used")


def run(arguments: argparse.Namespace) -> int:
    """0 where all runs are finished, 1 where one failed, 75 where there is more to do, 130 after Ctrl-C.

    Raises UserError where none of the runs that are named is one of the campaign.
    """
    from prosper_ng.errors import UserError

    plan = load_campaign(arguments)
    if arguments.only is None:
        return run_unfinished(plan, plan.runs, arguments)
    chosen = [run for run in plan.runs if run.id in arguments.only]
    unknown = [name for name in arguments.only if name not in {run.id for run in chosen}]
    if not chosen:
        raise UserError(f"{plan.path} has no run {' or '.join(unknown)}; `campaign status` lists the ids of all")
    if unknown:
        print(f"warning: no longer runs of {plan.path}: {' '.join(unknown)}", file=sys.stderr)
    return run_unfinished(plan, chosen, arguments, is_part=True)


def run_unfinished(
    plan: "CampaignPlan", runs: Sequence["PlannedRun"], arguments: argparse.Namespace, is_part: bool = False
) -> int:
    """Run those of the runs that are unfinished, and say how the campaign stands; the exit status."""
    from prosper_ng.campaigns.local import run_side_by_side, stop_requests
    from prosper_ng.campaigns.run_state import BROKEN, other_data, other_versions, run_states
    from prosper_ng.environment import limit_threads
    from prosper_ng.experiments.run import MORE_TO_DO
    from prosper_ng.parallel.last_words import INTERRUPTED
    from prosper_ng.parallel.threads import available_cores
    from prosper_ng.report.campaign_progress import CampaignProgress

    os.environ.setdefault("PROSPER_NG_THREADS", "1")  # a rank is a core here, whatever is set for other programs
    limit_threads(os.environ)
    wanted = {run.id for run in runs}
    before = dict(zip((run.id for run in plan.runs), run_states(plan, {}), strict=True))
    todo = [run for run in plan.runs if run.id in wanted and before[run.id].state != "finished"]
    n_cores = arguments.cores or len(available_cores())
    progress = CampaignProgress(len(wanted), len(wanted) - len(todo), arguments.quiet)
    progress.opened(plan.folder, todo, n_cores)
    most_ranks = max((run.n_ranks for run in todo), default=1)
    if most_ranks > n_cores:
        progress.say(f"warning: {most_ranks} ranks share {n_cores} cores and will wait for each other")
    warning = other_versions(list(before.values()))
    if warning is not None and todo:
        progress.say(f"warning: {warning}")
    with stop_requests() as stop:
        try:
            run_side_by_side(plan, todo, n_cores, progress, stop, NEEDED_BY_ALL, is_part)
        finally:
            progress.close()
        now = run_states(plan, {})
        after = [run_state for run, run_state in zip(plan.runs, now, strict=True) if run.id in wanted]
        progress.conclude(after, counts(after), plan)
        warning = other_data(now)
        if warning is not None:
            progress.say(f"warning: {warning}")
    if stop.level:
        return INTERRUPTED if stop.name == "SIGINT" else MORE_TO_DO
    if any(run_state.state in BROKEN for run_state in after):
        return _FAILED
    return 0 if all(run_state.state == "finished" for run_state in after) else MORE_TO_DO
