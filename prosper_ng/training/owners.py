"""Who does M-steps: root alone, or all ranks, each for some values of the latent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models.capabilities import MaximizesByValue, Remembers, learns_from_part, offers
from prosper_ng.models.interface import Model
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, n_numbers
from prosper_ng.numerics.sharing import Several, among
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import agree
from prosper_ng.parallel.shares import Shares, Stripe, even_counts
from prosper_ng.training.totals import KEPT_BY_STATISTIC, PartTotals, statistics_of

Floats = NDArray[np.float64]

LEAST_SHARED = 1 << 17
"""Statistics below which root alone is as fast: two ranks break even somewhere between 50,000 and 200,000."""
_DOING = "updating the parameters"


def most_sharing(model: Model, n_observed: int, least: int | None = None) -> int:
    """How many ranks can do M-steps together, as many as the latent has values; 1 where root does them alone."""
    found: Any = model
    if not offers(model, MaximizesByValue) or offers(model, Remembers) or learns_from_part(model):
        return 1
    shapes = statistics_of(model, n_observed)
    is_worth_it = n_numbers(shapes) >= (LEAST_SHARED if least is None else least)
    return int(shapes[found.sums_by_value(n_observed)[0]][0]) if is_worth_it else 1


class Owners:
    """What of statistics and parameters a rank has in an M-step: all of it where root is alone, its share otherwise.

    Where M-steps are shared, a rank is sent the sums of its values only, finds new parameters of these, and all get
    them. Free energies are made of what each value adds, so that the bits are those of one rank.
    """

    def __init__(self, model: Model, n_observed: int, comm: Communicator, least: int | None = None) -> None:
        """All ranks have one; `least` statistics are shared, as many as are worth it where none is given."""
        found: Any = model
        self._comm, self._shapes = comm, statistics_of(model, n_observed)
        n_values = most_sharing(model, n_observed, least)
        self.is_shared = 1 < comm.size <= n_values
        self.leads = self.is_shared or comm.is_root
        """Whether this rank takes part in M-steps."""
        self.statistics = self._shapes
        """What this rank gets of the statistics, by name."""
        self._axes: dict[str, int] = {}
        self._stripes: list[Stripe] = []
        self._has_failed = False
        if self.is_shared:
            self._counts = even_counts(n_values, comm.size)
            self._axes, by_value = dict(found.axes_by_value), found.sums_by_value(n_observed)
            self._stripes = list(_stripes(self._shapes, by_value, self._counts))
            self.statistics = {
                name: (self._counts[comm.rank], *shape[1:]) if name in by_value else shape
                for name, shape in self._shapes.items()
            }

    def shares(self, n_apart: int = 0) -> Shares:
        """What each rank gets of a buffer of statistics with some numbers behind them."""
        return Shares(self._stripes, n_numbers(self._shapes) + n_apart)

    @contextmanager
    def together(self) -> Iterator[None]:
        """An M-step of all ranks; where one fails all do.

        Raises the error of the lowest rank that fails for itself.
        """
        self._has_failed = False
        try:
            with among(Several(self._first, self._join)):
                yield
        except Exception as error:
            if not self._has_failed:
                self._agree(error)
            raise
        self._agree(None)

    def own(self, params: NamedArrays) -> NamedArrays:
        """The parameters of the values of this rank, and those that all share."""
        if not self.is_shared:
            return params
        own = slice(self._first, self._first + self._counts[self._comm.rank])
        found = {
            name: np.moveaxis(np.moveaxis(values, self._axes[name], 0)[own], 0, self._axes[name])
            if name in self._axes
            else values
            for name, values in params.items()
        }
        return NamedArrays.of(**found)

    def whole(self, own: NamedArrays, params: NamedArrays) -> NamedArrays:
        """Parameters as `params` of all values, from those that each rank found of its own."""
        if not self.is_shared:
            return own
        new = params.zeros_like()
        for name, values in own.items():
            axis = self._axes.get(name)
            joined = values if axis is None else self._join(np.ascontiguousarray(np.moveaxis(values, axis, 0)))
            new[name] = values if axis is None else np.moveaxis(joined, 0, axis)
        return new

    def whole_totals(self, totals: PartTotals) -> dict[str, Floats]:
        """On root the arrays of totals of all values, from those that each rank has of its own."""
        found, shares = totals.arrays(), self.shares()
        for name in (*KEPT_BY_STATISTIC,) if self.is_shared else ():
            rows: Any = [shares.gather(self._comm, row) for row in np.atleast_2d(found[name])]
            if self._comm.is_root:
                found[name] = np.reshape(rows, (*found[name].shape[:-1], -1))
        return found if self._comm.is_root else {}

    def restore(self, totals: PartTotals, whole: Mapping[str, Floats]) -> None:
        """Take up what `whole_totals` made, on all ranks; `whole` counts on root only."""
        if not self.is_shared:
            if self._comm.is_root:
                totals.restore(whole)
            return
        found, place = totals.arrays(), self.shares().of(self._comm.rank)
        if self._comm.is_root:
            found["seen"][:] = whole["seen"]
        self._comm.broadcast_in_place(found["seen"])
        for name in KEPT_BY_STATISTIC:
            for k, own in enumerate(np.atleast_2d(found[name])):
                row = np.empty(n_numbers(self._shapes))
                if self._comm.is_root:
                    row[:] = np.atleast_2d(whole[name])[k]
                self._comm.broadcast_in_place(row)
                own[:] = row[place]

    @property
    def _first(self) -> int:
        """The first value of this rank."""
        return sum(self._counts[: self._comm.rank])

    def _join(self, own: Floats) -> Floats:
        """(C, ...) of (m, ...), on all ranks; raises what another rank came to instead."""
        self._agree(None)
        found = self._comm.gather_shares(own, self._counts, to_all=True)
        assert found is not None
        return found

    def _agree(self, error: Exception | None) -> None:
        """Raise on all ranks where one has come to an error, which is told once."""
        try:
            agree(self._comm, error, _DOING)
        except Exception:
            self._has_failed = True
            raise


def _stripes(shapes: dict[str, Shape], by_value: tuple[str, ...], counts: list[int]) -> Iterator[Stripe]:
    """Where statistics by values lie, of which each rank gets those of its values."""
    first = 0
    for name, shape in shapes.items():
        if name in by_value:
            yield Stripe(first, [count * n_numbers({name: shape[1:]}) for count in counts])
        first += n_numbers({name: shape})
