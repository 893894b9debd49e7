"""Files that a user named: found, or a sentence that says what there is instead."""

import difflib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from prosper_ng import access
from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._file_kinds import N_BYTES, folder_format, other_format, stand_in
from prosper_ng.errors import listed
from prosper_ng.paths import path_of


def existing_file(path: str, *formats: str) -> Path:
    """The regular file at `path`; raises DataError where there is none that can be read, or it stands in for another.

    Where `formats` are given, it is also refused where it is plainly of another one; see `_file_kinds`.
    """
    file = path_of(path)
    try:
        mode = access.kind(file)
        if mode is None:
            raise DataError(f"{file}: no such file{_alternative(file)}")
        if stat.S_ISDIR(mode):
            raise DataError(f"{file} is {folder_format(file) or 'a folder; give the path of a file'}")
        if not stat.S_ISREG(mode):
            raise DataError(f"{file} is not a regular file")
        with file.open("rb") as stream:
            _require_format(file, stream.read(N_BYTES), formats)
    except DataError:
        raise
    except (OSError, ValueError) as error:
        reason = (
            access.cannot_open(error, file) or f"{file} cannot be read: {getattr(error, 'strerror', None) or error}"
        )
        raise DataError(f"{reason}{_fetched(file)}") from error
    return file


def _require_format(file: Path, start: bytes, formats: tuple[str, ...]) -> None:
    """Raise DataError where a file that begins so is empty, stands in for another, or is of none of the formats."""
    if not start:
        raise DataError(f"{file} is empty")
    if (sentence := stand_in(start, file)) is not None:
        raise DataError(sentence)
    other = other_format(start, formats) if formats else None
    if other is not None:
        raise DataError(f"{file} is not a file of kind {formats[0]} but {other}")


def _fetched(file: Path) -> str:
    """How to bring a file that git-annex has only a link to."""
    is_annexed = os.path.islink(file) and ".git/annex/objects/" in os.readlink(file)
    return f"; `git annex get {file}` brings it" if is_annexed else ""


def missing(what: str, name: str, where: Path, names: Iterable[str]) -> DataError:
    """The error that `where` holds no `what` of that name: with the nearest name, and all there are."""
    there = sorted(names)
    near = difflib.get_close_matches(name, there, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    shown = listed([f"'{one}'" for one in there], 20)
    return DataError(f"{where} has no {what} '{name}'{hint} (it has {shown or 'none'})")


def unreadable(where: object, expected: str, error: Exception) -> DataError:
    """The error that a file cannot be opened just now, or is damaged or of another format.

    With the first line of what its library said.
    """
    if (found := access.cannot_open(error, where)) is not None:
        return DataError(str(found))
    reason = str(error).strip().splitlines()
    return DataError(f"{where} is not {expected}, or is damaged ({reason[0] if reason else type(error).__name__})")


def _alternative(file: Path) -> str:
    """The nearest name in the same folder, or that there is no such folder."""
    if not file.parent.is_dir():
        return f" (there is no folder {file.parent})"
    near = difflib.get_close_matches(file.name, [entry.name for entry in file.parent.iterdir()], n=1)
    return f"; did you mean {file.parent / near[0]}?" if near else ""
