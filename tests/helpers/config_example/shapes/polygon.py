from typing import Annotated

from annotated_types import MinLen

from prosper_ng.components import component


@component
class Polygon:
    """Corners joined by straight lines."""

    corners: Annotated[tuple[tuple[float, float], ...], MinLen(3)]
    """Coordinates x, y of each corner."""

    def __post_init__(self) -> None:
        """Raise ValueError where corners coincide."""
        if len(set(self.corners)) < len(self.corners):
            raise ValueError("two corners are the same; give each corner once")

    def area(self) -> float:
        pairs = zip(self.corners, self.corners[1:] + self.corners[:1], strict=True)
        return abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in pairs)) / 2
