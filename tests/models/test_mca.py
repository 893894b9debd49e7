"""Maximal causes beside their plain definition."""

import numpy as np

from prosper_ng.models.mca import MCA
from prosper_ng.testing import ModelCase, parametrize_with_checks
from tests.models.test_bsc import log_density, prior, variance


def mean_of_maximum(least_temperature):
    """A function for (S, D): entries of largest magnitude of the active latents, or the power mean at temperature 1."""

    def mean(model, params, states):
        shown = states[:, None, :] * params["W"]
        if model.superposition == "hard":
            return np.take_along_axis(shown, np.abs(shown).argmax(axis=-1)[..., None], axis=-1)[..., 0]
        rho = 1 / (1 - 1 / least_temperature)
        total = (np.sign(shown) * np.abs(shown) ** rho).sum(axis=-1)
        return np.sign(total) * np.abs(total) ** (1 / rho)

    return mean


def case_of_maximum(make, least_temperature):
    mean = mean_of_maximum(least_temperature)

    def log_joint(model, params, values, states, observed):
        """(n, S) log p(s, y)."""
        return log_density(params, values, mean(model, params, states), observed) + prior(model, params, states)

    return ModelCase(make, log_joint, prior, mean, variance)


CASES = {
    "mca": case_of_maximum(lambda n_latents: MCA(n_latents=n_latents), 1.05),
    "mca-soft": case_of_maximum(lambda n_latents: MCA(n_latents=n_latents, superposition="soft", shared_pi=True), 1.05),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()
