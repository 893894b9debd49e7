"""Files of this program and files of a person: what is read is never replaced, a person's own folder never used."""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Any

from prosper_ng.errors import UserError
from prosper_ng.paths import path_of, same_file
from prosper_ng.storage.status import StatusError, read_status

PICTURES = ("curves.png", "dictionary.png", "recovery.png", "comparison.png")
WRITTEN = ("run.h5", "run.h5.bad", "run.lock", "status.json", "log.txt", "checkpoints/*", *PICTURES)
"""What a run writes into its folder."""
_SIGNS = ("run.h5", "run.h5.bad", "run.lock", "checkpoints/checkpoint-*")
"""What nobody but a run leaves in a folder."""
_BESIDE = (
    "checkpoints", "config.yaml", "inference.h5", "job.json", "job.sbatch", "output.txt", "report.html", "restarts.txt",
    "slurm-*.out", "stop", "checkpoint", ".*.tmp", "*.yaml", "*.yml",
)  # fmt: skip
"""What may lie in the folder of a run before it begins, or remain of one; its configuration, whatever it is called."""
_OF_CAMPAIGNS = (
    "plan.json", "runs", "submissions", "logs", "set-aside", "runs.csv", "points.csv", "table.h5", "figures",
    "report.html", ".*.tmp", "*.yaml", "*.yml",
)  # fmt: skip
_OF_NOBODY = (
    ".gitkeep", ".gitignore", ".keep", ".DS_Store", "._*", ".nfs*", ".directory", ".ipynb_checkpoints", ".snapshot",
    "Thumbs.db", "desktop.ini", "lost+found",
)  # fmt: skip
"""What file systems and file managers put into folders."""
_MOST_NAMES, _MOST_FILES = 3, 100_000


def files_named_in(settings: Any) -> Iterator[Path]:
    """The files that settings name, as paths, patterns of paths, or lists of them; other texts name none."""
    if isinstance(settings, str):
        try:
            path = path_of(settings)
        except UserError:
            return
        if os.path.isfile(path):
            yield path
        elif glob.has_magic(settings):
            yield from map(Path, islice(glob.iglob(str(path), recursive=True), _MOST_FILES))
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from files_named_in(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from files_named_in(value)


def files_of_run(path: Path) -> Iterator[Path]:
    """What a run has written about itself, by its folder; or the file, where it is one."""
    if not os.path.isdir(path):
        yield path
        path = path.parent
    if _is_run(path):
        for pattern in WRITTEN:
            yield from path.glob(pattern)


def require_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raise UserError where a file to be written is one of those that are read, through whatever links."""
    if not os.path.exists(path):
        return
    for each in inputs:
        if same_file(path, each):
            also = "" if str(path) == str(each) else f" is the same file as {each}, which"
            raise UserError(
                f"{path}{also} belongs to what is read here, and is never replaced, not even with --force; choose "
                "another output"
            )


def require_run_folder(folder: Path, inputs: Iterable[Path]) -> None:
    """Raise UserError where a run in this folder would write over what it reads, or into a person's own folder."""
    _require_own(folder, _is_run(folder), (*WRITTEN, *_BESIDE), "run")
    written = [path for pattern in WRITTEN for path in (folder.glob(pattern) if os.path.isdir(folder) else ())]
    if not written:
        return
    for each in inputs:
        for path in written:
            if same_file(path, each):
                raise UserError(
                    f"the run reads {each} and would replace it, since its folder is {folder}; choose another folder "
                    "for the run"
                )


def require_campaign_folder(folder: Path) -> None:
    """Raise UserError where a folder is neither empty nor that of a campaign."""
    _require_own(folder, os.path.isfile(folder / "plan.json"), _OF_CAMPAIGNS, "campaign")


def _is_run(folder: Path) -> bool:
    """Whether a folder holds what nobody but a run leaves behind."""
    if any(any(folder.glob(pattern)) for pattern in _SIGNS):
        return True
    try:
        return read_status(folder) is not None
    except StatusError:
        return False


def _require_own(folder: Path, is_own: bool, known: tuple[str, ...], what: str) -> None:
    if is_own:
        return
    try:
        names = sorted(os.listdir(folder))
    except (OSError, ValueError):
        return  # there is none, or what is wrong with it is said where it is used
    strangers = [name for name in names if not any(fnmatch(name, pattern) for pattern in (*known, *_OF_NOBODY))]
    if strangers:
        shown = ", ".join(strangers[:_MOST_NAMES]) + (", …" if len(strangers) > _MOST_NAMES else "")
        raise UserError(
            f"the folder {folder} is not empty and holds no {what}, but {shown}; choose a new folder for the {what}, "
            "or an empty one"
        )
