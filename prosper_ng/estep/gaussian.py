"""Gaussian posteriors over latents that are real numbers, kept from sweep to sweep (`estep: gaussian`)."""

from typing import Any, Literal

import numpy as np

from prosper_ng.components import component
from prosper_ng.estep.defaults import EStepDefaults
from prosper_ng.estep.interface import RowArrays, RowState, Target
from prosper_ng.latents.posterior import GaussianPosterior
from prosper_ng.models.capabilities import FitsGaussians


@component
class Gaussian(EStepDefaults):
    """q_n is the Gaussian of highest free energy (Velychko, Damm, Fischer and Lücke, arXiv 2311.01888).

    Means and standard deviations are kept of each row, where the next sweep goes on from. The maximum is unique for
    latents with log-concave priors (Challis and Barber, JMLR 2013), so that they only save time.
    """

    covariance: Literal["full", "diagonal"] = "full"
    """Whether the latents of a row may be correlated, at H³ operations a row, or are independent (mean field)."""

    needs = FitsGaussians
    lists_states = False

    def reconstructs(self, model: Any) -> bool:
        """By the means."""
        return True

    def row_state(self, model: Any, n_observed: int) -> RowState:
        """Means nu and standard deviations tau; first of all 0, which marks rows of which nothing is known yet."""
        each = ((model.n_latents,), np.dtype(np.float64))
        return {"nu": each, "tau": each}

    def working_bytes(self, model: Any) -> int:
        """What is found of a row, and copies of it."""
        return 8 * 8 * model.n_latents

    def posterior(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> GaussianPosterior:
        """The best q_n at the present parameters; with `vary` off that which is kept."""
        model: Any = target.model
        if rows is None:
            no_draws = target.stream
            rows = self.initial_rows(model, target.batch.values.shape[1], target.batch.rows, np.empty(0), no_draws)
        found: GaussianPosterior = model.fit_gaussians(
            target.prepared, target.projected, target.batch, (rows["nu"], rows["tau"]), self.covariance == "full",
            target.tempering, vary,
        )  # fmt: skip
        if vary:
            rows["nu"][...], rows["tau"][...] = found.nu, found.tau
        return found
