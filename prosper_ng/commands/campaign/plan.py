"""`prosper-ng campaign plan FILE`: what would be run, and what that takes."""

import argparse
from typing import TYPE_CHECKING

from prosper_ng.commands.campaign.arguments import add_campaign_arguments, console, counts, load_campaign

if TYPE_CHECKING:
    from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun
    from prosper_ng.campaigns.run_state import RunState

HELP = "show the runs, how they differ, and what they will cost; only a few short pilots are run"

_MOST_SHOWN = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_campaign_arguments(parser)
    parser.add_argument("--all", action="store_true", help="show all points, however many")
    parser.add_argument("--json", action="store_true", help="print one JSON object, without pilots")
    parser.add_argument(
        "--pilot",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="how long to run pilots on this machine to estimate the cost; 0 for none (10)",
    )
    parser.add_argument(
        "--no-data",
        action="store_true",
        help="open no data, as where they lie elsewhere; nothing is tried then",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once it is printed. Raises UserError where the campaign's file is wrong."""
    from prosper_ng.campaigns.plan import by_point
    from prosper_ng.campaigns.run_state import run_states

    plan = load_campaign(arguments)
    found = run_states(plan, {})
    if arguments.json:
        _print_json(plan)
        return 0
    points = by_point(plan.runs)
    print(f"{plan.name}: {len(plan.runs)} runs of {len(points)} points in {plan.folder}: {counts(found)}")
    if plan.n_merged:
        print(f"{plan.n_merged} runs that were asked for more than once are run once")
    _print_points(plan, points, found, arguments.all)
    if arguments.no_data:
        return 0
    known = _print_problems(plan)
    if arguments.pilot > 0:
        _print_cost(plan, found, arguments.pilot, known)
    return 0


def _print_points(
    plan: "CampaignPlan", points: "list[list[PlannedRun]]", found: "list[RunState]", show_all: bool
) -> None:
    from rich.markup import escape
    from rich.table import Table

    from prosper_ng.config.canonical import inline

    run_state = dict(zip((run.id for run in plan.runs), found, strict=True))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in (*plan.axes, "runs", "sweeps", "first id", "state"):
        table.add_column(escape(name), justify="right" if name in ("runs", "sweeps") else "left")
    for runs in points[: None if show_all else _MOST_SHOWN]:
        first = runs[0]
        cells = [inline(first.point[axis]) for axis in plan.axes]
        cells += [str(len(runs)), str(first.n_sweeps), first.id, counts([run_state[run.id] for run in runs])]
        table.add_row(*map(escape, cells))
    console().print(table)
    if len(points) > _MOST_SHOWN and not show_all:
        print(f"and {len(points) - _MOST_SHOWN} more points; --all shows them")


def _print_problems(plan: "CampaignPlan") -> set[str]:
    """Print what would keep runs from their first sweep; the sentences."""
    from prosper_ng.campaigns.data_check import problems_of

    problems = problems_of(plan.runs)
    for problem in problems:
        what = f"{problem.n_runs} of {len(plan.runs)} runs" if len(plan.runs) > 1 else "the run"
        print(f"cannot be run: {what} ({problem.title}): {problem.sentence}")
    return {problem.sentence for problem in problems}


def _print_cost(plan: "CampaignPlan", found: "list[RunState]", patience: float, known: set[str]) -> None:
    from prosper_ng.campaigns.cost import cost_of
    from prosper_ng.data.memory_settings import text_of
    from prosper_ng.parallel.threads import available_cores
    from prosper_ng.progress import duration

    todo = [run for run, run_state in zip(plan.runs, found, strict=True) if run_state.state != "finished"]
    if not todo:
        print("all runs are finished")
        return
    print(
        f"computing for up to {patience:g} s on this machine; --pilot 0 leaves that out, as on a login node",
        flush=True,
    )
    cost, n_cores = cost_of(todo, patience), len(available_cores())
    for problem in cost.problems:
        if problem not in known:
            print(f"not tried: {problem}")
    if cost.n_piloted:
        wall = max(cost.slowest, cost.core_hours * 3600 / n_cores)
        share = "" if cost.n_piloted == cost.n_points else f", from {cost.n_piloted} of {cost.n_points} points"
        print(
            f"what is left takes about {cost.core_hours:.2g} core hours{share}: {duration(wall)} on {n_cores} cores of "
            f"this machine, the slowest run {duration(cost.slowest)}; {text_of(int(cost.disk))} on disk"
        )


def _print_json(plan: "CampaignPlan") -> None:
    import json

    runs = [
        {"id": run.id, "point": run.point, "repeat": run.repeat, "seed": run.seed, "n_sweeps": run.n_sweeps,
         "n_ranks": run.n_ranks, "folder": str(run.folder)}
        for run in plan.runs
    ]  # fmt: skip
    print(json.dumps({"name": plan.name, "folder": str(plan.folder), "axes": plan.axes, "runs": runs}, indent=2))
