"""The files that a `path` names: one, several, or those that a pattern fits."""

import glob
import os
import re
from collections import Counter
from collections.abc import Sequence

from prosper_ng.data.dataset import DataError
from prosper_ng.paths import path_of


def files_named(path: str | Sequence[str]) -> list[str]:
    """The files in the order in which their rows follow each other; those of a pattern by name, numbers by value.

    A file whose own name looks like a pattern is that file. Raises DataError where none is named.
    """
    if isinstance(path, str):
        return _fitting(path)
    if not path:
        raise DataError("path is an empty list; name at least one file")
    return [file for each in path for file in _fitting(each)]


def doubts_about(files: Sequence[str], field: str = "path") -> tuple[str, ...]:
    """A sentence on files that a field names more than once."""
    times = Counter(os.path.realpath(path_of(file)) for file in files)
    twice = [file for file, n_times in times.items() if n_times > 1]
    if not twice:
        return ()
    others = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
    return (f"{twice[0]}{others} is named {times[twice[0]]} times by {field}: its rows count as often",)


def _fitting(pattern: str) -> list[str]:
    if not glob.has_magic(pattern) or os.path.lexists(path_of(pattern)):
        return [pattern]
    found = [file for file in glob.glob(str(path_of(pattern)), recursive=True) if not os.path.isdir(file)]
    if not found:
        raise DataError(f"{pattern}: no file has a name like this, seen from {os.getcwd()}")
    return sorted(found, key=_natural)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts part2 before part10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
