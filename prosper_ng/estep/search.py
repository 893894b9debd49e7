"""State sets that are kept from sweep to sweep and only ever get better."""

from typing import Annotated

import numpy as np
from annotated_types import Gt, MinLen
from numpy.typing import NDArray

from prosper_ng.components import OneOf, component
from prosper_ng.estep.interface import Floats, Found, Task, Variation
from prosper_ng.estep.listed import Listed
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets, draw_sets
from prosper_ng.numerics.random_streams import Stream


@component
class Search:
    """K_n is stored; variations propose states, and of the union the S of highest joint are kept.

    The free energy at temperature 1 never falls, whatever is proposed (Lücke, arXiv 1610.03113).
    """

    n_states: Annotated[int, Gt(0)] = 60
    """S, the number of states for each row; fewer where the space has fewer."""
    variations: Annotated[tuple[Annotated[Variation, OneOf("prosper_ng.estep.variations")], ...], MinLen(1)] = (
        Evolution(),
    )
    """What proposes new states, one after the other."""

    @property
    def max_active(self) -> int | None:
        """Nothing is left out on principle."""
        return None

    @property
    def corrects_prior(self) -> bool:
        """Nothing to correct."""
        return False

    def initial_sets(
        self, space: LatentSpace, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> StateSets | None:
        """The zero state and draws from the prior, different ones for each row."""
        return draw_sets(space, rows, self.n_states, activity, stream)

    def find(self, task: Task, sets: StateSets | None, vary: bool = True) -> Found:
        """The stored states at the present parameters, after every variation had its say."""
        assert sets is not None
        sets.log_joint[...] = task.log_joint(sets.codes)
        n_evaluated, n_accepted = sets.log_joint.size, 0
        for number, variation in enumerate(self.variations if vary else ()):
            pool = sets
            for turn in range(variation.n_rounds):
                stage = task.stream.staged(((1 + number) << 16) + turn)
                candidates = variation.propose(task._replace(stream=stage), pool)
                log_joint = task.log_joint(candidates)
                n_evaluated += log_joint.size
                n_accepted += sets.merge(candidates, log_joint)
                pool = StateSets(candidates, log_joint) if variation.breeds_offspring else sets
        return Found(sets.codes, sets.log_joint, n_evaluated, n_accepted)

    def posterior(self, task: Task, sets: StateSets | None, vary: bool = True) -> Listed:
        """q_n over these states."""
        return Listed(task, self.find(task, sets, vary))
