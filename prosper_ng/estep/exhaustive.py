"""All states: the exact posterior, for tests and for small H."""

from typing import Any

import numpy as np

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.estep.defaults import EStepDefaults
from prosper_ng.estep.interface import Found, RowArrays, Target
from prosper_ng.latents.index_space import StateSpace


@component
class Exhaustive(EStepDefaults):
    """K_n holds every state of the latent space."""

    def check(self, model: Any) -> None:
        """Raise UserError where there are too many states to enumerate."""
        super().check(model)
        try:
            model.space.enumerate()
        except ValueError as error:
            raise UserError(f"estep exhaustive: {error}; choose another E-step") from None

    def n_listed(self, space: StateSpace) -> int:
        """All states there are."""
        return space.n_states

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """All states for each row."""
        states = target.model.space.enumerate()
        codes = np.broadcast_to(states, (len(target.batch.values), *states.shape))
        log_joint = target.log_joint(codes)
        return Found(codes, log_joint, n_evaluated=log_joint.size)
