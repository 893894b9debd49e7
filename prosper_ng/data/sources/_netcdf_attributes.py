"""What attributes say of packed numbers by the conventions of netCDF: which are missing, and what the others stand for.

`_FillValue` and `missing_value` mark what is missing, `valid_min`, `valid_max` and `valid_range` what is legal,
`scale_factor` and `add_offset` make packed numbers those that are meant, `_Unsigned` says how integers are stored.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError

Floats = NDArray[np.float64]
ReadAttribute = Callable[[str], Any]
"""The value of an attribute by its name, None where there is none."""

_LIMITS = ("valid_min", "valid_max")
_UNLIMITED = (-np.inf, np.inf)


class Packing(NamedTuple):
    """How numbers are told from those in the file."""

    marks: tuple[Any, ...] = ()
    """Numbers of the file that stand for what is missing, in its type."""
    limits: tuple[float, float] = _UNLIMITED
    """The smallest and the largest legal number of the file; others are missing."""
    meant_limits: tuple[float, float] = _UNLIMITED
    """The same of the numbers that are meant."""
    scale: float = 1.0
    offset: float = 0.0
    stored: np.dtype[Any] | None = None
    """The type of the numbers of the file, where it is not the one that the file says."""

    def unpacked(self, values: NDArray[Any]) -> Floats:
        """The numbers that are meant, NaN where they are missing."""
        if self.stored is not None:
            values = np.ascontiguousarray(values).view(self.stored)
        gaps = np.zeros(values.shape, bool)
        for mark in self.marks:
            gaps |= values == mark
        if self.limits != _UNLIMITED:
            gaps |= (values < self.limits[0]) | (values > self.limits[1])
        found = values.astype(np.float64)
        if (self.scale, self.offset) != (1.0, 0.0):
            found = found * self.scale + self.offset
        if self.meant_limits != _UNLIMITED:
            gaps |= (found < self.meant_limits[0]) | (found > self.meant_limits[1])
        found[gaps] = np.nan
        return found


def packing_of(
    attribute: ReadAttribute, dtype: np.dtype[Any], where: str, default_fill: Any = None
) -> tuple[Packing, str | None]:
    """What the attributes of a dataset of type `dtype` say, and what marks missing values, in words.

    `default_fill` marks them where no attribute says what does. Raises DataError where an attribute makes no sense.
    """
    stored = _unsigned(attribute, dtype)
    packed = dtype if stored is None else stored
    fill = _numbers(attribute, "_FillValue", where)
    told = {"_FillValue": fill, "missing_value": _numbers(attribute, "missing_value", where)}
    if fill is None and default_fill is not None:
        told["the default fill value of netCDF"] = np.atleast_1d(default_fill)
    marks = {name: _in_type(numbers, packed) for name, numbers in told.items() if numbers is not None}
    scale, offset = (
        _single(attribute, name, where, default) for name, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if scale == 0:
        raise DataError(f"{where}: its attribute scale_factor is 0, which leaves nothing of the numbers")
    limits, of_what_is_meant = _limits(attribute, packed, where)
    packing = Packing(
        tuple(mark for each in marks.values() for mark in each),
        *((_UNLIMITED, limits) if of_what_is_meant else (limits, _UNLIMITED)),
        scale,
        offset,
        stored,
    )
    words = [f"{name} {_short(mark)}" for name, each in marks.items() for mark in dict.fromkeys(each)]
    if limits != _UNLIMITED:
        words.append(f"outside of the valid range {limits[0]:g} to {limits[1]:g}")
    return packing, ", ".join(words) or None


def _unsigned(attribute: ReadAttribute, dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type to take numbers for that are stored as integers of the other sign."""
    said = attribute("_Unsigned")
    if said is None or dtype.kind not in "iu":
        return None
    word = _text(np.atleast_1d(said)[0]).strip().lower()
    kind = {"true": "u", "false": "i"}.get(word, dtype.kind)
    return None if kind == dtype.kind else np.dtype(f"{dtype.byteorder}{kind}{dtype.itemsize}")


def _limits(attribute: ReadAttribute, packed: np.dtype[Any], where: str) -> tuple[tuple[float, float], bool]:
    """The smallest and the largest legal number, and whether they are meant to be those after unpacking."""
    both = _numbers(attribute, "valid_range", where)
    if both is not None and len(both) != 2:
        raise DataError(f"{where}: its attribute valid_range has {len(both)} numbers, needed are 2")
    ends = list(both) if both is not None else [_number(attribute, name, where) for name in _LIMITS]
    if packed.kind == "u":
        # Limits of the same bits, written as signed.
        ends = [end + 2.0 ** (8 * packed.itemsize) if end is not None and end < 0 else end for end in ends]
    low, high = (default if end is None else float(end) for end, default in zip(ends, _UNLIMITED, strict=True))
    raw = [attribute(name) for name in ("valid_range", *_LIMITS)]
    is_wider = any(np.asarray(each).dtype.kind == "f" for each in raw if each is not None) and packed.kind in "iu"
    return (low, high), is_wider


def _numbers(attribute: ReadAttribute, name: str, where: str) -> NDArray[Any] | None:
    """The numbers of an attribute, which may be one, an array of one or more, or text that says one."""
    said = attribute(name)
    if said is None or getattr(said, "shape", ()) is None:  # h5py has shape None for attributes that are empty
        return None
    values = np.atleast_1d(said).ravel()
    if values.dtype.kind in "SUO":
        try:
            values = np.array([float(_text(value)) for value in values])
        except (TypeError, ValueError):
            raise DataError(
                f"{where}: its attribute {name} is {_text(values[0])!r}, which is no number; correct or delete it"
            ) from None
    if values.dtype.kind not in "biuf":
        raise DataError(f"{where}: its attribute {name} is no number")
    return values if len(values) else None


def _number(attribute: ReadAttribute, name: str, where: str) -> Any:
    numbers = _numbers(attribute, name, where)
    if numbers is not None and len(numbers) != 1:
        raise DataError(f"{where}: its attribute {name} has {len(numbers)} numbers, and only 1 makes sense")
    return None if numbers is None else numbers[0]


def _single(attribute: ReadAttribute, name: str, where: str, default: float) -> float:
    """The number that an attribute gives, or the default."""
    number = _number(attribute, name, where)
    if number is not None and not np.isfinite(number):
        raise DataError(f"{where}: its attribute {name} is {number}, which is no finite number")
    return default if number is None else float(number)


def _in_type(numbers: NDArray[Any], dtype: np.dtype[Any]) -> list[Any]:
    """The numbers that a dataset of that type can hold, in that type; NaN is left out, which means missing anyway."""
    found = []
    for number in numbers.tolist():
        if number != number:
            continue
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                found.append(dtype.type(number))
        elif dtype.kind in "iu" and float(number).is_integer():
            bits = int(number) + (1 << 8 * dtype.itemsize) * (number < 0 and dtype.kind == "u")
            if np.iinfo(dtype).min <= bits <= np.iinfo(dtype).max:
                found.append(dtype.type(bits))
    return found


def _short(mark: Any) -> str:
    return f"{mark:g}" if isinstance(mark, np.floating) else str(mark)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
