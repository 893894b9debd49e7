"""Copying arrays inside kernels."""

from typing import Any

from prosper_ng.kernels import inner_kernel


@inner_kernel
def copy(values: Any, into: Any) -> None:
    """Copy values (n,) to the beginning of an array.

    An assignment to a slice would bring the words of an error on shapes with it, which take seconds to compile.
    """
    for i in range(values.shape[0]):
        into[i] = values[i]
