"""Named views into one contiguous float64 buffer."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Shape = tuple[int, ...]


class Triangle(tuple[int, ...]):
    """The shape of the lower triangle of a symmetric (n, n) matrix, row by row: one vector of n (n + 1) / 2 numbers.

    Beside a square it is half as large to keep, to add up and to send, and its rows have scales of their own as those
    of a matrix have.

    >>> Triangle(3)
    (6,)
    """

    n: int
    """Rows of the matrix."""

    def __new__(cls, n: int) -> "Triangle":
        """Of a matrix with so many rows."""
        self = super().__new__(cls, (packed_size(n),))
        self.n = n
        return self

    def __getnewargs__(self) -> tuple[int]:
        return (self.n,)


def packed_size(n: int) -> int:
    """The number of entries of the lower triangle of an (n, n) matrix."""
    return n * (n + 1) // 2


class NamedArrays(Mapping[str, NDArray[np.float64]]):
    """Arrays with names that lie one behind the other in a single float64 buffer.

    Parameters and statistics are of this type: one object to reduce, broadcast, checkpoint or compare, whatever a
    model keeps in it. Assignment copies into the buffer, so that views stay valid.

    >>> sums = NamedArrays({"a": (2,), "n": ()})
    >>> sums["a"] = [1, 2]
    >>> sums.buffer
    array([1., 2., 0.])
    """

    def __init__(self, shapes: Mapping[str, Shape], buffer: NDArray[np.float64] | None = None) -> None:
        """Lay `shapes` out in the order given; `buffer` is used in place where given, else zeros.

        Raises ValueError where the buffer is not a contiguous float64 vector of the right length.
        """
        self.shapes: dict[str, Shape] = {
            name: shape if isinstance(shape, Triangle) else tuple(shape) for name, shape in shapes.items()
        }
        size = n_numbers(self.shapes)
        self.buffer = np.zeros(size) if buffer is None else buffer
        if self.buffer.shape != (size,) or self.buffer.dtype != np.float64 or not self.buffer.flags.c_contiguous:
            found = f"{self.buffer.dtype} {self.buffer.shape}"
            raise ValueError(f"expected a contiguous float64 vector of length {size}, got {found}")
        self._views: dict[str, NDArray[np.float64]] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            self._views[name] = self.buffer[start:stop].reshape(shape)
            start = stop

    @classmethod
    def of(cls, **arrays: ArrayLike) -> "NamedArrays":
        """Copies of the given arrays, in the order given."""
        values = {name: np.asarray(value, dtype=np.float64) for name, value in arrays.items()}
        result = cls({name: value.shape for name, value in values.items()})
        for name, value in values.items():
            result[name] = value
        return result

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        try:
            return self._views[name]
        except KeyError:
            raise KeyError(f"there is no {name!r}; there are {', '.join(self._views) or 'none'}") from None

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        self[name][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[type["NamedArrays"], tuple[dict[str, Shape], NDArray[np.float64]]]:
        # The views would be pickled as arrays of their own.
        return NamedArrays, (self.shapes, self.buffer)

    def __repr__(self) -> str:
        return f"NamedArrays({', '.join(f'{name}{list(shape)}' for name, shape in self.shapes.items())})"

    def copy(self) -> "NamedArrays":
        """The same names and shapes over a copy of the buffer."""
        return NamedArrays(self.shapes, self.buffer.copy())

    def zeros_like(self) -> "NamedArrays":
        """The same names and shapes over zeros."""
        return NamedArrays(self.shapes)


def n_numbers(shapes: Mapping[str, Shape]) -> int:
    """The entries of arrays of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def segments(shapes: Mapping[str, Shape]) -> list[int]:
    """The lengths of the pieces of a buffer whose entries may be thought of as of one scale.

    Each entry of a vector is a piece, and each row of a matrix or triangle: columns of the data, and latents, have
    their own units.
    """
    lengths: list[int] = []
    for shape in shapes.values():
        if isinstance(shape, Triangle):
            lengths += range(1, shape.n + 1)
            continue
        lengths += [shape[-1]] * math.prod(shape[:-1]) if len(shape) > 1 else [1] * math.prod(shape)
    return lengths
