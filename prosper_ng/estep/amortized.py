"""Discrete states with real-valued latents beside them, whose posteriors encoders tell (`estep: amortized`)."""

from typing import Annotated, Any

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import Codes, Floats, Found, RowArrays, Target
from prosper_ng.estep.listed import Listed
from prosper_ng.estep.row_by_row import in_pieces
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.models.capabilities import DrawsLatents


@component
class Amortized(Exhaustive):
    """q_n(s) over all states, or those with few active latents, and q_n(z | s) as encoders of the model say.

    Means over z are means over samples. What is drawn for a row depends on the sweep and the number of the row, or, in
    inference, on what the row holds.
    """

    n_samples: Annotated[int, Gt(0)] = 1
    """R, how many samples of all z are drawn of each row in each sweep."""
    max_active: Annotated[int, Gt(0)] | None = None
    """gamma: states with more active latents are left out; None where none is."""

    needs = DrawsLatents

    def n_listed(self, space: StateSpace) -> int:
        """Those with few active latents."""
        return len(self._states(space))

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """All states for each row, by samples of z."""
        return self._found(target, rows)[1]

    def posterior(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Listed:
        """q_n over these states, with the samples that they were weighed by."""
        return Listed(*self._found(target, rows))

    def _found(self, target: Target, rows: RowArrays | None) -> tuple[Target, Found]:
        states = self._states(target.model.space)
        self._require_known(target, states)
        if target.apart:
            log_joint = in_pieces(target, lambda some, _: self._listed(self._drawn(some), states).log_joint)
            codes = np.broadcast_to(states, (len(log_joint), *states.shape))
            return target, Found(codes, log_joint, n_evaluated=log_joint.size)
        drawn = self._drawn(target)
        return drawn, self._listed(drawn, states)

    def _listed(self, target: Target, states: Codes) -> Found:
        codes = np.broadcast_to(states, (len(target.batch.values), *states.shape))
        log_joint = target.log_joint(codes)
        return Found(codes, log_joint, n_evaluated=log_joint.size)

    def _drawn(self, target: Target) -> Target:
        """The same with samples of z."""
        model: Any = target.model
        normals: Floats = target.stream.normal(target.batch.rows, self.n_samples * model.n_draws)
        return target._replace(projected=model.draw(target.prepared, target.projected, normals))

    def _states(self, space: Any) -> Codes:
        """(S, words)."""
        states: Codes = space.enumerate()
        if self.max_active is None:
            return states
        few: NDArray[np.bool_] = np.count_nonzero(space.decode(states), axis=1) <= self.max_active
        return states[few]

    def _require_known(self, target: Target, states: Codes) -> None:
        """Raise UserError where a label is a state that is left out."""
        labels = target.batch.labels
        if labels is not None and self.max_active is not None:
            numbers = target.model.space.decode(states) @ (1 << np.arange(target.model.space.n_latents))
            if len(left := np.setdiff1d(labels[labels >= 0], numbers)):
                raise UserError(
                    f"label {left[0]} is a state with more than {self.max_active} active latents, which estep "
                    "amortized leaves out; set a larger max_active"
                )
