"""What a user says about memory."""

import re
from typing import Annotated, Literal

from annotated_types import Gt

from prosper_ng.components import FilePath, NotComputedWith, settings

_UNITS = {"": 1, "B": 1} | {
    f"{prefix}{ending}": base**power
    for power, prefix in enumerate("kMGT", start=1)
    for ending, base in (("B", 1000), ("iB", 1024))
}
_UNITS["KiB"] = _UNITS["kiB"]
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")

_KEPT_PATCHES = 1 << 30
"""Bytes of patches that a rank keeps where nothing is said; others are cut out of their picture as they are needed."""

Size = str | Annotated[int, Gt(0)]


@settings
class Memory:
    """What is held in memory, and how; results do not depend on the budgets, to the last bit."""

    precision: Literal["single", "double"] = "double"
    """What the rows are held in; single takes half the memory and rounds the data. All is computed in double."""
    data_budget: Annotated[Size | None, NotComputedWith()] = None
    """Rows of a rank that take more than this, like 500MB or 4GiB, stay in a file and are read block by block."""
    states_budget: Annotated[Size | None, NotComputedWith()] = None
    """State sets of a rank that take more than this are mapped from a file."""
    scratch: Annotated[FilePath | None, NotComputedWith()] = None
    """The folder for such files, best on a disk of each host's own; the run folder where not given."""

    def __post_init__(self) -> None:
        """Raise ValueError where a budget is no size."""
        for name in ("data_budget", "states_budget"):
            budget = getattr(self, name)
            if budget is not None:
                bytes_of(budget, name)

    @property
    def dtype(self) -> str:
        """NumPy's name for the precision."""
        return {"single": "float32", "double": "float64"}[self.precision]

    def keeps_data(self, n_bytes: int) -> bool:
        """Whether rows of this size are held in memory."""
        return self.data_budget is None or n_bytes <= bytes_of(self.data_budget)

    def cuts_data(self, n_bytes: int) -> bool:
        """Whether rows of this size, which can be cut out of a picture again and again, are not kept."""
        return n_bytes > (_KEPT_PATCHES if self.data_budget is None else bytes_of(self.data_budget))

    def keeps_states(self, n_bytes: int) -> bool:
        """Whether state sets of this size are held in memory."""
        return self.states_budget is None or n_bytes <= bytes_of(self.states_budget)


def bytes_of(size: str | int, name: str = "a size") -> int:
    """The bytes in a number of bytes, or in a text like 500MB or 4GiB; raises ValueError where it is neither."""
    if isinstance(size, int):
        return size
    match = _SIZE.fullmatch(size.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{name} {size!r} is not a size; legal is a number of bytes, or like 500MB, 1.5GiB, 2TiB")
    found = int(float(match[1]) * _UNITS[match[2]])
    if found == 0:
        raise ValueError(f"{name} {size!r} is not greater than 0")
    return found


def text_of(n_bytes: float) -> str:
    """A size as people say it, like 1.50 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}" if n_bytes < 1000 else f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} TiB" if n_bytes < 1000 else f"{n_bytes:,.0f} TiB"
