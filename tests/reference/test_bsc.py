"""BSC beside the outputs of ProSper (Expectation Truncation, gamma = 3), evo and tvo (ten fixed states a row)."""

import numpy as np
import pytest

from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.models.bsc import BSC
from prosper_ng.models.interface import Batch, Floats, MStep
from prosper_ng.numerics.named_arrays import NamedArrays

Vectors = dict[str, np.ndarray]
MAX_ACTIVE = 3


class Expectation:
    """Everything up to the M-step, from the predecessors' parameters and states."""

    def __init__(self, vectors: Vectors, start: Vectors, shared_pi: bool) -> None:
        self.model = BSC(n_latents=6, shared_pi=shared_pi)
        pi = start["in_pi"] if shared_pi else np.full(6, start["in_pi"])
        self.params = NamedArrays.of(W=start["in_W"], sigma=start["in_sigma"], pi=pi)
        self.batch = Batch(np.arange(40), vectors["y"])
        self.codes = self.model.space.encode(vectors["states"].astype(int))
        self.prepared = self.model.prepare(self.params)
        self.projected = self.model.project(self.prepared, self.batch)
        self.log_joint = self.model.log_joint(self.prepared, self.projected, self.codes)
        self.normalizer = -6 * np.log(2 * np.pi * float(start["in_sigma"]) ** 2)
        self.zero_prior = 6 * np.log1p(-float(start["in_pi"]))

    def tempered(self, temperature: float, anneal_prior: bool) -> Floats:
        if anneal_prior:
            return self.log_joint / temperature
        log_prior = self.model.log_prior(self.prepared, self.codes)
        return (self.log_joint - log_prior) / temperature + log_prior

    def maximum(self, weights: Floats, *learn: str, max_active: int | None = None) -> NamedArrays:
        sums = NamedArrays(self.model.statistics(12))
        self.model.accumulate(self.prepared, self.projected, self.batch, self.codes, weights, sums)
        return self.model.maximize(self.params, sums, MStep(frozenset(learn or self.params), max_active))


@pytest.fixture
def prosper(reference) -> tuple[Vectors, Expectation]:
    vectors = reference("prosper_bsc")
    return vectors, Expectation(vectors, vectors, shared_pi=True)


def test_log_joints_posterior_and_candidates_equal_prospers(prosper):
    vectors, found = prosper
    dropped = found.zero_prior + found.normalizer
    assert found.log_joint - dropped == pytest.approx(vectors["logpj"], rel=1e-12, abs=1e-12)
    # Tempered, only the part without constants is divided by the temperature, which no posterior can tell.
    both = found.tempered(2, anneal_prior=True) - dropped / 2
    assert both == pytest.approx(vectors["logpj_T2ap"], rel=1e-12, abs=1e-12)
    likelihood = found.tempered(2, anneal_prior=False) - found.zero_prior - found.normalizer / 2
    assert likelihood == pytest.approx(vectors["logpj_T2"], rel=1e-12, abs=1e-12)
    assert truncated_posterior(found.log_joint).weights == pytest.approx(vectors["posterior"], abs=1e-13)
    affinity = found.model.affinity(found.prepared, found.projected, found.batch)
    assert (np.argsort(affinity, axis=1)[:, -4:] == vectors["candidates"]).all()


@pytest.mark.parametrize(
    ("tag", "temperature", "anneal_prior", "n_used"),
    [("", 1, False, 40), ("_T2", 2, False, 40), ("_T2ap", 2, True, 40), ("_ncut1", 1, False, 38)],
)
def test_m_step_equals_prospers(prosper, tag, temperature, anneal_prior, n_used):
    vectors, found = prosper
    posterior = truncated_posterior(found.log_joint, found.tempered(temperature, anneal_prior))
    kept = np.isin(np.arange(40), np.argsort(posterior.free_energy)[40 - n_used :])
    weights = posterior.weights * kept[:, None]
    new = found.maximum(weights, max_active=MAX_ACTIVE)
    assert new["W"] == pytest.approx(vectors[f"out{tag}_W"], rel=1e-11, abs=1e-12)
    assert new["pi"] == pytest.approx(vectors[f"out{tag}_pi"], rel=1e-13)
    # Theirs is the residual at the old W; ours at the new, which is what the likelihood asks for, and smaller.
    at_old_W = found.maximum(weights, "sigma")["sigma"]
    assert at_old_W == pytest.approx(vectors[f"out{tag}_sigma"], rel=1e-12)
    assert new["sigma"] < at_old_W


@pytest.mark.parametrize("name", ["evo_bsc", "tvo_bsc"])
def test_everything_equals_evo_and_tvo(reference, name):
    vectors, start = reference(name), reference("evo_bsc")
    found = Expectation(vectors, start, shared_pi=False)
    dropped = found.zero_prior + found.normalizer
    assert found.log_joint - dropped == pytest.approx(vectors["lpj"], rel=1e-12, abs=1e-12)
    posterior = truncated_posterior(found.log_joint)
    assert posterior.free_energy.mean() == pytest.approx(vectors["F"], rel=1e-13)
    reconstructed = found.model.reconstruct(found.prepared, found.projected, found.codes, posterior.weights)
    theirs = vectors["y_reconstructed" if name == "evo_bsc" else "data_estimator"]
    assert reconstructed == pytest.approx(theirs, rel=1e-12, abs=1e-12)
    new = found.maximum(posterior.weights)
    assert new["W"] == pytest.approx(vectors["out_W"], rel=1e-11, abs=1e-12)
    assert new["pi"] == pytest.approx(vectors["out_pies"], rel=1e-12)
    variance = vectors["out_sigma"] ** 2 if name == "evo_bsc" else vectors["out_sigma2"]
    at_old_W = found.maximum(posterior.weights, "sigma")["sigma"]
    assert at_old_W**2 == pytest.approx(variance.item(), rel=1e-12)
    assert new["sigma"] < at_old_W


def test_exact_likelihood_equals_evos(reference):
    start = reference("evo_bsc")
    found = Expectation(start, start, shared_pi=False)
    states = np.broadcast_to(found.model.space.enumerate(), (40, 64, 1))
    exact = truncated_posterior(found.model.log_joint(found.prepared, found.projected, states))
    assert exact.free_energy.mean() == pytest.approx(start["exact_loglik"], rel=1e-13)
