"""The text of job scripts: one template, `job.sbatch`, for one run or an array of them, generated or by hand."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from prosper_ng.errors import UserError
from prosper_ng.paths import absolute
from prosper_ng.slurm.options import JobOptions

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_HAND_OPTIONS = JobOptions(ntasks_per_node=4, time="04:00:00")
_HAND_SITE = """\
# --- This site, to be edited: what makes `python` the one that prosper_ng is installed for, and finds the MPI library.
# module load python openmpi
# source .venv/bin/activate
# export MPI4PY_LIBMPI=libmpi.so
# export PROSPER_NG_LAUNCHER='srun --mpi=pmix'  # if you know better than the trial below
python=python  # or several words: (apptainer exec image.sif python)
# stopped=0  # where jobs wait for this one by afterok, also when it was stopped with a checkpoint (75)
# ---"""
_SINGLE_BY_HAND = """\
unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID  # of a job that this one was submitted from
config=${1:?usage: sbatch jobs/train.sbatch CONFIG [FOLDER [ARGUMENTS of prosper-ng run]]}
folder=${2:-runs/$(basename "$config" .yaml)}
arguments=("${@:3}")"""
_ONE_RUN = """\
restarts=$folder/restarts.txt
command=(run "$config" --output "$folder" --ranks "$ranks" "${arguments[@]}")"""
_NEWEST_OF_ONE = """\
for each in "$folder"/checkpoints/checkpoint-*.json; do
    [ ! -e "$each" ] || newest=${each##*/}
done"""
_TASK = """\
line=$((${SLURM_ARRAY_TASK_ID:?this script is for arrays, as of sbatch --array=0-9} + 1))
# The last line may lack its end, and lines of Windows have one more letter there.
IFS=$'\\t' read -r config folder < <(sed -n "$line{s/\\r\\$//;p;}" "$tasks") || true
[ -n "$config" ] || { echo "$tasks has no configuration in line $line"; exit 1; }
folder=${folder:-runs/$(basename "$config" .yaml)}"""
_PACK = """\
line=$((${SLURM_ARRAY_TASK_ID:?this script is for arrays, as of sbatch --array=0-9} + 1))
IFS=$'\\t' read -r -a ids < <(sed -n "${line}p" "$tasks") || true
[ ${#ids[@]} -gt 0 ] || { echo "$tasks has no runs in line $line"; exit 1; }
# Runs of one rank with one thread, as many side by side as there are CPUs.
export PROSPER_NG_THREADS=1
restarts=${tasks%.tsv}-restarts.txt
command=(campaign run "$folder" --cores "${SLURM_CPUS_PER_TASK:-1}" "${arguments[@]}" --only "${ids[@]}")"""
_NEWEST_OF_PACK = """\
for each in "${ids[@]/#/$folder/runs/}"; do
    newest+=" $(cd "$each" && { ls checkpoints; grep '"state": "finished"' status.json; } 2>/dev/null || true)"
done
newest=state-$(cksum <<<"$newest" | cut -d' ' -f1)  # of its runs, as a checksum"""
_NO_ARGUMENTS = "arguments=()"
_ARRAY_BY_HAND = """\
tasks=${1:?usage: sbatch --array=0-9%4 jobs/campaign.sbatch TASKS}
# Line n of this file is task n - 1: the file of a configuration and, after a tab, its run folder.
"""


def single_script(
    options: JobOptions, config: Path, folder: Path, arguments: Sequence[str], site: str | None = None
) -> str:
    """The script of one run in `folder`, with further arguments of `prosper-ng run`.

    `site` are lines of shell that make the MPI library available, or another `python` than this one; where one of them
    fails the job ends.
    """
    task = "\n".join(
        [
            "unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID",
            f"config={shlex.quote(str(config))}",
            f"folder={shlex.quote(str(folder))}",
            f"arguments=({shlex.join(arguments)})",
        ]
    )
    purpose = "# One run; written by prosper-ng submit. Submitted again, it continues: sbatch " + shlex.quote(
        str(folder / "job.sbatch")
    )
    present = absolute(Path())
    _require_lines(config, folder, present, *arguments)
    log = f"{_escaped(folder)}/slurm-%j.out"
    directives = _directives(options, _job_name(folder), log, present)
    return _filled(purpose, directives, _site(site, options), f"{task}\n{_ONE_RUN}")


def array_script(
    options: JobOptions,
    name: str,
    tasks: Path,
    logs: Path,
    arguments: Sequence[str] = (),
    site: str | None = None,
    campaign: Path | None = None,
) -> str:
    """The script of an array of runs; task n is line n, counted from 0, of the file `tasks` (see `task_map`).

    All of them have these further arguments of `prosper-ng run`. With the folder of a campaign, a task is many runs of
    it, by their ids (see `pack_map`).
    """
    purpose = f"# Runs of the campaign {name}; written by prosper-ng campaign submit."
    present = absolute(Path())
    _require_lines(name, tasks, logs, present, *arguments, *([] if campaign is None else [campaign]))
    directives = _directives(options, name, f"{_escaped(logs)}/slurm-%A_%a.out", present)
    given = f"tasks={shlex.quote(str(tasks))}\narguments=({shlex.join(arguments)})"
    if campaign is None:
        return _filled(purpose, directives, _site(site, options), f"{given}\n{_TASK}\n{_ONE_RUN}")
    given += f"\nfolder={shlex.quote(str(campaign))}"
    return _filled(purpose, directives, _site(site, options), f"{given}\n{_PACK}", _NEWEST_OF_PACK)


def task_map(runs: Sequence[tuple[Path, Path]]) -> str:
    """The file that says which configuration and run folder each task of an array has.

    Raises UserError where a path holds what separates paths there.
    """
    _require_lines(*{path for run in runs for path in run})
    return "".join(f"{config}\t{folder}\n" for config, folder in runs)


def pack_map(ids: Sequence[str], runs_per_job: int) -> str:
    """The file that says which runs of a campaign each task of an array has."""
    packs = [ids[start : start + runs_per_job] for start in range(0, len(ids), runs_per_job)]
    return "".join("\t".join(pack) + "\n" for pack in packs)


def scripts_by_hand() -> dict[str, str]:
    """The scripts of the folder `jobs`, by name: to be edited and submitted without this program's help."""
    train = "# One run that stops in time and starts again until it is done: sbatch jobs/train.sbatch CONFIG [FOLDER]"
    campaign = "# As jobs/train.sbatch, for many runs: sbatch --array=0-9%4 jobs/campaign.sbatch TASKS"
    single = _directives(_HAND_OPTIONS, "prosper-ng", "slurm-%j.out")
    array = _directives(_HAND_OPTIONS, "prosper-ng", "slurm-%A_%a.out")
    return {
        "train.sbatch": _filled(train, single, _HAND_SITE, f"{_SINGLE_BY_HAND}\n{_ONE_RUN}"),
        "campaign.sbatch": _filled(
            campaign, array, _HAND_SITE, f"{_ARRAY_BY_HAND}{_TASK}\n{_NO_ARGUMENTS}\n{_ONE_RUN}"
        ),
    }


def _filled(purpose: str, options: str, site: str, task: str, newest: str = _NEWEST_OF_ONE) -> str:
    """The template with the text for each line `#@ NAME`."""
    text = files(__package__).joinpath("job.sbatch").read_text(encoding="utf-8")
    for name, part in {"purpose": purpose, "options": options, "site": site, "task": task, "newest": newest}.items():
        text = text.replace(f"#@ {name}\n", f"{part}\n")
    return text


def _directives(options: JobOptions, name: str, log: str, folder: Path | None = None) -> str:
    """The lines `#SBATCH`."""
    wanted: list[tuple[str, str | None]] = [
        ("job-name", name),
        ("nodes", str(options.nodes)),
        ("ntasks-per-node", str(options.ntasks_per_node)),
        ("cpus-per-task", str(options.cpus_per_task)),
        ("time", options.time),
        ("signal", f"B:USR1@{options.warning_seconds}"),
        ("requeue", ""),
        ("open-mode", "append"),
        ("output", log),
        ("chdir", None if folder is None else str(folder)),
    ]
    lines = [f"#SBATCH --{key}={_quoted(value)}".removesuffix("=") for key, value in wanted if value is not None]
    return "\n".join(lines + [f"#SBATCH --{key}" + _given(value) for key, value in options.others])


def _given(value: str | None) -> str:
    return "" if value is None else f"={_quoted(value)}"


def _quoted(value: str) -> str:
    """A value as sbatch reads it in a script: blanks end it, and # begins a comment, unless in quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return value if escaped == value and not set(value) & set(" \t#'") else f'"{escaped}"'


def _escaped(path: Path) -> str:
    """A path in a pattern for the names of logs."""
    return str(path).replace("%", "%%")


def _require_lines(*parts: Path | str) -> None:
    """Raise UserError where what is written into a script would begin a line of its own, or is no text."""
    for part in parts:
        found = _NO_TEXT.search(str(part))
        if found is not None:
            raise UserError(
                f"{str(part)!r} holds the character {found[0]!a}, which no line of a job script can hold; choose "
                "another name or folder"
            )


def _job_name(folder: Path) -> str:
    return folder.name or "prosper-ng"


def _site(lines: str | None, options: JobOptions, environment: Mapping[str, str] = os.environ) -> str:
    """What makes this program and its MPI library those of the moment of submission; given lines have the last word."""
    library = environment.get("MPI4PY_LIBMPI")
    launcher = environment.get("PROSPER_NG_LAUNCHER")
    return "\n".join(
        [
            "# --- This site, as it was when the job was submitted.",
            "unset MPI4PY_LIBMPI" if library is None else f"export MPI4PY_LIBMPI={shlex.quote(library)}",
            *([] if launcher is None else [f"export PROSPER_NG_LAUNCHER={shlex.quote(launcher)}"]),
            f"python={shlex.quote(sys.executable)}",
            *(["stopped=0"] if options.stopped_ok else []),
            *([] if lines is None else [lines.rstrip("\n")]),
            "# ---",
        ]
    )
