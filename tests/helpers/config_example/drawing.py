from dataclasses import field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, MinLen

from config_example.shapes.interface import Shape
from prosper_ng.components import OneOf, settings

Pixels = Annotated[int, Gt(0)]
Track = float | tuple[tuple[int | float, float], ...]


@settings
class Margin:
    """Free space at the edges."""

    left: Annotated[float, Ge(0)] = 0
    right: Annotated[float, Ge(0)] = 0
    unit: Literal["pixels", "percent"] = "pixels"


@settings
class Canvas:
    size: tuple[Pixels, Pixels] = (640, 480)
    """Width and height in pixels."""
    background: Literal["white", "black"] | None = "white"
    margin: Margin | float | tuple[float, ...] | None = None
    """Free space: the same on all sides, a list of four, or by name."""


@settings
class Drawing:
    """One picture."""

    title: Annotated[str, MinLen(1)]
    """What is written above it."""
    copies: Annotated[int, Ge(0)] = 1
    shape: Annotated[Shape, OneOf("config_example.shapes")]
    """What is drawn."""
    canvas: Canvas = field(default_factory=Canvas)
    """What it is drawn on."""
    opacity: Annotated[float, Interval(ge=0, le=1)] = 1
    note: str | None = None
    weights: dict[str, float] = field(default_factory=dict)
    tracks: dict[str, tuple[tuple[float | str, float], ...]] = field(default_factory=dict)
    fade: Track = 0.0
    limits: dict[Literal["x", "y"], float] = field(default_factory=dict)
    tags: tuple[str, ...] | None = None
    extra: dict[str, Any] | None = None
