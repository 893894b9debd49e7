"""The one decorator of all compiled kernels."""

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

from prosper_ng.kernel_cache import is_of_package
from prosper_ng.kernel_files import KernelCache


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function, keep what was compiled on disk, and let other threads run meanwhile.

    It is used as `@kernel` or `@kernel(...)`, with options of `numba.njit`. What is compiled is kept in the folder of
    exactly these sources, whoever imports the function; settings of numba stay as they are.
    """
    if function is None:
        return partial(kernel, **options)
    is_kept = options.pop("cache", True)
    compiled: Any = njit(**{"nogil": True} | options)(function)
    if is_kept and hasattr(compiled, "_cache"):  # numba can be told to compile nothing
        compiled._cache = KernelCache(function)
        if is_of_package(function.__code__.co_filename):
            # numba reads a file of each installed package for extensions: compiling needs them, finding does not.
            compiled._compilation_chain_init_hook = _nothing
    return compiled


def _nothing() -> None:
    pass


inner_kernel = partial(kernel, _nrt=False)
"""For kernels that other kernels call for every few numbers, and that allocate nothing.

They count no references to the arrays that they are given, which their callers hold. Counting takes two locked
operations for each array of a call and each view that is made of one, which was most of what small kernels cost.
"""
