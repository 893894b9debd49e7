"""The manifest of a checkpoint: which files belong to it, and what they must be."""

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from prosper_ng import access
from prosper_ng.errors import UserError
from prosper_ng.storage import atomic

FORMAT_VERSION = 1
_NAME = re.compile(r"checkpoint-(\d{6,})\.json")
DATA_NAME = re.compile(r"checkpoint-(\d{6,})-[0-9a-f]{8}\.h5")
_LARGEST = 1 << 24
"""Bytes of a manifest: one of a thousand files has a hundredth of it."""


class CheckpointError(UserError):
    """A checkpoint exists and cannot be used, and passing over it would be wrong."""


class Damaged(Exception):
    """Why a checkpoint must be passed over."""


class DataFile(NamedTuple):
    """One file with rows start..stop of the arrays over rows."""

    name: str
    sha256: str
    n_bytes: int
    start: int
    stop: int

    def verify(self, folder: Path) -> None:
        """Compare the bytes on disk with the digest; raises Damaged, or CannotOpen."""
        path = folder / self.name
        n_bytes = _size(path)
        if n_bytes is None:
            raise Damaged(f"its file {self.name} is missing")
        # HDF5 marks a file that is open for writing in its first bytes, and takes the mark away in the end.
        with access.at_rest(path):
            if n_bytes != self.n_bytes:
                raise Damaged(f"its file {self.name} has {n_bytes} bytes, not {self.n_bytes}")
            with access.telling_from_damage(path):
                sha256 = atomic.sha256_of(path)
        if sha256 != self.sha256:
            raise Damaged(f"the bytes of its file {self.name} do not match their SHA-256")


class Manifest(NamedTuple):
    """All files of a checkpoint; the first one holds root's arrays as well as rows."""

    iteration: int
    n_rows: int
    files: list[DataFile]

    def write(self, folder: Path) -> None:
        """Bring the checkpoint into existence: its files are on disk and verified."""
        fields = {**self._asdict(), "files": [file._asdict() for file in self.files]}
        content = {"format_version": FORMAT_VERSION, **fields}
        atomic.write_json(folder / f"{stem(self.iteration)}.json", {**content, "digest": _digest(content)})


def stem(iteration: int) -> str:
    """What the names of all files of a checkpoint begin with."""
    return f"checkpoint-{iteration:06d}"


def iterations_in(folder: Path) -> list[int]:
    """The numbers of the checkpoints in a folder, newest first; CannotOpen where it is there and cannot be read."""
    mode = access.kind(folder)
    if mode is None:
        return []
    if not stat.S_ISDIR(mode):
        raise access.CannotOpen(f"{folder} is a file, not a folder")
    with access.telling_from_damage(folder):
        names = os.listdir(folder)
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def read(folder: Path, iteration: int) -> Manifest:
    """The manifest of a checkpoint; Damaged, CannotOpen, or CheckpointError where a newer version wrote it."""
    path = folder / f"{stem(iteration)}.json"
    content = _content(path)
    version = content.pop("format_version", None)
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format {version}, and this version of prosper_ng reads up to {FORMAT_VERSION}: "
            "update prosper_ng, or start in another folder"
        )
    try:
        found = Manifest(content["iteration"], content["n_rows"], [DataFile(**fields) for fields in content["files"]])
        makes_sense = _makes_sense(found)
    except (KeyError, TypeError) as error:
        raise Damaged("its manifest lacks an entry, or has one too many") from error
    if not makes_sense:
        raise Damaged("its manifest names files that are none of a checkpoint, or that do not make up all rows")
    if found.iteration != iteration:
        raise Damaged(f"its manifest belongs to iteration {found.iteration}")
    return found


def _makes_sense(found: Manifest) -> bool:
    """Whether the files lie in the folder itself and hold all rows, each row once."""
    row = 0
    for file in found.files:
        if not DATA_NAME.fullmatch(file.name) or file.start != row or file.stop < row:
            return False
        row = file.stop
    return bool(found.files) and row == found.n_rows


def _content(path: Path) -> dict[str, Any]:
    n_bytes = _size(path)
    if n_bytes is None or n_bytes > _LARGEST:
        raise Damaged("its manifest is no file, or far too large for one")
    with access.telling_from_damage(path):
        text = path.read_bytes()
    try:
        content = json.loads(text)
        digest = content.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Damaged("its manifest cannot be read") from error
    if digest != _digest(content):
        raise Damaged("its manifest was altered")
    return dict(content)


def _size(path: Path) -> int | None:
    """The bytes of a regular file, None where there is none; CannotOpen where that cannot be told."""
    mode = access.kind(path)
    return os.stat(path).st_size if mode is not None and stat.S_ISREG(mode) else None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
