"""The pictures that a person names: files, folders and patterns of them, images of scikit-image."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prosper_ng.data.dataset import DataError
from prosper_ng.data.picture_files import is_picture
from prosper_ng.data.sources._files import existing_file
from prosper_ng.data.sources._named_files import doubts_about, files_named
from prosper_ng.errors import listed
from prosper_ng.paths import path_of

SHOWN = 3
"""So many names of several are told."""


class Named(NamedTuple):
    """Pictures by the names of their files, or in scikit-image."""

    names: list[str]
    notes: tuple[str, ...] = ()
    """What was left out, for the log."""
    doubts: tuple[str, ...] = ()


def pictures_named(image: str | Sequence[str]) -> Named:
    """The pictures in the order in which they are named; those of a folder or pattern by name, numbers by value.

    Hidden files of a folder do not count; what is no picture, by its name and its first bytes, is left out.
    Raises DataError where none is named.
    """
    if not image:
        raise DataError("image is an empty list; name at least one picture")
    names: list[str] = []
    left_out: list[str] = []
    for each in [image] if isinstance(image, str) else image:
        if not _names_several(each):
            names.append(each)
            continue
        is_folder = path_of(each).is_dir()
        files = _in_folder(path_of(each)) if is_folder else files_named(each)
        pictures = [file for file in files if is_picture(Path(file))]
        if not pictures:
            what = "no pictures" if files else "no files"
            hint = f"; {Path(each) / '**/*'} names those in its subfolders" if is_folder else ""
            raise DataError(f"{each} has {what}{hint}")
        names += pictures
        left_out += sorted(set(files) - set(pictures))
    notes = [f"{len(names)} pictures: {listed(names, SHOWN)}"] if len(names) > 1 else []
    notes += [f"left out, as no pictures: {listed(left_out, SHOWN)}"] if left_out else []
    return Named(names, tuple(notes), doubts_about([name for name in names if Path(name).suffix], "image"))


def _names_several(name: str) -> bool:
    """Whether it is a folder, or a pattern and no file."""
    if path_of(name).is_dir():
        return True
    return glob.has_magic(name) and not path_of(name).exists()


def _in_folder(folder: Path) -> list[str]:
    """Its files by name but for hidden ones; DataError where it cannot be read or holds something else as a whole."""
    if any((folder / name).exists() for name in (".zarray", ".zgroup", "zarr.json")):
        existing_file(str(folder))  # says what it is
    try:
        return files_named(f"{glob.escape(str(folder))}/*")
    except DataError:
        return []
