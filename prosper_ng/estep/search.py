"""State sets that are kept from sweep to sweep and only ever get better."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, MinLen
from numpy.typing import NDArray

from prosper_ng.components import OneOf, component, kind_of
from prosper_ng.errors import UserError
from prosper_ng.estep.defaults import EStepDefaults, unserved
from prosper_ng.estep.interface import Floats, Found, RowArrays, RowState, Target, Variation
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.set_sizes import resized, store
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets, draw_sets
from prosper_ng.numerics.random_streams import Stream
from prosper_ng.numerics.schedule import SweepTrack, check_positions, points_of, value_at


@component
class Search(EStepDefaults):
    """K_n is stored; variations propose states, and of the union the S of highest joint are kept.

    The free energy at temperature 1 never falls, whatever is proposed (Lücke, arXiv 1610.03113).
    """

    n_states: Annotated[int, Gt(0)] = 60
    """S, the number of states for each row; fewer where the space has fewer."""
    variations: Annotated[tuple[Annotated[Variation, OneOf("prosper_ng.estep.variations")], ...], MinLen(1)] = (
        Evolution(),
    )
    """What proposes new states, one after the other."""
    share: SweepTrack = 1.0
    """The share of the S states that is in use; points [[sweep, share], ...] let the sets grow."""

    def __post_init__(self) -> None:
        """Refuse schedules that go backwards, and sets that shrink, since that would lower the free energy."""
        for name, track in (
            ("share", self.share),
            *((f"{kind_of(each)}.active", each.active) for each in self.variations),
        ):
            check_positions(name, points_of(track))
        shares = [share for _, share in points_of(self.share)]
        if not (shares[0] > 0 and shares[-1] <= 1 and shares == sorted(shares)):
            raise ValueError(f"share: {shares} is not legal; shares are greater than 0, at most 1, and never fall")

    @property
    def turning_points(self) -> tuple[int, ...]:
        """The sweeps at which schedules have their points, in ascending order."""
        tracks = (self.share, *(variation.active for variation in self.variations))
        return tuple(sorted({int(sweep) for track in tracks for sweep, _ in points_of(track)}))

    def serves(self, space: StateSpace) -> bool:
        """Latents that are packed in bit planes, since first states are drawn from independent latents."""
        return isinstance(space, LatentSpace)

    def check(self, model: Any) -> None:
        """Raise UserError where the search, or one of its variations, cannot work on the states of the model."""
        super().check(model)
        for variation in self.variations:
            if not variation.serves(model.space):
                raise UserError(f"estep.variations: {kind_of(variation)} {unserved(model)}; choose another variation")

    def row_state(self, model: Any, n_observed: int) -> RowState:
        """S packed states and their log joints."""
        n_states, words = self.n_listed(model.space), model.space.words
        return {
            "codes": ((n_states, words), np.dtype(np.uint64)),
            "log_joint": ((n_states,), np.dtype(np.float64)),
        }

    def initial_rows(
        self, model: Any, n_observed: int, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> RowArrays:
        """The zero state and draws from the prior, different ones for each row."""
        return draw_sets(model.space, rows, self.n_states, activity, stream)._asdict()

    def can_take_up(self, kept: RowState, model: Any, n_observed: int) -> bool:
        """Any number of states of the same latent space."""
        words, types = model.space.words, {name: dtype for name, (_, dtype) in kept.items()}
        own = {name: dtype for name, (_, dtype) in self.row_state(model, n_observed).items()}
        return types == own and kept["codes"][0][1:] == (words,)

    def take_up(self, target: Target, rows: RowArrays, before: RowArrays | None) -> Found:
        """The best of the fresh states and those kept before."""
        sets = StateSets(**rows)
        sets.log_joint[...] = target.log_joint(sets.codes)
        if before is not None:
            codes = before["codes"]
            sets.merge(codes, target.log_joint(codes))
        return Found(*sets, n_evaluated=sets.log_joint.size)

    def n_listed(self, space: StateSpace) -> int:
        """S, or all states where there are fewer."""
        return min(self.n_states, space.n_states)

    def n_proposed(self, space: StateSpace) -> int:
        """By the variation that proposes most."""
        return max(variation.n_proposed(space, self.n_listed(space)) for variation in self.variations)

    def ways_to_keep_less(self, model: Any, row_bytes: float) -> str | None:
        """Fewer states."""
        n_states = int(row_bytes / (8 * model.space.words + 8))
        return f"choose estep.n_states of {n_states} or less" if n_states else None

    def with_all_states(self) -> "Search":
        """With a share of 1."""
        return replace(self, share=1.0)

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """The states in use at the present parameters, after every variation had its say."""
        sets = StateSets(**(rows or {}))
        if not isinstance(self.share, tuple) and self.share == 1:
            return self._improve(target, sets, vary)
        used = resized(
            sets,
            self._n_used(target.sweep, sets),
            target.model.space,
            target.batch.rows,
            target.activity,
            target.stream.staged(0),
        )
        found = self._improve(target, used, vary)
        store(used, sets)
        return found

    def _n_used(self, sweep: int, sets: StateSets) -> int:
        """How many of the stored states are in use."""
        return max(1, round(value_at(points_of(self.share), sweep) * sets.codes.shape[1]))

    def _improve(self, target: Target, sets: StateSets, vary: bool) -> Found:
        """Evaluate the states and let the variations, if asked to, replace some by better ones; in place."""
        sets.log_joint[...] = target.log_joint(sets.codes)
        n_evaluated, n_accepted = sets.log_joint.size, 0
        for number, variation in enumerate(self.variations if vary else ()):
            if not value_at(points_of(variation.active), target.sweep):
                continue
            pool = sets
            for turn in range(variation.n_rounds):
                stage = target.stream.staged(((1 + number) << 16) + turn)
                candidates = variation.propose(target._replace(stream=stage), pool)
                log_joint = target.log_joint(candidates)
                n_evaluated += log_joint.size
                n_accepted += sets.merge(candidates, log_joint)
                pool = StateSets(candidates, log_joint) if variation.breeds_offspring else sets
        return Found(sets.codes, sets.log_joint, n_evaluated, n_accepted)
