"""What a campaign of small runs spends its processor time on, and how long it takes to look at 10,000 runs and
to collect them.

The same runs, one after another, each started by itself and each forked from the campaign's server, with compiled
kernels at hand. The time of sweeps is what the runs say.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from multiprocessing import forkserver
from pathlib import Path

from prosper_ng.environment import prepare_environment

prepare_environment()

from prosper_ng.campaigns.local import run_side_by_side, stop_requests
from prosper_ng.campaigns.plan import CampaignPlan, command_of, freeze, keep, load_plan
from prosper_ng.campaigns.results import collect
from prosper_ng.campaigns.run_state import run_states
from prosper_ng.commands.campaign.run import NEEDED_BY_ALL
from prosper_ng.report.campaign_progress import CampaignProgress
from prosper_ng.storage.status import read_status

BASE = Path(__file__).parents[2] / "configs" / "runs" / "bars-bsc.yaml"
MANY = 10_000


def planned(folder: Path, name: str, repeats: int) -> CampaignPlan:
    file = folder / f"{name}.yaml"
    few = "fixed: {data.n_rows: 200, training.n_sweeps: 20}"
    file.write_text(f"name: {name}\nbase: {BASE}\n{few}\nrepeats: {repeats}\n", encoding="utf-8")
    return load_plan(file, folder=folder / name)


def by_themselves(plan: CampaignPlan) -> float:
    """Seconds of processor time a run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for run in plan.runs:
        freeze(run)
        subprocess.run(command_of(run), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / len(plan.runs)


def by_a_server(plan: CampaignPlan) -> tuple[float, float]:
    """Seconds of processor time a run, and of the server itself."""
    progress = CampaignProgress(len(plan.runs), 0, quiet=True)
    with stop_requests() as stop:
        run_side_by_side(plan, plan.runs, 1, progress, stop, NEEDED_BY_ALL)
    # The server has waited for its runs, so the system counts their time as that of its children.
    numbers = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    own, children = (sum(map(int, numbers[place : place + 2])) / ticks for place in (11, 13))
    return children / len(plan.runs), own


def looks(folder: Path, record: Path) -> dict[str, float]:
    """Seconds of processor time of actions on many finished runs, all of which have the same run.h5."""
    plan = planned(folder, "many", MANY)
    keep(plan)
    status = read_status(record.parent)
    assert status is not None
    for run in plan.runs:
        run.folder.mkdir(parents=True)
        (run.folder / "status.json").write_text(json.dumps(asdict(status)), encoding="utf-8")
        os.link(record, run.folder / record.name)
    seconds = {action: action_on(plan, action) for action in ("status", "collect")}
    for run in plan.runs:
        earlier = json.dumps(asdict(replace(status, numbers=None)))
        (run.folder / "status.json").write_text(earlier, encoding="utf-8")
    return seconds | {"collect, numbers not in status.json": action_on(plan, "collect")}


def action_on(plan: CampaignPlan, action: str) -> float:
    """Seconds of processor time of an action on a campaign."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "prosper_ng", "campaign", action, str(plan.path), "--output", str(plan.folder)]
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="runs of each kind (default: %(default)s)")
    n_runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_themselves(planned(folder, "warm", 1))
        alone, served = planned(folder, "alone", n_runs), planned(folder, "served", n_runs)
        started = by_themselves(alone)
        forked, server = by_a_server(served)
        elapsed = collect(served, run_states(served, {})).columns["elapsed"].mean()
        rows = {
            "a run started by itself": started,
            "a run forked from the server": forked,
            "of which its sweeps": elapsed,
            "the server, once": server,
        }
        seconds = looks(folder, alone.runs[0].folder / "run.h5")
        rows |= {f"campaign {action}, {MANY:,} runs": spent for action, spent in seconds.items()}
    print("| | seconds |\n| --- | --- |")
    for label, seconds in rows.items():
        print(f"| {label} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
