"""MCA beside ProSper's outputs: power mean with exponent 21 at T = 1, Expectation Truncation with gamma = 3."""

import numpy as np
import pytest

from prosper_ng.latents.posterior import TruncatedPosterior, truncated_posterior
from prosper_ng.models.interface import Batch, Floats, MStep
from prosper_ng.models.mca import MCA, Projected
from prosper_ng.numerics.named_arrays import NamedArrays

Vectors = dict[str, np.ndarray]
ALL = frozenset({"W", "sigma", "pi"})
MAX_ACTIVE = 3
# Output, temperature, number of rows used. ProSper tempers prior and likelihood alike here, whatever it is asked for.
SCHEDULES = pytest.mark.parametrize(
    ("tag", "temperature", "n_used"), [("", 1, 40), ("_T2", 2, 40), ("_T2ap", 2, 40), ("_ncut1", 1, 38)]
)


class Expectation:
    """Everything up to the M-step, from ProSper's parameters and states."""

    def __init__(self, vectors: Vectors, temperature: float = 1.0) -> None:
        self.model = MCA(n_latents=6, shared_pi=True, superposition="soft")
        self.params = NamedArrays.of(W=vectors["in_W"], sigma=vectors["in_sigma"], pi=vectors["in_pi"])
        self.batch = Batch(np.arange(40), vectors["y"])
        self.codes = self.model.space.encode(vectors["states"].astype(int))
        self.prepared = self.model.prepare(self.params, temperature)
        self.projected: Projected = self.model.project(self.prepared, self.batch)
        self.log_joint = self.model.log_joint(self.prepared, self.projected, self.codes)
        self.temperature = temperature

    def posterior(self) -> TruncatedPosterior:
        return truncated_posterior(self.log_joint, self.log_joint / self.temperature)

    def weights(self, n_used: int = 40) -> Floats:
        posterior = self.posterior()
        kept = np.argsort(posterior.free_energy)[40 - n_used :]
        return posterior.weights * np.isin(np.arange(40), kept)[:, None]

    def sums(self, weights: Floats) -> NamedArrays:
        sums = NamedArrays(self.model.statistics(12))
        self.model.accumulate(self.prepared, self.projected, self.batch, self.codes, weights, sums)
        return sums

    def shares(self) -> tuple[Floats, Floats]:
        """(n, S, D) Wbar and (n, S, D, H) A of each state, by the formulas."""
        states, rho = self.model.space.decode(self.codes), self.prepared.powers.rho
        shown = states[..., None, :] * self.params["W"]
        total = (np.sign(shown) * np.abs(shown) ** rho).sum(axis=-1)
        means = np.sign(total) * np.abs(total) ** (1 / rho)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(shown != 0, np.abs(shown / means[..., None]), 0.0)
        return means, np.minimum(ratio, 1.0) ** (rho - 1)

    def maximum(self, weights: Floats) -> NamedArrays:
        return self.model.maximize(self.params, self.sums(weights), MStep(ALL, MAX_ACTIVE))


@SCHEDULES
def test_log_joints_sigma_and_pi_equal_theirs(reference, tag, temperature, n_used):
    vectors = reference("prosper_mca")
    found = Expectation(vectors, temperature)
    dropped = 6 * np.log1p(-vectors["in_pi"]) - 6 * np.log(2 * np.pi * vectors["in_sigma"] ** 2)
    assert found.log_joint - dropped == pytest.approx(vectors[f"logpj{tag}"], rel=1e-12, abs=1e-12)
    new = found.maximum(found.weights(n_used))
    assert new["sigma"] == pytest.approx(vectors[f"out{tag}_sigma"], rel=1e-13)
    assert new["pi"] == pytest.approx(vectors[f"out{tag}_pi"], rel=1e-13)


def test_posterior_and_candidates_equal_theirs(reference):
    vectors = reference("prosper_mca")
    found = Expectation(vectors)
    assert found.prepared.powers.rho == pytest.approx(vectors["rho"], rel=1e-12)
    assert found.posterior().weights == pytest.approx(vectors["posterior"], abs=1e-13)
    affinity = found.model.affinity(found.prepared, found.projected, found.batch)
    assert (np.argsort(-affinity, axis=1)[:, :4] == vectors["candidates"]).all()


def test_their_target_is_the_data_where_ours_is_what_is_left_of_it(reference):
    # With A = 1 for a single cause theirs would be sum <A y> / sum <A>, as if each cause of several were alone, which
    # moves W by up to 0.5; theirs has W² in its place. Ours is also kept from falling below 0.
    vectors = reference("prosper_mca")
    found = Expectation(vectors)
    means, A = found.shares()
    weights, y = found.weights(), vectors["y"][:, None, :]
    target = np.einsum("ns,nsdh,nsd->dh", weights, A, y + 0 * means) / np.einsum("ns,nsdh->dh", weights, A)
    assert vectors["check_W_unit_singleton_weight"] == pytest.approx(target, rel=1e-12, abs=1e-13)
    step = np.einsum("ns,nsdh,nsd->dh", weights, A, y - means) / np.einsum(
        "ns,nsdh,nsd->dh", weights, A, A.sum(axis=-1)
    )
    W = found.maximum(weights)["W"]
    assert pytest.approx(np.maximum(vectors["in_W"] + step, 0.0), rel=1e-12, abs=1e-13) == W
    assert np.abs(W - vectors["out_W"]).max() > 0.5


@SCHEDULES
def test_their_dictionary_follows_from_our_shares_with_single_causes_weighted_by_the_square(
    reference, tag, temperature, n_used
):
    vectors = reference("prosper_mca")
    found = Expectation(vectors, temperature)
    _, A = found.shares()
    is_single = vectors["states"].sum(axis=-1)[..., None, None] == 1
    A = found.weights(n_used)[..., None, None] * np.where(is_single, vectors["in_W"] ** 2, 1.0) * A
    theirs = np.einsum("nsdh,nd->dh", A, vectors["y"]) / A.sum(axis=(0, 1))
    assert theirs == pytest.approx(vectors[f"out{tag}_W"], rel=1e-11, abs=1e-12)
