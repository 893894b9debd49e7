"""The files that compiled kernels are kept in."""

import hashlib
import io
import pickle
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.compiler import CompileResult
from numba.core.environment import Environment, lookup_environment
from numba.core.errors import NumbaWarning
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from prosper_ng import compiling
from prosper_ng.kernel_cache import Places, places, places_apart, places_of, put

_DIGEST_SIZE = 16


def keep_apart(compiled: Any, digest: str) -> None:
    """Keep what is compiled of a kernel from outside, if anything, under a digest of its sources."""
    if not isinstance(getattr(compiled, "_cache", NullCache()), NullCache):
        compiled._cache = KernelCache(compiled.py_func, digest)


class KernelCache(FunctionCache):
    """The compiled forms of one function, each in a file of its own that says what it is and whether it is whole.

    Any number of processes may write them: a file appears as a whole, and there is no list of them to keep. What cannot
    be read is compiled again, and replaced.
    """

    def __init__(self, function: Callable[..., Any], digest: str | None = None) -> None:
        """Those of a function of this package, or from outside; of sources with this digest, where they are known."""
        self._name, self._py_func, self._digest = repr(function), function, digest
        self.enable()

    @cached_property
    def _places(self) -> Places:
        """Asked for at the first call: when modules are imported, not all that they use is there."""
        if self._digest is not None:
            return places_apart(self._digest)
        return places_of(self._py_func.__module__, self._py_func.__code__.co_filename)

    @property
    def cache_path(self) -> str | None:
        """The folder that new files are written to."""
        return None if self._places.write is None else str(self._places.write)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled form for these types of arguments, None where it has to be compiled by this process."""
        if self._places == places():
            # What compiling needs besides is a hundred modules of numba, for a process that finds all it calls.
            rtsys.initialize(target_context)
        else:
            target_context.refresh()  # extensions of numba that these kernels may use
        key = self._index_key(sig, target_context.codegen())
        found = self._load(key, target_context)
        if found is None and compiling.missing(places().write):
            found = self._load(key, target_context)  # another process may have been faster
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form; where the disk is full, it is there for this process alone."""
        compiling.compiled()
        folder = self._places.write
        if folder is None or not self._enabled:
            return
        if data.library.has_dynamic_globals:
            place = (self._py_func.__code__.co_filename, self._py_func.__code__.co_firstlineno)
            text = (
                f"{self._py_func.__qualname__} is compiled anew by every process: it uses a large array of its module"
            )
            warnings.warn_explicit(text, NumbaWarning, *place)
            return
        key = self._index_key(sig, data.codegen)
        with suppress(OSError):
            content = dumps((key, data._reduce()))
            folder.mkdir(parents=True, exist_ok=True)
            put(folder / self._file_of(key), _digest_of(content) + content)

    def flush(self) -> None:
        """Forget all compiled forms."""
        for path in [] if self._places.write is None else self._places.write.glob(f"{self._stem}.*"):
            path.unlink(missing_ok=True)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        """What tells compiled forms apart; code that calls Intel's functions ends a process that has not found them."""
        return *super()._index_key(sig, codegen), config.USING_SVML

    @property
    def _stem(self) -> str:
        name = f"{self._py_func.__module__}.{self._py_func.__qualname__}".replace("<", "").replace(">", "")
        return f"{name.removeprefix('prosper_ng.')}-{self._py_func.__code__.co_firstlineno}"

    def _file_of(self, key: Any) -> str:
        return f"{self._stem}.{hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()}.nbc"

    def _load(self, key: Any, target_context: Any) -> Any:
        if not self._enabled:
            return None
        for folder in self._places.read:
            content = _read(folder / self._file_of(key))
            # Whatever is wrong with what was kept, it can be compiled again.
            with suppress(Exception):
                own, reduced = _Unpickler(io.BytesIO(content)).load()
                if own == key:
                    return CompileResult._rebuild(target_context, *reduced)
        return None


class _Unpickler(pickle.Unpickler):
    """Reads what was compiled without the modules of numba that it was compiled from, and what these import."""

    def find_class(self, module: str, name: str) -> Any:
        """What numba pickles by its name, but for environments."""
        if (module, name) == ("numba.core.environment", "_rebuild_env"):
            return partial(_environment, super().find_class(module, name))
        return super().find_class(module, name)


def _environment(rebuild: Callable[..., Any], module: str, constants: list[Any], name: str) -> Any:
    """What compiled code has of Python: constants, and globals of its module, which that of numba never asks for."""
    if not module.startswith("numba.") or module in sys.modules or lookup_environment(name) is not None:
        return rebuild(module, constants, name)
    made = Environment({"__name__": module})
    made.consts[:] = constants
    made.env_name = name
    Environment._memo[name] = made
    return made


def _read(path: Path) -> bytes:
    """What was kept in a file; nothing where it is not there, or not whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    digest, content = content[:_DIGEST_SIZE], content[_DIGEST_SIZE:]
    return content if digest == _digest_of(content) else b""


def _digest_of(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST_SIZE).digest()
