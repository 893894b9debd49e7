"""`prosper-ng submit FILE`: hand a run, or the unfinished runs of a campaign, to Slurm."""

import argparse
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prosper_ng import plugins
from prosper_ng.commands._arguments import add_overrides, load_run_config, path_argument
from prosper_ng.commands._slurm_arguments import add_slurm_arguments, job_options, site_lines
from prosper_ng.commands.campaign.submit import add_parallel_argument, submit_campaign
from prosper_ng.paths import absolute

if TYPE_CHECKING:
    from prosper_ng.config import Loaded
    from prosper_ng.experiments.run_config import RunConfig

HELP = "submit a run, or the unfinished runs of a campaign, to Slurm; the jobs stop in time, restart and continue"

_LOOKS, _BETWEEN_LOOKS = 5, 0.3
"""How often, and with how many seconds between, the queue is asked what it makes of a job."""
_SCRIPT, _CONFIG, _JOB = "job.sbatch", "config.yaml", "job.json"
_SUBMITTED, _FROZEN = ", as it was submitted", ", which writes it anew"
"""What the first line of a configuration ends in that this program has written, here or for a campaign."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=path_argument, metavar="FILE", help="the YAML file of a run or campaign")
    add_overrides(parser, "change a value")
    parser.add_argument("--output", type=path_argument, metavar="FOLDER", help="the folder of the run or campaign")
    add_parallel_argument(parser)
    add_slurm_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """0 where the jobs were handed over, or nothing is left to do."""
    from prosper_ng.campaigns.file_kinds import kind_of_file

    if os.path.isdir(arguments.file) or kind_of_file(arguments.file) == "campaign":
        return submit_campaign(arguments)
    return _submit_run(arguments)


def _submit_run(arguments: argparse.Namespace) -> int:
    from prosper_ng.config import annotated_yaml
    from prosper_ng.errors import UserError
    from prosper_ng.slurm.script import single_script
    from prosper_ng.slurm.submission import submit
    from prosper_ng.storage import atomic

    if arguments.parallel is not None or arguments.runs_per_job > 1:
        name = "--parallel" if arguments.parallel is not None else "--runs-per-job"
        raise UserError(f"{name} is for campaigns, and {arguments.file} is one run")
    loaded = load_run_config(arguments)
    folder = absolute(arguments.output or loaded.value.folder)
    _require_folder(folder, loaded)
    options, config = job_options(arguments), folder / _CONFIG
    script = single_script(options, config, folder, plugins.arguments(), site_lines(arguments))
    if arguments.dry_run:
        print(script, end="")
        return 0
    if reason := _why_not(folder, loaded):
        print(reason)
        return 0
    with _leaving_nothing(folder), _writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        header = f"# {arguments.file}{_SUBMITTED}\n"
        atomic.write_text(config, header + annotated_yaml(loaded.resolved, loaded.origins) + "\n")
        atomic.write_text(folder / _SCRIPT, script)
        job = submit(folder / _SCRIPT)
        atomic.write_json(folder / _JOB, {"job": job})
    if not arguments.quiet:
        print(f"job {job}: {folder}, ranks: {options.n_ranks}; it prints to {folder / f'slurm-{job}.out'}")
        _warn(job)
    return 0


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    from prosper_ng.errors import UserError

    try:
        yield
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror})") from None


@contextlib.contextmanager
def _leaving_nothing(folder: Path) -> Iterator[None]:
    """Take back what was written, and the folders that were made for it, where a new run is refused."""
    from prosper_ng.slurm.submission import Refused

    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        yield
    except Refused:
        with contextlib.suppress(OSError):
            for name in (_CONFIG, _SCRIPT) if made else ():
                (folder / name).unlink(missing_ok=True)
            for each in made:
                each.rmdir()
        raise


def _require_folder(folder: Path, loaded: "Loaded[RunConfig]") -> None:
    """Raise UserError where something of a person's own would be replaced."""
    from prosper_ng.errors import UserError
    from prosper_ng.experiments.run import files_read_by
    from prosper_ng.storage.own_files import require_run_folder

    require_run_folder(folder, files_read_by(loaded))
    try:
        first = (folder / _CONFIG).read_bytes().partition(b"\n")[0].decode("utf-8", "replace")
    except OSError:
        return
    if not first.endswith((_SUBMITTED, _FROZEN)):
        raise UserError(
            f"{folder / _CONFIG} is a configuration of your own, and submitting would replace it; give it another "
            "name, or choose another folder"
        )


def _why_not(folder: Path, loaded: "Loaded[RunConfig]") -> str | None:
    """Why there is nothing to submit. Raises UserError where the run is in the queue."""
    from prosper_ng.errors import UserError
    from prosper_ng.slurm.queue import queue
    from prosper_ng.storage.status import read_status

    status = read_status(folder)
    if (
        status is not None
        and status.state == "finished"
        and (status.n_iterations or 0) >= loaded.value.training.all_sweeps
    ):
        return f"nothing to submit: {folder} is finished ({status.reason})"
    try:
        before = str(json.loads((folder / _JOB).read_bytes())["job"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    known = queue().get(before)
    if known is not None:
        raise UserError(
            f"{folder} is in the queue as job {before} ({known.state}, {known.reason}); scancel {before} takes it out"
        )
    return None


def _warn(job: str) -> None:
    """Say why a job that was taken will not run as it is, where Slurm knows so within a moment."""
    import time

    from prosper_ng.slurm.queue import queue
    from prosper_ng.slurm.submission import hopeless

    for _ in range(_LOOKS):
        known = queue().get(job)
        if known is None or known.state != "PENDING" or known.reason != "None":
            break
        time.sleep(_BETWEEN_LOOKS)
    if known is not None and hopeless(known.reason):
        print(f"it will not run: Slurm says {known.reason}; scancel {job}, and ask for less or another partition")
