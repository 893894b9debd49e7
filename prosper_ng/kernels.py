"""The one decorator of all compiled kernels."""

from collections.abc import Callable
from typing import Any

from numba import njit


def kernel(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function, keep what was compiled on disk, and let other threads run meanwhile.

    It is used as `@kernel` or `@kernel(...)`, with options of `numba.njit`.
    """
    options = {"cache": True, "nogil": True} | options
    return njit(**options) if function is None else njit(**options)(function)
