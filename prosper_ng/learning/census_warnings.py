"""What is doubtful about data though legal: one sentence a kind, which names where, and what would help."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.dataset import Columns
from prosper_ng.learning.census import SHOWN, Census, has_no_negative_elements
from prosper_ng.models.axes import counted_by
from prosper_ng.models.interface import SMALLEST_SCALE, DiscreteLatents
from prosper_ng.models.roles import noise_covariance, of_role

Floats = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
_TRANSPOSED = 4
"""So many times as many columns as rows are more than there are in most tables of data points."""
_LOST_NATS = 1e-6
"""Of the free energy of one value."""
_LEAST_DIGITS, _FAR = 4, 30
"""Of what varies; nearer to 0 than so many standard deviations it is the type of the values that has few, not they."""
_UNITS = 1e6
"""Ratio of standard deviations."""
_NEGATIVE_ENERGY = 0.2
"""Noise around what is not negative puts less of the energy below 0, unless there is little but noise."""


class Case(NamedTuple):
    """Data, and what is to learn from them."""

    census: Census
    model: DiscreteLatents
    preparation: Mapping[str, Any]
    """What the source is told to do to its rows."""
    epsilon: float
    """Relative rounding error of the values as they came, or as they are held."""
    repeated: Columns
    """Columns that repeat others."""
    unknown: Columns
    """Columns without any value, of which no file of parameters tells either."""
    can_transpose: bool = False
    """Whether the source could be told to take columns for data points."""

    @property
    def n_observed(self) -> int:
        """D."""
        return len(self.census.low)

    @property
    def noise(self) -> str | None:
        """The parameter that says how strong the noise is; None where the model has none."""
        return of_role(self.model.parameters(self.n_observed), "noise")

    @property
    def covariance(self) -> str | None:
        """The covariance (D, D) of the noise; None where it has none."""
        return noise_covariance(self.model.parameters(self.n_observed))

    @property
    def has_shared_noise(self) -> bool:
        """Whether one number says how strong the noise is in all columns."""
        return self.noise is not None and self.model.parameters(self.n_observed)[self.noise].shape == ()

    @property
    def has_center(self) -> bool:
        """Whether the model measures data from a point among them."""
        return "center" in self.model.parameters(self.n_observed)

    @property
    def varies(self) -> NDArray[np.bool_]:
        """(D,) which columns are not constant."""
        return self.census.spread > 0


def warnings_of(case: Case) -> tuple[str, ...]:
    """Everything that the user should hear of before learning begins."""
    return tuple(
        said for check in (_of_size, _of_what_is_missing, _of_what_is_constant, _of_values) for said in check(case)
    )


def named(numbers: Any, n_all: int | None = None) -> str:
    """`3`, `3 and 7`, or `3, 7, 9 and 12 more`; of `numbers` the first are shown, `n_all` is how many there are."""
    n_all = len(numbers) if n_all is None else n_all
    shown = [str(number) for number in numbers[: SHOWN if n_all > SHOWN else n_all]]
    if n_all > len(shown):
        return f"{', '.join(shown)} and {n_all - len(shown)} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def columns_named(columns: Columns) -> str:
    """`column 3`, or `columns 3, 7, 9 and 12 more`, counted from 0."""
    return f"column{'' if len(columns) == 1 else 's'} {named(columns)} (counted from 0)"


def _columns_that(verb: str, columns: Columns) -> str:
    """`column 3 (counted from 0) lies` and the like."""
    return f"{columns_named(columns)} {verb}{'s' if len(columns) == 1 else ''}"


def _of_size(case: Case) -> Iterator[str]:
    n_rows, D, (counted, number) = case.census.moments.n_rows, case.n_observed, counted_by(case.model)
    rule = "Every row is one data point"
    if case.can_transpose:
        rule += "; data.transpose: true takes the columns"
    if n_rows == 1:
        values = "value" if D == 1 else f"values; are they transposed? {rule}"
        yield f"the data have a single row of {D} {values}"
        return
    if _TRANSPOSED * n_rows <= D:
        yield f"the data have {n_rows} rows of {D} values; are they transposed? {rule}"
    if number is not None and n_rows < number:
        one = counted.word.removesuffix("s")
        yield (
            f"the data have {n_rows} rows for {number} {counted.word}: each row can be explained by a {one} of its "
            f"own, noise included; choose fewer {counted.word} than rows (model.{counted.field})"
        )
    n_factors = getattr(case.model, "n_factors", 0)
    if n_factors >= D:
        yield (
            f"{n_factors} factors explain rows of {D} values: as many as there are columns can make any covariance, so "
            f"noise and factors cannot be told apart; choose fewer than {D} (model.n_factors)"
        )
    if case.covariance is not None and n_rows <= D:
        yield (
            f"the data have {n_rows} rows of {D} values, too few to estimate a covariance of the noise of {D} x {D} "
            f"({case.covariance}); choose model.noise: diagonal or scalar"
        )


def _of_what_is_missing(case: Case) -> Iterator[str]:
    census = case.census
    if len(case.unknown):
        yield (
            f"no value of {columns_named(case.unknown)} was observed: nothing can be learned there, and "
            "reconstructions leave NaN"
        )
    told = np.setdiff1d(census.never_observed, case.unknown)
    if len(told):
        yield f"no value of {columns_named(told)} was observed: it stays as training.initial_file says"
    if census.n_empty:
        yield (
            f"{census.n_empty} of {census.moments.n_rows} rows hold no observed value "
            f"({named(census.first_empty, census.n_empty)}, counted from 0): they carry no information and slow down "
            "learning; leave them out"
        )


def _of_what_is_constant(case: Case) -> Iterator[str]:
    census = case.census
    if census.moments.n_rows == 1:
        return
    if not case.varies.any():
        is_zero = not census.low[census.n_observed > 0].any()
        what = "all values of the data are 0" if is_zero else "all rows of the data are the same"
        end = "" if case.noise is None else ", and the noise shrinks until rounding ends it"
        yield f"{what}: nothing else can be learned from them{end}"
        return
    if case.noise is None or case.has_shared_noise:
        return
    flat = np.flatnonzero((census.n_observed > 0) & (census.spread < 1e5 * SMALLEST_SCALE))
    if len(flat):
        yield (
            f"the values of {columns_named(flat)} are all the same, or nearly so: the noise there shrinks until "
            "rounding ends it, and raises the free energy meanwhile; leave them out, or choose model.noise: scalar"
        )
    if len(case.repeated):
        yield (
            f"{_columns_that('repeat', case.repeated)} others value by value: the covariance of the noise becomes "
            "singular, and raises the free energy until rounding ends it; leave them out, or choose model.noise: "
            "diagonal or scalar"
        )


def _of_values(case: Case) -> Iterator[str]:
    yield from _of_negative_values(case)
    if not case.varies.any():
        return
    yield from _of_lost_digits(case)
    if case.noise is not None and not case.has_center:
        yield from _of_offsets(case)
    if case.has_shared_noise and case.preparation.get("whiten", "none") == "none":
        yield from _of_units(case)


def _of_negative_values(case: Case) -> Iterator[str]:
    census = case.census
    if not has_no_negative_elements(case.model, case.n_observed) or census.n_negative == 0:
        return
    mean, n_values = census.moments.mean, np.maximum(census.n_observed, 1.0)
    below = mean < -np.maximum(6 / np.sqrt(n_values), 0.1) * census.spread
    below &= census.low < 0
    if not below.any() and census.negative_energy <= _NEGATIVE_ENERGY:
        return
    where = f"; on average below 0: {columns_named(np.flatnonzero(below))}" if below.any() else ""
    yield (
        f"model {kind_of(case.model)} cannot produce values below 0, and {census.n_negative} of "
        f"{census.moments.n_rows} rows hold such values, down to {census.low.min():.3g}, with "
        f"{census.negative_energy:.0%} of the sum of squares{where}; they can only be explained as noise: model mmca "
        "makes values of both signs, or subtract the smallest "
        "value from the data"
    )


def _of_lost_digits(case: Case) -> Iterator[str]:
    """Values so far from 0 that their own rounding shows in what varies."""
    spread, offset = case.census.spread, np.abs(case.census.moments.mean)
    far = case.varies & (offset > _FAR * spread)
    kept = -np.log10(case.epsilon * np.divide(offset, spread, out=np.ones_like(spread), where=far))
    lost = np.flatnonzero(far & (kept < _LEAST_DIGITS))
    if len(lost) == 0:
        return
    worst = int(lost[kept[lost].argmin()])
    n_digits = round(max(kept[worst], 0.0))
    yield (
        f"{_columns_that('lie', lost)} so far from 0 that their variation has only {n_digits} significant digit"
        f"{'' if n_digits == 1 else 's'} ({_level(case, worst)}, rounded to a share of {case.epsilon:.1g}); subtract "
        "the offset where the data are made, or keep them in double precision"
    )


def _of_offsets(case: Case) -> Iterator[str]:
    """Statistics about 0 of values that lie far from it are differences of large numbers."""
    mean, spread, varies = case.census.moments.mean, case.census.spread, case.varies
    if case.has_shared_noise:
        nats = np.full(len(mean), _EPS * np.mean(mean**2) / np.mean(spread**2))
    else:
        nats = _EPS * np.divide(mean, spread, out=np.zeros_like(mean), where=varies) ** 2
    if nats.max() <= _LOST_NATS:
        return
    worst = int(np.abs(mean).argmax() if case.has_shared_noise else nats.argmax())
    yield (
        f"model {kind_of(case.model)} here has no mean of its own, and the data lie far from 0 for how little they "
        f"vary ({_level(case, worst)}): about {nats.sum():.1g} nats of the free energy of a row are lost to rounding; "
        + _remedy(case)
    )


def _remedy(case: Case) -> str:
    """What helps against a large offset."""
    if has_no_negative_elements(case.model, case.n_observed):
        return "subtract the smallest value of each column from the data"
    mean = case.census.moments.mean[case.census.n_observed > 0]
    ways = ["set model.data_mean: true"] if hasattr(case.model, "data_mean") else []
    if case.preparation.get("remove_mean") is False and np.ptp(mean) < 0.1 * np.abs(mean).max():
        ways.append("set data.remove_mean: true")
    return ", or ".join([*ways, "subtract the mean of each column from the data"])


def _of_units(case: Case) -> Iterator[str]:
    spread, columns = case.census.spread, np.flatnonzero(case.varies)
    least, most = (int(columns[place]) for place in (spread[columns].argmin(), spread[columns].argmax()))
    if spread[most] <= _UNITS * spread[least]:
        return
    small = columns[spread[columns] * _UNITS < spread[most]]
    own = ", or choose model.noise: diagonal" if hasattr(case.model, "noise") else ""
    yield (
        f"column {most} (counted from 0) has a standard deviation of {spread[most]:.3g} and column {least} one of "
        f"{spread[least]:.3g}: with one noise level for all columns, {_columns_that('count', small)} for nothing; "
        f"divide each column by its standard deviation{own}"
    )


def _level(case: Case, column: int) -> str:
    """Where a column lies and how much it varies."""
    mean, spread = case.census.moments.mean[column], case.census.spread[column]
    return f"column {column}: mean {mean:.3g}, standard deviation {spread:.3g}"
