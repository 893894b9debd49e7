"""Values that change over the sweeps of a run: temperature, weights, data pruning, noise, the share of rows."""

from collections.abc import Collection, Iterator
from dataclasses import field
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from prosper_ng.components import settings
from prosper_ng.latents.posterior import Tempering
from prosper_ng.numerics.constraints import LARGEST
from prosper_ng.numerics.schedule import (
    Points,
    Switch,
    Track,
    check_positions,
    points_of,
    sweep_of,
    value_at,
)

_NOISE = (lambda value: 0 <= value <= LARGEST, f"from 0 to {LARGEST:g}, whose square is a number")
_POSITIVE = (lambda value: value > 0, "greater than 0")
_LEGAL = {
    "temperature": _POSITIVE,
    "prior_weight": _POSITIVE,
    "noise_weight": _POSITIVE,
    "anneal_prior": (lambda value: value in (False, True), "true or false"),
    "data_pruning": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "row_fraction": (lambda value: 0 < value <= 1, "greater than 0 and at most 1"),
    "data_noise": _NOISE,
    "parameter_noise": _NOISE,
}
_NEUTRAL = ("temperature", "prior_weight", "noise_weight")
"""What is 1 where the free energy itself is climbed."""


class AnnealingPoint(NamedTuple):
    """The value of everything that is annealed, at one sweep."""

    temperature: float
    anneal_prior: bool
    data_pruning: float
    row_fraction: float
    data_noise: float
    parameter_noise: dict[str, float]
    """Standard deviation by parameter, for every parameter that has a schedule."""
    settled: bool
    """Whether temperature and weights are 1 and no value changes any more in this run."""
    held: frozenset[str] = frozenset()
    """The parameters that are not learned yet."""
    prior_weight: float = 1.0
    noise_weight: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether this sweep is plain EM, so that the guarantees for the free energy hold."""
        return self.temperature == 1 and self.sees_all_data and not any(self.parameter_noise.values())

    @property
    def tempering(self) -> Tempering:
        """How q_n is made."""
        return Tempering(self.temperature, self.anneal_prior, self.prior_weight, self.noise_weight)

    @property
    def sees_all_data(self) -> bool:
        """Whether this sweep learns from every row as it is, and from prior and likelihood once."""
        is_weighted = self.prior_weight != 1 or self.noise_weight != 1
        return self.data_pruning == 0 and self.row_fraction == 1 and self.data_noise == 0 and not is_weighted


@settings
class Annealing:
    """Schedules over the sweeps: each value is a constant, or points [position, value] joined by straight lines.

    A position without a decimal point is a sweep, counted from 0; one with a decimal point is a fraction of the run,
    0.0 the first sweep and 1.0 the last. Before the first point and after the last the value stays constant. Two
    points at one position are a jump: from there on the later one counts.
    """

    temperature: Track = 1.0
    """T > 0: states are weighted by the joint to the power 1/T; 1 is the posterior itself."""
    anneal_prior: Switch = False
    """Whether the temperature acts on prior and likelihood or on the likelihood alone; points switch it."""
    prior_weight: Track = 1.0
    """How often the entropy of the prior counts in what is climbed, for models of real-valued latents (`laplace`)."""
    noise_weight: Track = 1.0
    """How often the entropy of the noise counts there; 1 and 1 is the free energy itself."""
    data_pruning: Track = 0.0
    """0 learns from every row, 1 only from the share of rows that the preselected states are expected to explain."""
    row_fraction: Track = 1.0
    """The share of the rows that a sweep visits, drawn anew for each sweep."""
    data_noise: Track = 0.0
    """Standard deviation of the noise that is added to the data, anew in each sweep; for models of any real numbers."""
    parameter_noise: dict[str, Track] = field(default_factory=dict)
    """Standard deviation, by parameter, of the noise that is added to it after each M-step."""

    def __post_init__(self) -> None:
        """Raise ValueError where a position or a value is legal in no run."""
        for name, points in self._schedules():
            check_positions(name, points)
            _check_values(name, points)

    @property
    def adds_noise(self) -> bool:
        """Whether noise is ever added to the data."""
        return any(value > 0 for _, value in points_of(self.data_noise))

    def changes(self, name: str) -> bool:
        """Whether a temperature or weight is ever another one than 1."""
        return any(value != 1 for _, value in points_of(getattr(self, name)))

    @property
    def depends_on_length(self) -> bool:
        """Whether a run of more sweeps would differ from this one from the start: a value changes at a fraction."""
        return any(
            any(isinstance(position, float) for position, _ in points) and len({value for _, value in points}) > 1
            for _, points in self._schedules()
        )

    def settled_after(self, n_sweeps: int) -> int:
        """The sweeps of a run of `n_sweeps` after which all is plain and nothing changes; all, if never."""
        return next((sweep for sweep in range(n_sweeps) if self.at(sweep, n_sweeps).settled), n_sweeps)

    def check_order(self, n_sweeps: int) -> None:
        """Raise ValueError where sweeps and fractions cross in a run of `n_sweeps`."""
        for name, points in self._schedules():
            for (left, _), (right, _) in pairwise(points):
                before, after = sweep_of(left, n_sweeps), sweep_of(right, n_sweeps)
                if after < before:
                    raise ValueError(
                        f"{name}: position {right} comes after {left}, but of {n_sweeps} sweeps it is sweep {after:g} "
                        f"and comes before sweep {before:g}; positions must ascend"
                    )

    def check_parameters(self, parameters: Collection[str]) -> None:
        """Raise ValueError where noise is asked for on something that is not among the `parameters` of the model."""
        for name in self.parameter_noise:
            if name not in parameters:
                raise ValueError(
                    f"parameter_noise: the model has no parameter {name!r}; it has {', '.join(parameters)}"
                )

    def at(self, sweep: int, n_sweeps: int) -> AnnealingPoint:
        """All values at a sweep, counted from 0, of a run of `n_sweeps`."""
        values: dict[str, float] = {}
        settled = True
        for name, points in self._schedules():
            placed = [(sweep_of(position, n_sweeps), value) for position, value in points]
            values[name] = value_at(placed, sweep)
            settled = settled and all(value == values[name] for position, value in placed if position > sweep)
        return AnnealingPoint(
            temperature=values["temperature"],
            anneal_prior=bool(values["anneal_prior"]),
            data_pruning=values["data_pruning"],
            row_fraction=values["row_fraction"],
            data_noise=values["data_noise"],
            parameter_noise={name: values[f"parameter_noise.{name}"] for name in self.parameter_noise},
            settled=settled and all(values[name] == 1 for name in _NEUTRAL),
            prior_weight=values["prior_weight"],
            noise_weight=values["noise_weight"],
        )

    def _schedules(self) -> Iterator[tuple[str, Points]]:
        tracks: dict[str, Track | Switch] = {
            "temperature": self.temperature,
            "anneal_prior": self.anneal_prior,
            "prior_weight": self.prior_weight,
            "noise_weight": self.noise_weight,
            "data_pruning": self.data_pruning,
            "row_fraction": self.row_fraction,
            "data_noise": self.data_noise,
            **{f"parameter_noise.{name}": track for name, track in self.parameter_noise.items()},
        }
        for name, track in tracks.items():
            yield name, points_of(track)


def _check_values(name: str, points: Points) -> None:
    is_legal, legal = _LEGAL[name.partition(".")[0]]
    for _, value in points:
        if not (isfinite(value) and is_legal(value)):
            raise ValueError(f"{name}: the value {value} is not legal; it must be {legal}")
