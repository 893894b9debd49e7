"""`prosper-ng campaign collect FILE`: tables and figures of what the runs came to."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng.commands.campaign.arguments import (
    add_campaign_arguments,
    collected,
    console,
    counts,
    load_campaign,
    run_states_now,
)

if TYPE_CHECKING:
    from prosper_ng.campaigns.results import ResultTable

HELP = "write tables with a row per run and per point, and figures over the swept settings"

FIGURES = "figures"
"""Where figures go, within the campaign's folder."""
_MOST_MEASURES, _MOST_POINTS = 5, 40


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_campaign_arguments(parser)
    parser.add_argument("--axis", metavar="NAME", help="draw over this axis only")
    parser.add_argument("--measure", metavar="NAME", help="draw this measure only, such as psnr_after")
    parser.add_argument(
        "--which", metavar="AXIS", help="say which value of this axis the data speak for, and whether starts agree"
    )
    parser.add_argument("--no-figures", action="store_true", help="write tables only")


def run(arguments: argparse.Namespace) -> int:
    """0 once all is written, also where runs are unfinished: they are rows with a reason."""
    from prosper_ng.campaigns.results import summarise, write_tables
    from prosper_ng.campaigns.run_state import other_data
    from prosper_ng.errors import UserError

    plan = load_campaign(arguments)
    found = run_states_now(plan)
    table = collected(plan, found, arguments.quiet)
    points = summarise(table)
    try:
        written = write_tables(table, points, plan.folder)
    except OSError as error:
        raise UserError(f"the tables cannot be written into {plan.folder}: {error.strerror}") from None
    if not arguments.no_figures and table.measures:
        written += _draw(table, plan.folder / FIGURES, arguments)
    if warning := other_data(found):
        print(f"warning: {warning}", file=sys.stderr)
    if not arguments.quiet:
        print(f"{plan.name}: {counts(found)}")
        wanted = (arguments.measure,) if arguments.measure in table.measures else ()
        _print_points(points, tuple(dict.fromkeys((*wanted, *table.measures)))[:_MOST_MEASURES])
        for path in written:
            print(f"written: {path}")
    if arguments.which:
        _print_verdicts(table, arguments.which)
    return 0


def _print_verdicts(table: "ResultTable", axis: str) -> None:
    """A line for each point and seed."""
    from rich.markup import escape
    from rich.table import Table as Rich

    from prosper_ng.campaigns.verdicts import verdicts
    from prosper_ng.config.canonical import inline

    measure, found = verdicts(table, axis)
    shown = Rich(box=None, padding=(0, 2, 0, 0))
    for name in (*found[0].point, axis, "before", "lead a row", ""):
        shown.add_column(escape(name))
    for each in found:
        words = [inline(value) for value in (*each.point.values(), each.best, each.next)]
        shown.add_row(*map(escape, words), f"{each.lead:.3g}", each.doubt or "starts agree")
    print(f"{axis} by {measure}:")
    console().print(shown)


def _draw(table: "ResultTable", folder: Path, arguments: argparse.Namespace) -> list[Path]:
    """The figures; where none was asked for in particular, that there can be none is no more than a warning."""
    from prosper_ng.errors import UserError
    from prosper_ng.report.sweep_figures import draw_sweep

    shown = table if arguments.measure else table._replace(measures=table.measures[:_MOST_MEASURES])
    try:
        return draw_sweep(shown, folder, arguments.axis, arguments.measure)
    except UserError as error:
        if arguments.axis or arguments.measure:
            raise
        print(f"no figures: {error}", file=sys.stderr)
        return []
    except OSError as error:
        raise UserError(f"the figures cannot be written into {folder}: {error.strerror or error}") from None


def _print_points(points: "ResultTable", chosen: tuple[str, ...]) -> None:
    """Mean and standard deviation of what people look at first."""
    from rich.markup import escape
    from rich.table import Table as Rich

    from prosper_ng.config.canonical import inline

    shown = Rich(box=None, padding=(0, 2, 0, 0))
    for name in (*points.axes, "finished", *chosen):
        shown.add_column(escape(name), justify="left" if name in points.axes else "right")
    n_points = len(points.columns["n_runs"])
    for row in range(min(n_points, _MOST_POINTS)):
        cells = [inline(points.columns[axis][row]) for axis in points.axes]
        cells.append(f"{points.columns['n_finished'][row]}/{points.columns['n_runs'][row]}")
        for name in chosen:
            mean, std = (points.columns[f"{name}_{what}"][row] for what in ("mean", "std"))
            cells.append("" if mean != mean else f"{mean:.5g}" if std != std else f"{mean:.5g} ± {std:.2g}")
        shown.add_row(*map(escape, cells))
    console().print(shown)
    if n_points > _MOST_POINTS:
        print(f"and {n_points - _MOST_POINTS} more points")
