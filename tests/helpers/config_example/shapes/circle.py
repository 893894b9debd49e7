from math import pi
from typing import Annotated, Literal

from annotated_types import Gt, Interval

from prosper_ng.components import component


@component
class Circle:
    """All points at one distance."""

    radius: Annotated[float, Gt(0)]
    """Distance of the line from the center."""
    n_segments: Annotated[int, Interval(ge=3, le=360)] = 36
    """Straight lines it is drawn with."""
    filled: bool = False
    line: Literal["solid", "dashed", "none"] = "solid"

    def area(self) -> float:
        return pi * self.radius**2


"""Not the docstring of a field."""
