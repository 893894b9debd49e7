"""Files that are whole or absent, whatever happens while they are written."""

import contextlib
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SUFFIX = ".tmp"
_KEPT_BYTES = 200
"""Of a name in the name of the temporary file that is to take its place."""
_FOLDERS_THAT_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`; what the body leaves there takes the place of `path` at its end.

    The body syncs the file. An exception in it removes the temporary file and leaves `path` as it was.
    """
    with beside(path) as temporary:
        yield temporary
        temporary.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`; what lies there at the end is removed."""
    # A name may be as long as names can be, and the temporary one is longer.
    name = os.fsencode(path.name)[:_KEPT_BYTES].decode("utf-8", "ignore")
    temporary = path.with_name(f".{name}.{uuid.uuid4().hex[:12]}{_SUFFIX}")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace the file by this text; of the names of files, bytes that are no text become escapes."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file by this mapping as strict JSON; ValueError where it holds NaN or infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def remove_leftovers(folder: Path, spared: str | None = None) -> None:
    """Remove temporary files of writers that were killed; only for the one process that may write in the folder.

    Those of the file `spared` stay.
    """
    for leftover in folder.glob(f".*{_SUFFIX}"):
        if spared is None or not leftover.name.startswith(f".{spared}."):
            leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _FOLDERS_THAT_CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def drop_cached_pages(path: Path) -> None:
    """Ask the system to forget its copy of a synced file, so that the next reader sees the disk."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as stream, contextlib.suppress(OSError):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
