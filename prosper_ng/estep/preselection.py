"""Expectation Truncation: few latents are preselected for each row, and their combinations searched exhaustively."""

from math import comb
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.estep.defaults import EStepDefaults
from prosper_ng.estep.interface import Floats, Found, RowArrays, Target
from prosper_ng.estep.listed import Listed
from prosper_ng.estep.row_by_row import in_pieces
from prosper_ng.latents.candidates import CandidateTree, Preselected, candidate_tree, rank, small_states
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.posterior import Posterior
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.capabilities import Affinity, KnowsSingletons, Preselects, offers

_MAX_PATTERNS = 1_000_000


@component
class Preselection(EStepDefaults):
    """K_n: the zero state, all singletons, and what 2..gamma of the H' best latents can combine to.

    Nothing is stored between sweeps (Lücke and Eggert, JMLR 2010).
    """

    n_candidates: Annotated[int, Gt(0)] = 8
    """H', the number of latents preselected for each row."""
    max_active: Annotated[int, Gt(0)] = 4
    """gamma, the largest number of latents active together."""
    selection: Literal["singleton", "model"] = "singleton"
    """How latents are ranked: by the joint of their best singleton, or by the model's own selection function."""
    corrects_prior: bool = True
    """Whether the learned activities account for the rows that gamma latents cannot explain."""

    def serves(self, space: StateSpace) -> bool:
        """Latents that are packed in bit planes, since they are what is preselected."""
        return isinstance(space, LatentSpace)

    def check(self, model: Any) -> None:
        """Raise UserError where the combinations are too many."""
        super().check(model)
        self._check_patterns(model.space)

    def _check_patterns(self, space: StateSpace) -> None:
        n_patterns = self._n_patterns(space)
        if n_patterns > _MAX_PATTERNS:
            raise UserError(
                f"preselection: n_candidates {self.n_candidates} and max_active {self.max_active} make "
                f"{n_patterns} combinations for each row, more than {_MAX_PATTERNS}; choose smaller ones"
            )

    def reconstructs(self, model: Any) -> bool:
        """Where the model predicts data, be it from what it makes of preselected states."""
        return offers(model, Preselects) or super().reconstructs(model)

    def n_listed(self, space: StateSpace) -> int:
        """Zero, singletons, combinations."""
        return 1 + space.n_singletons + self._n_patterns(space)

    def n_weighed(self, model: Any) -> int:
        """None where the model knows better."""
        return 0 if offers(model, Preselects) else self.n_listed(model.space)

    def unsettled(self, target: Target, found: Found) -> NDArray[np.bool_]:
        """(n,) whether the best state has as many active latents as are allowed, or the last candidate among them."""
        space = target.model.space
        n_candidates = min(self.n_candidates, space.n_latents)
        max_active = min(self.max_active, n_candidates)
        best = found.codes[np.arange(len(found.codes)), found.log_joint.argmax(axis=1)]
        active = space.decode(best) != 0
        on_edge = (active.sum(axis=1) >= max_active) & (max_active < space.n_latents)
        if n_candidates < space.n_latents:
            ranked = np.argsort(-self.scores(target), axis=1, kind="stable")
            on_edge |= np.take_along_axis(active, ranked[:, n_candidates - 1 : n_candidates], axis=1)[:, 0]
        return np.asarray(on_edge)

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """The preselected states of each row."""
        codes = self.choose(target).codes(target.model.space)
        log_joint = target.log_joint(codes)
        return Found(codes, log_joint, n_evaluated=log_joint.size)

    def posterior(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Posterior:
        """q_n over these states, which are listed only for models that know nothing better."""
        model: Any = target.model
        if not offers(model, Preselects):
            return Listed(target, self.find(target, rows, vary))
        own = () if target.workspace is None else (target.workspace,)
        found: Posterior = model.preselect(
            target.prepared, target.projected, target.batch, self.choose(target), target.tempering, *own
        )
        return found

    def tree(self, space: StateSpace) -> CandidateTree:
        """What H' candidates combine to; raises UserError where that is too much."""
        self._check_patterns(space)
        n_candidates = min(self.n_candidates, space.n_latents)
        return candidate_tree(n_candidates, min(self.max_active, n_candidates), space.n_values)

    def choose(self, target: Target) -> Preselected:
        """The candidates of each row, the best first."""
        space = target.model.space
        candidates = np.empty((len(target.batch.values), min(self.n_candidates, space.n_latents)), np.int64)
        rank(self.scores(target), candidates)
        return Preselected(candidates, self.tree(space))

    def scores(self, target: Target) -> Floats:
        """(n, H) how good each latent is."""
        model: Any = target.model
        space = model.space
        if self.selection == "model" and offers(model, Affinity):
            return in_pieces(target, _affinity) if target.apart else _affinity(target)
        if offers(model, KnowsSingletons):
            singletons = model.log_joint_of_singletons(target.prepared, target.projected)
        else:
            codes = small_states(space.n_latents, tuple(space.values))[1:]
            singletons = target.log_joint(np.broadcast_to(codes, (len(target.batch.values), *codes.shape)))
        singletons = singletons.reshape(-1, space.n_latents, space.n_values - 1)
        return np.asarray(singletons[:, :, 0] if space.n_values == 2 else singletons.max(axis=2))

    def _n_patterns(self, space: StateSpace) -> int:
        n_candidates = min(self.n_candidates, space.n_latents)
        sizes = range(2, min(self.max_active, n_candidates) + 1)
        return sum(comb(n_candidates, k) * (space.n_values - 1) ** k for k in sizes)


def _affinity(target: Target, *_: Any) -> Floats:
    model: Any = target.model
    return np.asarray(model.affinity(target.prepared, target.projected, target.batch))
