"""Everything a user says about a campaign."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le, MinLen

from prosper_ng.components import FilePath, Name, Seed, settings
from prosper_ng.paths import path_of

Axes = dict[str, Annotated[tuple[Any, ...], MinLen(1)]]
Point = dict[str, Any]


@settings
class Range:
    """Numbers to draw from."""

    low: float
    """The smallest."""
    high: float
    """The largest."""
    scale: Literal["linear", "log"] = "linear"
    """Whether all numbers are equally likely, or all orders of magnitude."""
    integer: bool = False
    """Whether only integers are drawn."""

    def __post_init__(self) -> None:
        """Raise ValueError where nothing lies between the bounds."""
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, and {self.low:g} is not less than {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"on a log scale low must be greater than 0, not {self.low:g}")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("the bounds of integers must be integers")


@settings
class Random:
    """Points drawn at random; the first ones stay the same where more are asked for."""

    n_points: Annotated[int, Gt(0), Le(100_000)]
    """How many."""
    axes: dict[str, Range | Annotated[tuple[Any, ...], MinLen(1)]]
    """For each key of a run's configuration a range, or a list to choose from."""


@settings
class Block:
    """Points; where a block has several of these parts, each point of one is combined with each of the others."""

    grid: Axes | None = None
    """For each key a list of values: all combinations."""
    zip: Axes | None = None
    """For each key a list of values, all of one length: the first values together, the second ones, and so on."""
    list: Annotated[tuple[Point, ...], MinLen(1)] | None = None
    """Points one by one, each a mapping of keys to values."""
    random: Random | None = None
    """Points drawn at random."""


@settings
class CampaignConfig(Block):
    """Many runs that differ in some values.

    A key is the dotted name of a value in a run's configuration, such as `model.n_latents`, or `base` with the path of
    a run's YAML file, or `set` with a name from `sets`.
    """

    name: Name
    """A name for people; also the default folder."""
    seed: Seed = 0
    """The seeds of all runs are a function of it."""
    seeds: Literal["distinct", "shared"] = "distinct"
    """Whether every point has seeds of its own, or all have the same ones and so see the same generated data."""
    repeats: Annotated[int, Gt(0), Le(100_000)] = 1
    """Runs of each point, with different seeds."""
    ranks: Annotated[int, Gt(0)] = 1
    """MPI ranks of each run."""
    base: FilePath | None = None
    """A run's YAML file, relative to this one, on which all points build that name no other."""
    fixed: dict[str, Any] = field(default_factory=dict)
    """Values for all runs, by key; points may replace them."""
    sets: dict[str, Point] = field(default_factory=dict)
    """Named sets of values, each a mapping of keys; may name a `base`."""
    sum: Annotated[tuple[Block, ...], MinLen(1)] | None = None
    """Blocks whose points are added up; combined with those of the other parts, where there are some."""
    exclude: tuple[Point, ...] = ()
    """Points to leave out: all that have these values."""
    folder: FilePath | None = None
    """The campaign's folder; runs/NAME where not given."""

    @property
    def place(self) -> Path:
        """The campaign's folder, unless another one is named to the command."""
        return Path("runs") / self.name if self.folder is None else path_of(self.folder)
