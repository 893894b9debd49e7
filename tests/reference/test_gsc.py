"""GSC beside the outputs of ProSper (Expectation Truncation, gamma = 3), evo and tvo (ten fixed states a row).

All three have a full slab covariance. Where they deviate from the equations, the exact value is computed here densely.
"""

import numpy as np
import pytest
from scipy import stats

from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.models.gsc import GSC
from prosper_ng.models.interface import Batch, Floats, MStep
from prosper_ng.numerics.linear import diagonal_of_packed, packed
from prosper_ng.numerics.named_arrays import NamedArrays

Vectors = dict[str, np.ndarray]
PROSPER = pytest.mark.parametrize("noise", ["scalar", "diagonal", "full"])
PEERS = pytest.mark.parametrize("name", ["evo_sssc", "tvo_sssc", "tvo_sssc_reformpsi"])


class Expectation:
    """Everything up to the M-step, from the predecessors' parameters and states."""

    def __init__(self, noise: str, params: NamedArrays, y: Floats, states: np.ndarray) -> None:
        self.model, self.params, self.y, self.states = GSC(n_latents=6, noise=noise, slab="full"), params, y, states
        self.batch = Batch(np.arange(40), y)
        self.codes = self.model.space.encode(states.astype(int))
        self.prepared = self.model.prepare(params)
        self.projected = self.model.project(self.prepared, self.batch)
        self.log_joint = self.model.log_joint(self.prepared, self.projected, self.codes)
        self.log_prior = self.model.log_prior(self.prepared, self.codes)

    def sums(self, weights: Floats) -> NamedArrays:
        sums = NamedArrays(self.model.statistics(12))
        self.model.accumulate(self.prepared, self.projected, self.batch, self.codes, weights, sums)
        return sums

    def maximum(self, sums: NamedArrays) -> NamedArrays:
        return self.model.maximize(self.params, sums, MStep(frozenset(self.params)))

    def covariance(self) -> Floats:
        return self.params["Sigma"] if "Sigma" in self.params else np.eye(12) * self.params["sigma"] ** 2

    def moments_of_all_slabs(self, weights: Floats) -> tuple[Floats, Floats]:
        """sum <z> and sum <z zᵀ> over all latents, state by state from the precision of z given s and y."""
        precision, mu = np.linalg.inv(self.params["Psi"]), self.params["mu"]
        inverse_noise = np.linalg.inv(self.covariance())
        first, second = np.zeros(6), np.zeros((6, 6))
        for y, states, row in zip(self.y, self.states, weights, strict=True):
            for state, weight in zip(states, row, strict=True):
                W = self.params["W"] * state
                covariance = np.linalg.inv(precision + W.T @ inverse_noise @ W)
                mean = covariance @ (precision @ mu + W.T @ inverse_noise @ y)
                first += weight * mean
                second += weight * (covariance + np.outer(mean, mean))
        return first, second


def check_slabs(found: Expectation, sums: NamedArrays, weights: Floats, new: NamedArrays) -> None:
    """mu and Psi are the moments of all slabs, active or not."""
    first, second = found.moments_of_all_slabs(weights)
    assert sums["z"] == pytest.approx(first, rel=1e-11)
    assert sums["zz"] == pytest.approx(second, rel=1e-10)
    assert new["mu"] == pytest.approx(first / 40, rel=1e-11)
    assert new["Psi"] == pytest.approx(second / 40 - np.outer(first, first) / 1600, rel=1e-9)


@pytest.fixture
def prosper(reference):
    def load(noise: str) -> tuple[Vectors, Expectation]:
        vectors = reference(f"prosper_gsc_{noise}")
        name, value = ("Sigma", vectors["in_sigma_sq"]) if noise == "full" else ("sigma", vectors["in_sigma_sq"] ** 0.5)
        common = {"W": vectors["in_W"], "pi": vectors["in_pi"], "mu": vectors["in_mu"], "Psi": vectors["in_psi_sq"]}
        params = NamedArrays.of(**common, **{name: value})
        return vectors, Expectation(noise, params, vectors["y"], vectors["states"])

    return load


@pytest.fixture
def peer(reference):
    def load(name: str) -> tuple[Vectors, Vectors, Expectation]:
        start = reference("evo_sssc")
        common = {"W": start["in_W"], "pi": start["in_pies"], "mu": start["in_mus"], "Psi": start["in_Psi"]}
        params = NamedArrays.of(**common, sigma=start["in_sigma2"] ** 0.5)
        return reference(name), start, Expectation("scalar", params, start["y"], start["states"])

    return load


@PROSPER
def test_log_joint_equals_the_marginal_density_and_the_exact_one_beside_prospers(prosper, noise):
    vectors, found = prosper(noise)
    Psi, Sigma, mu = found.params["Psi"], found.covariance(), found.params["mu"]
    for row in (0, 17, 39):
        for number, state in enumerate(found.states[row]):
            W = found.params["W"] * state
            density = stats.multivariate_normal(W @ mu, W @ Psi @ W.T + Sigma).logpdf(found.y[row])
            exact = density + stats.bernoulli.logpmf(state, found.params["pi"]).sum()
            assert found.log_joint[row, number] == pytest.approx(exact, rel=1e-11)
    dropped = found.log_joint - vectors["logpj_exact"]
    assert np.ptp(dropped) < 1e-11
    assert truncated_posterior(found.log_joint).weights == pytest.approx(vectors["posterior_exact"], abs=1e-12)


@PROSPER
def test_prospers_log_joint_lacks_both_factors_one_half_so_counts_the_likelihood_twice(prosper, noise):
    vectors, found = prosper(noise)
    doubled = 2 * (found.log_joint - found.log_prior) + found.log_prior
    assert np.ptp(doubled - vectors["logpj"]) < 1e-11
    assert np.abs(vectors["posterior"] - vectors["posterior_exact"]).max() > 0.2
    ours = truncated_posterior(found.log_joint).weights
    assert truncated_posterior(doubled).weights == pytest.approx(vectors["posterior"], abs=1e-12)
    assert ours == pytest.approx(vectors["posterior_exact"], abs=1e-12)


@PROSPER
def test_candidates_equal_prospers(prosper, noise):
    vectors, found = prosper(noise)
    affinity = found.model.affinity(found.prepared, found.projected, found.batch)
    assert (np.sort(np.argsort(affinity, axis=1)[:, -4:], axis=1) == np.sort(vectors["candidates"], axis=1)).all()


@PROSPER
def test_posterior_moments_equal_prospers_at_its_weights(prosper, noise):
    vectors, found = prosper(noise)
    sums = found.sums(vectors["posterior"])
    assert sums["s"] == pytest.approx(vectors["peer_xpt_s"].sum(axis=0), rel=1e-12)
    assert sums["sz"] == pytest.approx(vectors["peer_xpt_sz"].sum(axis=0), rel=1e-11)
    assert sums["szsz"] == pytest.approx(packed(vectors["peer_xpt_szsz"].sum(axis=0)), rel=1e-11, abs=1e-12)
    means = found.model.posterior_means(found.prepared, found.projected, found.codes, vectors["posterior"])
    assert means["s_z"] == pytest.approx(vectors["peer_xpt_sz"], rel=1e-11, abs=1e-13)


@PROSPER
def test_m_step_equals_prospers_in_W_and_pi_and_the_exact_formula_in_the_noise_which_prosper_overestimates(
    prosper, noise
):
    vectors, found = prosper(noise)
    new = found.maximum(found.sums(vectors["posterior"]))
    assert new["W"] == pytest.approx(vectors["out_W"], rel=1e-10)
    assert new["pi"] == pytest.approx(vectors["out_pi"], rel=1e-12)
    ours = new["Sigma"] if noise == "full" else new["sigma"] ** 2
    assert ours == pytest.approx(vectors["check_sigma_sq_exact_formula"], rel=1e-10)
    # ProSper subtracts the outer product of posterior means in place of the second moment.
    theirs = vectors["out_sigma_sq"]
    assert np.all(np.diagonal(theirs) > np.diagonal(ours) if noise == "full" else theirs > ours)


@PROSPER
def test_slabs_are_the_moments_of_all_amplitudes_and_prospers_are_not(prosper, noise):
    vectors, found = prosper(noise)
    sums = found.sums(vectors["posterior"])
    new = found.maximum(sums)
    check_slabs(found, sums, vectors["posterior"], new)
    # ProSper takes the mean over active slabs only, right for independent slabs, and a matrix that is not symmetric.
    assert vectors["out_mu"] == pytest.approx(sums["sz"] / sums["s"], rel=1e-11)
    assert np.abs(vectors["out_psi_sq"] - vectors["out_psi_sq"].T).max() > 0.05
    theirs = new.copy()
    theirs["mu"], theirs["Psi"] = vectors["out_mu"], vectors["out_psi_sq"]
    theirs["Sigma" if noise == "full" else "sigma"] = vectors["out_sigma_sq"] ** (1.0 if noise == "full" else 0.5)
    assert found.model.expected_log_joint(theirs, sums) < found.model.expected_log_joint(new, sums) - 1


@PEERS
def test_log_joint_free_energy_and_reconstruction_equal_evos_and_tvos(peer, name):
    vectors, start, found = peer(name)
    dropped = float(np.log1p(-start["in_pies"]).sum() - 6 * np.log(2 * np.pi * start["in_sigma2"]))
    assert found.log_joint - dropped == pytest.approx(vectors["lpj"], rel=1e-11, abs=1e-11)
    posterior = truncated_posterior(found.log_joint)
    assert posterior.free_energy.mean() == pytest.approx(vectors["F"].item(), rel=1e-13)
    reconstructed = found.model.reconstruct(found.prepared, found.projected, found.codes, posterior.weights)
    theirs = vectors["y_reconstructed" if name == "evo_sssc" else "data_estimator"]
    assert reconstructed == pytest.approx(theirs, rel=1e-10, abs=1e-11)


@PEERS
def test_m_step_equals_evos_and_tvos_in_W_and_pi_and_the_exact_formula_in_the_noise_which_they_overestimate(peer, name):
    vectors, start, found = peer(name)
    posterior = truncated_posterior(found.log_joint)
    sums = found.sums(posterior.weights)
    assert sums["s"] == pytest.approx(start["xpt_s"].sum(axis=0), rel=1e-12)
    assert sums["sz"] == pytest.approx(start["xpt_sz"].sum(axis=0), rel=1e-10)
    assert sums["szsz"] == pytest.approx(packed(start["sum_xpt_szsz"]), rel=1e-10, abs=1e-11)
    new = found.maximum(sums)
    assert new["W"] == pytest.approx(vectors["out_W"], rel=1e-9)
    assert new["pi"] == pytest.approx(vectors["out_pies"], rel=1e-12)
    assert new["sigma"] ** 2 == pytest.approx(start["check_sigma2_exact_formula"].item(), rel=1e-11)
    assert vectors["out_sigma2"].item() > 1.2 * new["sigma"] ** 2


@PEERS
def test_slabs_are_the_moments_of_all_amplitudes_and_evos_and_tvos_are_not(peer, name):
    vectors, start, found = peer(name)
    weights = truncated_posterior(found.log_joint).weights
    sums = found.sums(weights)
    new = found.maximum(sums)
    check_slabs(found, sums, weights, new)
    assert vectors["out_mus"] == pytest.approx(sums["sz"] / sums["s"], rel=1e-10)
    theirs = new.copy()
    theirs["mu"], theirs["Psi"], theirs["sigma"] = vectors["out_mus"], vectors["out_Psi"], vectors["out_sigma2"] ** 0.5
    assert found.model.expected_log_joint(theirs, sums) < found.model.expected_log_joint(new, sums) - 1
    # Moments of the active slabs, which are those that an independent slab learns from.
    deviations = diagonal_of_packed(sums["szsz"]) / sums["s"] - (sums["sz"] / sums["s"]) ** 2
    assert deviations == pytest.approx(np.diagonal(start["check_Psi_elementwise"]), rel=1e-9)
