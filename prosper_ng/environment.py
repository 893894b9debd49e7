"""What must be settled before numpy, numba and h5py are imported."""

import gc
import os
from collections.abc import MutableMapping

from prosper_ng.errors import UserError
from prosper_ng.paths import can_be_made, in_home, temporary_folder

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

_NEW_OBJECTS = 20_000
"""After so many Python looks for garbage among them; by default 700 or 2,000, which is a twelfth of a short run."""
_commands: list[bool] = []


def be_command() -> None:
    """Settle what suits a process that is a command and nothing else.

    Nearly all that it makes stays, modules first, and hardly anything is a cycle.
    """
    _commands.append(True)
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])


def is_command() -> bool:
    """Whether this process is a command and nothing else, so that nobody works with the libraries that it imports."""
    return bool(_commands)


def prepare_environment() -> None:
    """Set what numerical libraries read from the environment when they are imported, unless the user has set it."""
    limit_threads(os.environ)
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "BEST_EFFORT")
    # For its plug-ins, of which none is of use here, pydantic reads a file of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # numba looks for Intel's library of functions in sixty places; kernels have their own exponentials and logarithms.
    os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")
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


def choose_picture_cache(environment: MutableMapping[str, str]) -> None:
    """Give matplotlib a temporary folder where the user's home cannot hold its settings and lists of fonts.

    Without any home it would end the program, with one that cannot be written it would list all fonts in every run.
    """
    named = (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    folders = [in_home(variable, name, environment) for variable, name in named]
    has_home = environment.get("HOME") and all(can_be_made(folder / "matplotlib") for folder in folders)
    if not has_home and not environment.get("MPLCONFIGDIR"):
        environment["MPLCONFIGDIR"] = str(temporary_folder() / "matplotlib")
