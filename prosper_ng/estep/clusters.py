"""A few components of a mixture for each row, kept from sweep to sweep, and those near to them (`estep: clusters`)."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Protocol

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.estep.defaults import EStepDefaults
from prosper_ng.estep.interface import Floats, Found, RowArrays, RowState, Target
from prosper_ng.estep.row_by_row import some
from prosper_ng.latents.index_space import IndexSpace, StateSpace
from prosper_ng.latents.near_values import NearValues, draw_values, fill_cells, fill_near, near_values
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.models.capabilities import ComparesValues
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.numerics.random_streams import Stream
from prosper_ng.numerics.sharing import ALONE, Share

_ENOUGH_CELLS = 16
"""Squared distances to the components found are then within 0.02 % of those to the nearest (C = 400 and 3,000)."""
_NUMBERS = 1 << 19
"""Log joints of the first look that are held at a time."""


class ComparesClusters(DiscreteLatents, ComparesValues, Protocol):
    """Models whose states can be compared with each other as well as with rows."""


@component
class Clusters(EStepDefaults):
    """K_n holds C' of C components; looked at are the nearest of each, and random ones.

    Forster and Lücke, AISTATS 2018 (arXiv 1711.03431); Hirschberger, Forster and Lücke, IEEE TPAMI 2022. No more than
    C' G + `n_random` components are looked at in a sweep, so that its time hardly grows with C. A row that is new is
    held against about sqrt(C) components that stand for the others, and then against those that the best of these stand
    for. The free energy at temperature 1 never falls.
    """

    n_states: Annotated[int, Gt(0)] = 3
    """C', the components that are kept for each row; 1 with `equal_weights` and scalar noise is k-means."""
    n_near: Annotated[int, Gt(0)] = 15
    """G, how many are looked at around each of these, itself included."""
    n_random: Annotated[int, Ge(0)] = 1
    """How many more at random."""
    n_cells: Annotated[int, Gt(0)] = 2
    """Of how many of the components that stand for others a new row is held against those that they stand for."""

    needs = ComparesClusters

    def serves(self, space: StateSpace) -> bool:
        """The components of a mixture."""
        return isinstance(space, IndexSpace)

    def row_state(self, model: Any, n_observed: int) -> RowState:
        """C' components and their log joints."""
        n_states = self.n_listed(model.space)
        return {"codes": ((n_states, 1), np.dtype(np.uint64)), "log_joint": ((n_states,), np.dtype(np.float64))}

    def initial_rows(
        self, model: Any, n_observed: int, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> RowArrays:
        """Any components; a log joint of -inf marks rows that were never looked at."""
        codes = np.empty((len(rows), self.n_listed(model.space), 1), np.uint64)
        draw_values(rows, model.space.n_values, stream.words(), codes)
        return {"codes": codes, "log_joint": np.full(codes.shape[:2], -np.inf)}

    def guide(self, model: Any, prepared: Any, share: Share = ALONE) -> NearValues:
        """Which components are near to which."""
        return near_values(model.space.n_values, self.n_near, partial(model.likeness, prepared), share)

    def can_take_up(self, kept: RowState, model: Any, n_observed: int) -> bool:
        """Any number of components."""
        own = self.row_state(model, n_observed)
        return {name: (shape[1:], dtype) for name, (shape, dtype) in kept.items()} == {
            name: (shape[1:], dtype) for name, (shape, dtype) in own.items()
        }

    def take_up(self, target: Target, rows: RowArrays, before: RowArrays | None) -> Found:
        """The best of those kept before and any components; where nothing was kept, of a first look."""
        found = self.find(target, rows, vary=False)
        if before is not None:
            codes = before["codes"]
            StateSets(**rows).merge(codes, target.log_joint(codes))
        return found

    def n_listed(self, space: StateSpace) -> int:
        """C', or C where that is less."""
        return min(self.n_states, space.n_states)

    def n_proposed(self, space: StateSpace) -> int:
        """Those near and at random, or those of a first look."""
        cells = (1 + self.n_cells) * int(np.ceil(np.sqrt(space.n_states)))
        return max(self.n_listed(space) * (self.n_near - 1) + self.n_random, cells)

    def ways_to_keep_less(self, model: Any, row_bytes: float) -> str | None:
        """Fewer components."""
        n_states = int(row_bytes / 16)
        return f"choose estep.n_states of {n_states} or less" if n_states else None

    def with_all_states(self) -> "Clusters":
        """With a first look at so many cells that hardly a row misses its nearest component: no sweeps will mend it."""
        return replace(self, n_cells=max(self.n_cells, _ENOUGH_CELLS))

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """The components of each row at the present parameters, better ones in the place of others where `vary` is on.

        Rows that were never looked at are, whatever `vary` says.
        """
        model: Any = target.model
        if target.guide is None:
            target = target._replace(guide=self.guide(model, target.prepared))
        sets = StateSets(**(rows or {}))
        fresh = np.asarray((sets.log_joint == -np.inf).all(axis=1))
        sets.log_joint[...] = target.log_joint(sets.codes)
        n_evaluated, n_accepted = sets.log_joint.size, 0
        if fresh.any():
            n_evaluated += self._look_first(target, sets, fresh)
        if vary and not fresh.all():
            n_most = self.n_listed(model.space) * target.guide.near.shape[1] + self.n_random
            codes, words = np.empty((len(sets.codes), n_most, 1), np.uint64), target.stream.words()
            n_evaluated += fill_near(sets.codes, target.guide.near, target.batch.rows, words, self.n_random, codes)
            n_accepted = sets.merge(codes, target.log_joint(codes))
        return Found(sets.codes, sets.log_joint, n_evaluated, n_accepted)

    def _look_first(self, target: Target, sets: StateSets, fresh: NDArray[np.bool_]) -> int:
        """Hold fresh rows against pivots, then against what the best of these stand for; how many were evaluated."""
        guide: NearValues = target.guide
        n_cells = min(self.n_cells, len(guide.pivots))
        width, n_evaluated = min(n_cells * guide.largest_cell, len(guide.members)), 0
        pivots = guide.pivots.astype(np.uint64)[:, None]
        n_together = max(1, _NUMBERS // width)
        numbers = np.flatnonzero(fresh)
        for start in range(0, len(numbers), n_together):
            chosen = numbers[start : start + n_together]
            part = target if len(chosen) == len(fresh) else some(target, chosen)
            scores = part.log_joint(np.broadcast_to(pivots, (len(chosen), *pivots.shape)))
            codes = np.empty((len(chosen), width, 1), np.uint64)
            n_evaluated += scores.size + fill_cells(scores, guide.starts, guide.members, n_cells, codes)
            own = StateSets(sets.codes[chosen], sets.log_joint[chosen])
            own.merge(codes, part.log_joint(codes))
            sets.codes[chosen], sets.log_joint[chosen] = own
        return n_evaluated
