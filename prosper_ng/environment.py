"""What must be settled before numpy, numba and h5py are imported."""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

from prosper_ng.errors import UserError
from prosper_ng.kernel_sources import kernel_sources, module_texts
from prosper_ng.paths import home, nearest, path_of, temporary_folder

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_OWN_CACHE = "PROSPER_NG_NUMBA_CACHE"  # tells a folder chosen here, maybe by a parent process, from the user's own
_UNUSED_FOR_DAYS = 30


def prepare_environment() -> None:
    """Set what numerical libraries read from the environment when they are imported, unless the user has set it."""
    limit_threads(os.environ)
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "BEST_EFFORT")
    choose_kernel_cache(os.environ)
    choose_picture_cache(os.environ)


def limit_threads(environment: MutableMapping[str, str]) -> None:
    """One rank is one core: one thread for BLAS and numba.

    A variable that the user has set stays as it is; PROSPER_NG_THREADS replaces them all.
    Raises UserError where that is not a number of threads.
    """
    wanted = environment.get("PROSPER_NG_THREADS")
    if wanted and not (wanted.isdecimal() and int(wanted) > 0):
        raise UserError(f"PROSPER_NG_THREADS is {wanted!r}; it must be a number of threads for each rank, 1 or more")
    for name in THREAD_VARIABLES:
        if wanted:
            environment[name] = wanted
        else:
            environment.setdefault(name, "1")


def choose_kernel_cache(environment: MutableMapping[str, str]) -> None:
    """Point numba at a cache folder that belongs to exactly these sources, this CPU and this numba.

    numba recompiles a kernel when its own file changed, not when a kernel that it calls did: with one folder for all
    versions of the sources it would run stale code.
    """
    given = environment.get("NUMBA_CACHE_DIR")
    if given and given != environment.get(_OWN_CACHE):
        return
    if given and "numba" in sys.modules and given == sys.modules["numba"].config.CACHE_DIR:
        return  # the sources in memory are what counts, and those on disk may have changed since
    folder = str(_writable_folder(environment, _cache_key()))
    environment["NUMBA_CACHE_DIR"] = environment[_OWN_CACHE] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = folder


def choose_picture_cache(environment: MutableMapping[str, str]) -> None:
    """Give matplotlib a temporary folder where the user's home cannot hold its settings and lists of fonts.

    Without any home it would end the program, with one that cannot be written it would list all fonts in every run.
    """
    folders = (_in_home(environment, "XDG_CONFIG_HOME", ".config"), _in_home(environment, "XDG_CACHE_HOME", ".cache"))
    has_home = environment.get("HOME") and all(_can_be_made(folder / "matplotlib") for folder in folders)
    if not has_home and not environment.get("MPLCONFIGDIR"):
        environment["MPLCONFIGDIR"] = str(temporary_folder() / "matplotlib")


def own_kernel_cache(environment: MutableMapping[str, str]) -> Path | None:
    """The cache folder that was chosen here and may be emptied; None where the user chose one."""
    folder = environment.get(_OWN_CACHE)
    return Path(folder) if folder and folder == environment.get("NUMBA_CACHE_DIR") else None


def _cache_key() -> str:
    digest = hashlib.blake2b(digest_size=8)
    package = Path(__file__).parent
    for name, text in sorted(kernel_sources(module_texts(package, __package__)).items()):
        digest.update(f"{name}\0{text}\0".encode())
    for part in (str(package), _cpu_name(), sys.version, _version_of("numba"), _version_of("numpy")):
        digest.update(f"{part}\0".encode())
    return digest.hexdigest()


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        return os.uname().machine


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _writable_folder(environment: MutableMapping[str, str], key: str) -> Path:
    """The folder `key` in the user's cache, or in a private temporary folder where that cannot be written."""
    base = _in_home(environment, "XDG_CACHE_HOME", ".cache") / "prosper_ng" / "kernels"
    try:
        is_new = not (base / key).is_dir()
        if not _can_be_made(base / key):
            return temporary_folder() / key
        (base / key).mkdir(parents=True, exist_ok=True)
        os.utime(base / key)
    except OSError:
        return temporary_folder() / key
    if is_new:
        _remove_unused(base)
    return base / key


def _in_home(environment: MutableMapping[str, str], variable: str, name: str) -> Path:
    """The folder that a variable names, else the one of this name in the user's home."""
    given = environment.get(variable)
    return path_of(given) if given else home() / name


def _can_be_made(folder: Path) -> bool:
    """Whether a folder can be written to, or be made, in a home that exists: none is made for a user without one."""
    if folder.is_relative_to(home()) and not home().is_dir():
        return False
    place = nearest(folder)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _remove_unused(base: Path) -> None:
    oldest = time.time() - _UNUSED_FOR_DAYS * 86400
    for folder in base.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
