"""`prosper-ng campaign status FILE`: how the runs stand, and why those ended that did not finish."""

import argparse
import os
from typing import TYPE_CHECKING

from prosper_ng.commands.campaign.arguments import (
    add_campaign_arguments,
    console,
    counts,
    load_campaign,
    run_states_now,
)

if TYPE_CHECKING:
    from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun
    from prosper_ng.campaigns.run_state import RunState

HELP = "show the state of the runs, why some did not finish, and what to do about it"
_MOST_SHOWN = 40


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_campaign_arguments(parser)
    parser.add_argument("--all", action="store_true", help="show all runs, also finished and waiting ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0 once it is printed."""
    plan = load_campaign(arguments)
    found = run_states_now(plan)
    if arguments.json:
        _print_json(plan, found)
        return 0
    print(f"{plan.name}: {len(plan.runs)} runs in {plan.folder}: {counts(found)}")
    hidden = () if arguments.all else ("finished", "waiting")
    pairs = zip(plan.runs, found, strict=True)
    rows = [(run, run_state) for run, run_state in pairs if run_state.on_other_data or run_state.state not in hidden]
    _print_rows(plan, rows if arguments.all else rows[:_MOST_SHOWN])
    if len(rows) > _MOST_SHOWN and not arguments.all:
        print(f"and {len(rows) - _MOST_SHOWN} more; --all shows them")
    for advice in dict.fromkeys(run_state.advice for _, run_state in rows if run_state.advice):
        print(f"  {advice}")
    return 0


def _print_rows(plan: "CampaignPlan", rows: "list[tuple[PlannedRun, RunState]]") -> None:
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("id", "state", "sweeps", "run", "reason", "printed to"):
        table.add_column(name, justify="right" if name == "sweeps" else "left", overflow="fold")
    for run, run_state in rows:
        done = "" if run_state.status is None else f"{run_state.status.iteration}/{run.n_sweeps}"
        log = "" if run_state.log is None else os.path.relpath(run_state.log, plan.folder)
        cells = (run.id, run_state.state, done, run.title, run_state.reason.partition("\n")[0], log)
        table.add_row(*(escape(cell) for cell in cells))
    console().print(table)


def _print_json(plan: "CampaignPlan", found: "list[RunState]") -> None:
    import json

    runs = [
        {
            "id": run.id, "point": run.point, "repeat": run.repeat, "seed": run.seed, "folder": str(run.folder),
            "state": run_state.state, "sweeps": run_state.status.iteration if run_state.status else 0,
            "n_sweeps": run.n_sweeps, "reason": run_state.reason, "advice": run_state.advice,
            "data_digest": run_state.status.data_digest if run_state.status else None,
            "on_other_data": run_state.on_other_data, "log": None if run_state.log is None else str(run_state.log),
        }
        for run, run_state in zip(plan.runs, found, strict=True)
    ]  # fmt: skip
    print(json.dumps({"name": plan.name, "folder": str(plan.folder), "runs": runs}, indent=2))
