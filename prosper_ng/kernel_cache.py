"""Where compiled kernels are kept: in folders that belong to exactly the sources they were made from.

numba compiles a kernel anew when its own file has changed, not when a kernel that it calls has: with one folder for all
versions of the sources it would run stale code.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.kernel_sources import kernel_sources, module_texts, modules_of_files, package_of
from prosper_ng.paths import can_be_made, in_home, path_of, temporary_folder

PACKAGE = Path(__file__).parent
_UNUSED_FOR_DAYS = 30


class Places(NamedTuple):
    """Folders of compiled kernels."""

    read: tuple[Path, ...] = ()
    """Where they may be."""
    write: Path | None = None
    """Where new ones are kept; None where nothing is, since the sources are not known or no folder can be written."""

    def below(self, name: str) -> "Places":
        """The folders of this name in them."""
        return Places(tuple(folder / name for folder in self.read), None if self.write is None else self.write / name)


@cache
def places() -> Places:
    """Those of the kernels of this package, found when the first kernel is called.

    They are in the folder that NUMBA_CACHE_DIR names, else in the user's cache, else in a private temporary folder.
    Where one cannot be written to, as in an image, its kernels are used all the same.
    """
    name = _key()
    if name is None:
        return Places()
    read: list[Path] = []
    for base, is_own in _bases():
        read.append(base / name)
        if _is_ready(base, name, is_own):
            return Places(tuple(read), read[-1])
    return Places(tuple(read))


def places_of(module: str, file: str) -> Places:
    """Those of the kernels of a module, whose code came from a file.

    The kernels of other modules than this package's are kept under a digest of all that they may use.
    """
    if file.startswith(f"{PACKAGE}{os.sep}"):
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


def _is_ready(base: Path, name: str, is_own: bool) -> bool:
    """Whether a folder can be written to, which is then there, and known to be used."""
    folder = base / name
    if not can_be_made(folder):
        return False
    try:
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        if is_new and is_own:
            _remove_unused(base)
    except OSError:
        return False
    return True


def _remove_unused(base: Path) -> None:
    oldest = time.time() - _UNUSED_FOR_DAYS * 86400
    for folder in base.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)


def _key() -> str | None:
    """The name of the folder; None where the sources may not be those in memory any more, or are no files."""
    files = list(PACKAGE.rglob("*.py"))
    if not files or _changed(files):
        return None
    digest = hashlib.blake2b(digest_size=8)
    for name, text in sorted(kernel_sources(module_texts(PACKAGE, PACKAGE.name)).items()):
        digest.update(f"{name}\0{text}\0".encode())
    for part in (sys.version, *map(_version_of, ("numba", "llvmlite", "numpy"))):
        digest.update(f"{part}\0".encode())
    return f"prosper_ng-{digest.hexdigest()}"


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
        if _changed(files):
            return None
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
    except OSError:
        return None


def _loaded(package: str) -> list[ModuleType]:
    found = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == package]
    return [module for module in found if str(getattr(module, "__file__", None)).endswith(".py")]


def _changed(files: Sequence[Path]) -> bool:
    """Whether one of them has changed since this program was imported, whatever time of change it claims."""
    return any(path.stat().st_ctime > prosper_ng.IMPORTED_AT for path in files)


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""
