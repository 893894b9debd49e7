"""The posterior over states that are listed one by one, which serves every model."""

from typing import Any

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import Floats, Found, Target
from prosper_ng.latents.posterior import NEGLIGIBLE, Mask, truncated_posterior
from prosper_ng.models.capabilities import NeedsSmallWeights, Reconstructs, offers
from prosper_ng.numerics.named_arrays import NamedArrays


class Listed:
    """q_n over the states that an E-step found."""

    def __init__(self, target: Target, found: Found) -> None:
        """Weigh the states by their joints, tempered as the target says."""
        self.target, self.found = target, found
        tempering = target.tempering
        log_prior = target.model.log_prior(target.prepared, found.codes) if tempering.needs_prior else None
        model: Any = target.model
        least = model.least_weight() if offers(model, NeedsSmallWeights) else NEGLIGIBLE
        posterior = truncated_posterior(found.log_joint, tempering.of(found.log_joint, log_prior), least)
        self.weights, self.free_energy, self.entropy = posterior
        self.n_evaluated, self.n_accepted = found.n_evaluated, found.n_accepted

    @property
    def n_bytes(self) -> int:
        """Of states, log joints and weights."""
        return self.found.codes.nbytes + self.found.log_joint.nbytes + self.weights.nbytes

    def accumulate(self, kept: Mask | None, sums: NamedArrays) -> None:
        """Add the model's statistics of the rows that are kept."""
        model, prepared, projected, batch, *_ = self.target
        weights: Floats = self.weights if kept is None else self.weights * kept[:, None]
        model.accumulate(prepared, projected, batch, self.found.codes, weights, sums)

    def reconstruct(self) -> Floats:
        """(n, D) posterior predictive mean; raises UserError where the model makes none."""
        model: Any = self.target.model
        if not offers(model, Reconstructs):
            raise UserError(f"model {kind_of(model)} cannot predict data")
        prepared, projected = self.target.prepared, self.target.projected
        return np.asarray(model.reconstruct(prepared, projected, self.found.codes, self.weights))
