"""Where compiled kernels are kept: in folders that belong to exactly the sources they were made from.

numba compiles a kernel anew when its own file has changed, not when a kernel that it calls has: with one folder for all
versions of the sources it would run stale code.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from uuid import uuid4

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.kernel_sources import kernel_sources, module_texts, modules_of_files, package_of
from prosper_ng.paths import can_be_made, in_home, path_of, temporary_folder

PACKAGE = Path(__file__).parent
_UNUSED_FOR_DAYS = 30
_A_DAY = 86400.0
_SETTLED = 2.0
"""Seconds after which another change of a file has another time of change, on about every file system."""


class Places(NamedTuple):
    """Folders of compiled kernels."""

    read: tuple[Path, ...] = ()
    """Where they may be."""
    write: Path | None = None
    """Where new ones are kept; None where nothing is, since the sources are not known or no folder can be written."""

    def below(self, name: str) -> "Places":
        """The folders of this name in them."""
        return Places(tuple(folder / name for folder in self.read), None if self.write is None else self.write / name)


_adopted: list[Places] = []


@cache
def places() -> Places:
    """Those of the kernels of this package: those adopted, else found when the first kernel is called."""
    return _adopted[-1] if _adopted else find()


def adopt(found: Places) -> None:
    """Use from now on what another process has found for the same sources, unless this one was faster."""
    _adopted.append(found)


def find(is_root: bool = True, since: float | None = None) -> Places:
    """Where the kernels of this package are kept; who is not root leaves no marks there that root would leave.

    The earliest of the processes that they are for was imported at `since`, else this one is meant.

    They are in the folder that NUMBA_CACHE_DIR names, else in the user's cache, else in a private temporary folder.
    Where one cannot be written to, as in an image, its kernels are used all the same.
    """
    name = _key(is_root, since)
    if name is None:
        return Places()
    read: list[Path] = []
    for base, is_own in _bases():
        read.append(base / name)
        if _is_ready(base, name, is_own, is_root):
            return Places(tuple(read), read[-1])
    return Places(tuple(read))


def nearby(found: Places) -> Places:
    """The same places, the first of them a copy on a disk of this host, where what is found is on another disk.

    Many processes of a host that read from there spare a file system that all hosts share.
    """
    folder = found.write
    with suppress(OSError, UserError):
        base = temporary_folder() / "copies"
        if folder is None or base.parent.stat().st_dev == folder.stat().st_dev:
            return found
        copy = base / folder.name
        if _is_ready(base, folder.name, is_own=True):
            kept = {entry.name for entry in os.scandir(copy)}
            for entry in os.scandir(folder):
                if entry.name.endswith(".nbc") and entry.name not in kept:
                    put(copy / entry.name, Path(entry.path).read_bytes())
            return found._replace(read=(copy, *found.read))
    return found


def identity() -> str:
    """What tells the package that this process runs from one of other files, at the cost of a single look."""
    return _digest([os.uname().nodename, str(PACKAGE), *_facts(PACKAGE.stat()), *_facts((PACKAGE / "cli.py").stat())])


def is_of_package(file: str) -> bool:
    """Whether a file is one of this package."""
    return file.startswith(f"{PACKAGE}{os.sep}")


def places_of(module: str, file: str) -> Places:
    """Those of the kernels of a module, whose code came from a file.

    The kernels of other modules than this package's are kept under a digest of all that they may use.
    """
    if is_of_package(file):
        return places()
    digest = _digest_around(module, file)
    return Places() if digest is None else places_apart(digest)


def places_apart(digest: str) -> Places:
    """Those of kernels from outside, made from sources with this digest."""
    return places().below(f"plug-in-{digest[:16]}")


def _bases() -> Iterator[tuple[Path, bool]]:
    """The folders that may hold those of all versions, the best first, and whether they are this program's own."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        yield path_of(given), False
    yield in_home("XDG_CACHE_HOME", ".cache") / "prosper_ng" / "kernels", True
    try:
        yield temporary_folder(), False
    except UserError:
        return


def _is_ready(base: Path, name: str, is_own: bool, is_root: bool = True) -> bool:
    """Whether a folder can be written to, which is then there, and known, once a day, to be used."""
    folder = base / name
    if not can_be_made(folder):
        return False
    try:
        is_new = not folder.is_dir()
        if is_new:
            folder.mkdir(parents=True, exist_ok=True)
        if is_root and folder.stat().st_mtime < time.time() - _A_DAY:
            os.utime(folder)
        if is_new and is_own:
            _remove_unused(base)
    except OSError:
        return False
    return True


def _remove_unused(base: Path) -> None:
    oldest = time.time() - _UNUSED_FOR_DAYS * _A_DAY
    for folder in base.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _key(is_root: bool = True, since: float | None = None) -> str | None:
    """The name of the folder; None where the sources may not be those in memory any more, or are no files.

    To look at files costs little, to read them all does not: what they came to is noted beside the folders.
    """
    files = dict(sorted(_looked_at(PACKAGE)))
    if not files or _changed(files.values(), since):
        return None
    versions = [sys.version, *map(_version_of, ("numba", "llvmlite", "numpy"))]
    note = _note(files.values())
    facts = _digest([*versions, str(PACKAGE), *(each for name in files for each in (name, *_facts(files[name])))], 32)
    with suppress(OSError, ValueError):
        noted, key = note.read_text(encoding="ascii").split() if note else ("", "")
        if noted == facts:
            return key
    sources = sorted(kernel_sources(module_texts(PACKAGE, PACKAGE.name)).items())
    key = f"prosper_ng-{_digest([*(each for source in sources for each in source), *versions])}"
    if note is not None and is_root:
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            put(note, f"{facts} {key}".encode())
    return key


def _note(files: Iterable[os.stat_result]) -> Path | None:
    """Where it is noted what the sources of this package come to; None where looking at them does not tell them apart.

    In images all times may be the same, and right after a change a second one is told by no time.
    """
    newest, is_image = max(each.st_ctime for each in files), os.statvfs(PACKAGE).f_flag & os.ST_RDONLY
    base = next((base for base, _ in _bases()), None)
    if (
        base is None
        or not can_be_made(base)
        or is_image
        or newest > min(prosper_ng.IMPORTED_AT, time.time()) - _SETTLED
    ):
        return None
    return base / f".sources-{_digest([str(PACKAGE), sys.version])}"


def _looked_at(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The sources in a folder and below, and what the file system says of them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path, entry.stat()
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _looked_at(Path(entry.path))


def _facts(found: os.stat_result) -> tuple[str, ...]:
    """What changes with the content of a file, whatever time of change it claims."""
    return tuple(str(each) for each in (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


def _digest(parts: Iterable[str], n_bytes: int = 8) -> str:
    digest = hashlib.blake2b(digest_size=n_bytes)
    for part in parts:
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()


def put(path: Path, content: bytes) -> None:
    """Have a file appear that holds this, at once and as a whole."""
    part = path.with_name(f".{uuid4().hex}.tmp")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _digest_around(module: str, file: str) -> str | None:
    """What tells one state of a module from outside, and of all it may use, from another; None where nothing does.

    Code that was typed in has no file to tell by.
    """
    own = sys.modules.get(module)
    if own is None or getattr(own, "__file__", None) != file or not file.endswith(".py"):
        return None
    package = package_of(own)
    modules = modules_of_files() if package is None else _loaded(package)
    files = sorted({Path(file), *(Path(str(each.__file__)) for each in modules)})
    try:
        if _changed(path.stat() for path in files):
            return None
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
    except OSError:
        return None


def _loaded(package: str) -> list[ModuleType]:
    found = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    return [module for module in found if str(getattr(module, "__file__", None)).endswith(".py")]


def _changed(files: Iterable[os.stat_result], since: float | None = None) -> bool:
    """Whether one of them has changed since this program was imported, whatever time of change it claims."""
    since = prosper_ng.IMPORTED_AT if since is None else since
    return any(each.st_ctime > since for each in files)


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""
