"""`prosper-ng campaign submit FILE`: hand what is unfinished to Slurm, as arrays of jobs."""

import argparse
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prosper_ng.commands._learned import positive
from prosper_ng.commands._slurm_arguments import add_slurm_arguments, job_options, site_lines
from prosper_ng.commands.campaign.arguments import add_campaign_arguments, counts, load_campaign

if TYPE_CHECKING:
    from prosper_ng.campaigns.arrays import Array
    from prosper_ng.campaigns.plan import CampaignPlan
    from prosper_ng.slurm.options import JobOptions
    from prosper_ng.slurm.queue import QueuedJob

HELP = "submit the unfinished runs to Slurm as job arrays; run it again to submit what is still unfinished"

_WITHOUT_SLURM = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_campaign_arguments(parser)
    add_parallel_argument(parser)
    add_slurm_arguments(parser)


def add_parallel_argument(parser: argparse.ArgumentParser) -> None:
    """Add --parallel."""
    parser.add_argument("--parallel", type=positive, metavar="N", help="run at most N runs of a campaign at once")
    parser.add_argument(
        "--runs-per-job",
        type=positive,
        default=1,
        metavar="N",
        help="give each job N small runs of a campaign, which share its --cpus-per-task, a CPU each",
    )


def run(arguments: argparse.Namespace) -> int:
    """0 where the jobs were handed over, or nothing is left to do."""
    return submit_campaign(arguments)


def submit_campaign(arguments: argparse.Namespace) -> int:
    """Submit the runs that are neither finished nor running nor in the queue."""
    from prosper_ng.campaigns.arrays import cut, submit_arrays
    from prosper_ng.campaigns.run_state import TO_DO, other_data, other_versions, run_states
    from prosper_ng.slurm.submission import largest_array

    plan = load_campaign(arguments)
    options = job_options(arguments, max((each.n_ranks for each in plan.runs), default=1))
    n_parallel = _jobs_at_once(arguments, options)
    found = run_states(plan, _queue(arguments.dry_run))
    todo = [each for each, run_state in zip(plan.runs, found, strict=True) if run_state.state in TO_DO]
    if not todo:
        print(f"{plan.name}: nothing to submit; {len(plan.runs)} runs in {plan.folder}: {counts(found)}")
        return 0
    if arguments.dry_run:
        arrays = cut(todo, _largest_or_guess(), n_parallel, arguments.runs_per_job)
        _show(plan, arrays, options, site_lines(arguments))
        return 0
    for warning in (other_versions(found), other_data(found)):
        if warning is not None:
            print(f"warning: {warning}", file=sys.stderr)
    arrays = cut(todo, largest_array(), n_parallel, arguments.runs_per_job)
    for array, job in submit_arrays(plan, arrays, options, site_lines(arguments)):
        if not arguments.quiet:
            print(
                f"job {job}, tasks {array.tasks}: runs: {len(array.runs)}, ranks of each: {options.n_ranks}", flush=True
            )
    if not arguments.quiet:
        print(
            f"{plan.name}: {len(todo)} of {len(plan.runs)} runs were submitted; "
            f"prosper-ng campaign status {shlex.quote(str(plan.folder))}"
        )
    return 0


def _jobs_at_once(arguments: argparse.Namespace, options: "JobOptions") -> int | None:
    """How many jobs may run at once; None for any number. Raises UserError where runs cannot be packed as asked for."""
    from prosper_ng.errors import UserError

    if arguments.runs_per_job == 1 or (arguments.parallel is None and options.n_ranks == 1):
        n_parallel: int | None = arguments.parallel
        return n_parallel
    if options.n_ranks > 1:
        raise UserError(
            f"--runs-per-job is for runs of one rank on one node, and these have {options.n_ranks} ranks; "
            "--cpus-per-task says how many of them go on side by side in a job"
        )
    at_once = min(options.cpus_per_task, arguments.runs_per_job)
    if arguments.parallel < at_once:
        raise UserError(
            f"--parallel {arguments.parallel} allows fewer runs at once than the {at_once} of one job; lower "
            "--cpus-per-task"
        )
    return int(arguments.parallel // at_once)


def _queue(is_only_shown: bool) -> "Mapping[str, QueuedJob]":
    """The jobs that Slurm knows. Raises SlurmError where it does not answer, unless nothing is to be submitted."""
    from prosper_ng.slurm.queue import queue
    from prosper_ng.slurm.submission import SlurmError

    try:
        return queue()
    except SlurmError as error:
        if not is_only_shown:
            raise
        print(f"# jobs that wait are not known, and would be left out: {error}")
        return {}


def _largest_or_guess() -> int:
    """How large arrays may be; what Slurm comes with where there is none to ask."""
    from prosper_ng.slurm.submission import SlurmError, largest_array

    try:
        return largest_array()
    except SlurmError:
        return _WITHOUT_SLURM


def _show(plan: "CampaignPlan", arrays: "list[Array]", options: "JobOptions", site: str | None) -> None:
    """Print the script of the first array, and how each would be submitted."""
    from prosper_ng.campaigns.arrays import files_of

    print(files_of(plan, arrays[0], options, site).script_text)
    for place, array in enumerate(arrays):
        waits = "" if array.after is None else f" --dependency=afterany:(job of array {array.after + 1})"
        script = files_of(plan, array, options, site).script
        print(f"# array {place + 1} of {len(arrays)}: sbatch --array={array.tasks}{waits} {script}")
