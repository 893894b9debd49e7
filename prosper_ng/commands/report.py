"""`prosper-ng report RUN|CAMPAIGN`: all there is to see of a run or of a campaign, as one HTML file."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng.commands._arguments import path_argument

if TYPE_CHECKING:
    from prosper_ng.campaigns.plan import CampaignPlan

HELP = "write a page about a run or a campaign, as one HTML file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "of",
        type=path_argument,
        metavar="RUN|CAMPAIGN",
        help="the folder of a run, the folder of a campaign, or the YAML file of a campaign",
    )
    parser.add_argument(
        "--output", type=path_argument, metavar="FILE", help="where to write it; report.html in that folder by default"
    )
    parser.add_argument(
        "--runs", action="store_true", help="also write the pages of the campaign's runs, with links to them"
    )


def run(arguments: argparse.Namespace) -> int:
    """0 once it is written. Raises UserError where there is no run, a package is missing, or no place to write."""
    from prosper_ng.campaigns.plan import load_plan
    from prosper_ng.errors import UserError
    from prosper_ng.report.page import require_packages

    require_packages()
    output = arguments.output
    if output is not None and not os.path.isdir(output) and output.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{output}: a page is HTML; give the name of a file that ends in .html")
    if _is_campaign(arguments.of):
        lines = _write_campaign(load_plan(arguments.of), arguments.output, arguments.runs, arguments.quiet)
    elif arguments.runs:
        raise UserError(f"{arguments.of} is not a campaign; --runs needs the folder or the YAML file of one")
    else:
        lines = [str(_write_run(arguments.of, arguments.output))]
    if not arguments.quiet:
        for line in lines:
            print(line)
    return 0


def _is_campaign(path: Path) -> bool:
    """Whether it is a campaign's folder, or a YAML file, which has to be a campaign's."""
    from prosper_ng.campaigns import kept_plan
    from prosper_ng.campaigns.file_kinds import kind_of_file
    from prosper_ng.errors import UserError
    from prosper_ng.storage import run_file

    if os.path.isdir(path):
        return os.path.exists(path / kept_plan.NAME) and not os.path.exists(path / run_file.NAME)
    if kind_of_file(path) == "run":
        raise UserError(f"{path} is the configuration of a run: name the folder of its results, such as runs/NAME")
    return path.suffix in (".yaml", ".yml")


def _write_run(folder: Path, output: Path | None) -> Path:
    from prosper_ng.report.page import NAME, write_page
    from prosper_ng.report.run_page import run_page
    from prosper_ng.storage.run_record import read_run

    record = read_run(folder)
    path = output or record.path.parent / NAME
    write_page(path, run_page(record))
    return path


def _write_campaign(plan: "CampaignPlan", output: Path | None, with_runs: bool, quiet: bool) -> list[str]:
    """The lines to print: where the page is, and what could not be shown of the runs."""
    from prosper_ng.commands.campaign.arguments import collected, run_states_now
    from prosper_ng.report.campaign_page import campaign_page
    from prosper_ng.report.page import NAME, write_page
    from prosper_ng.storage import run_file
    from prosper_ng.storage.run_record import RunFileError

    notes = []
    for run in plan.runs if with_runs else ():
        if os.path.exists(run.folder / run_file.NAME):
            try:
                _write_run(run.folder, None)
            except RunFileError as error:
                notes.append(str(error))
    path = output or plan.folder / NAME
    found = run_states_now(plan)
    write_page(path, campaign_page(plan, found, collected(plan, found, quiet), path))
    return [str(path), *notes]
