"""All states: the exact posterior, for tests and for small H."""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import Floats, Found, Target
from prosper_ng.estep.listed import Listed
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.numerics.random_streams import Stream


@component
class Exhaustive:
    """K_n holds every state of the latent space."""

    @property
    def max_active(self) -> int | None:
        """Nothing is left out."""
        return None

    @property
    def corrects_prior(self) -> bool:
        """Nothing to correct."""
        return False

    def initial_sets(
        self, space: LatentSpace, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> StateSets | None:
        """Nothing is stored; UserError where there are too many states to enumerate."""
        try:
            space.enumerate()
        except ValueError as error:
            raise UserError(f"estep exhaustive: {error}; choose another E-step") from None
        return None

    def find(self, target: Target, sets: StateSets | None, vary: bool = True) -> Found:
        """All states for each row."""
        states = target.model.space.enumerate()
        codes = np.broadcast_to(states, (len(target.batch.values), *states.shape))
        log_joint = target.log_joint(codes)
        return Found(codes, log_joint, n_evaluated=log_joint.size)

    def posterior(self, target: Target, sets: StateSets | None, vary: bool = True) -> Listed:
        """q_n over these states."""
        return Listed(target, self.find(target, sets, vary))
