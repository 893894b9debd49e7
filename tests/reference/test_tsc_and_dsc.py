"""TSC and DSC beside the outputs of ProSper (Expectation Truncation, gamma = 3)."""

from collections.abc import Callable

import numpy as np
import pytest

from prosper_ng.estep.interface import Target
from prosper_ng.estep.preselection import Preselection
from prosper_ng.latents.posterior import truncated_posterior
from prosper_ng.models.dsc import DSC
from prosper_ng.models.interface import Batch, Floats, MStep
from prosper_ng.models.tsc import TSC
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

Vectors = dict[str, np.ndarray]
N, D, H = 40, 12, 6
MAX_ACTIVE = 3
TAGS = [("", 1, False), ("_T2", 2, False), ("_T2ap", 2, True)]


class Expectation:
    """Everything up to the M-step, from ProSper's parameters and states."""

    def __init__(self, model: TSC | DSC, vectors: Vectors, pi: Floats) -> None:
        self.model = model
        self.params = NamedArrays.of(W=vectors["in_W"], sigma=vectors["in_sigma"], pi=pi)
        self.batch = Batch(np.arange(N), vectors["y"])
        indices = np.argmax(vectors["states"][..., None] == model.space.values, axis=-1)
        self.codes = model.space.encode(indices)
        self.prepared = model.prepare(self.params)
        self.projected = model.project(self.prepared, self.batch)
        self.log_joint = model.log_joint(self.prepared, self.projected, self.codes)
        self.normalizer = -0.5 * D * np.log(2 * np.pi * float(vectors["in_sigma"]) ** 2)

    def tempered(self, temperature: float, anneal_prior: bool) -> Floats:
        if anneal_prior:
            return self.log_joint / temperature
        log_prior = self.model.log_prior(self.prepared, self.codes)
        return (self.log_joint - log_prior) / temperature + log_prior

    def maximum(self, weights: Floats, *learn: str, max_active: int | None = None) -> NamedArrays:
        sums = NamedArrays(self.model.statistics(D))
        self.model.accumulate(self.prepared, self.projected, self.batch, self.codes, weights, sums)
        return self.model.maximize(self.params, sums, MStep(frozenset(learn or self.params), max_active))


def tsc(vectors: Vectors) -> Expectation:
    return Expectation(TSC(n_latents=H, shared_pi=True), vectors, vectors["in_pi"])


def dsc(vectors: Vectors) -> Expectation:
    model = DSC(n_latents=H, values=tuple(vectors["alphabet"].tolist()))
    return Expectation(model, vectors, in_our_order(vectors, "in_pi"))


def in_our_order(vectors: Vectors, name: str) -> Floats:
    """Probabilities with that of 0 first."""
    zero_last = np.argsort(vectors["alphabet"] != 0, kind="stable")
    return vectors[name][zero_last]


def test_tsc_log_joints_and_posterior_equal_prospers(reference):
    vectors = reference("prosper_tsc")
    found = tsc(vectors)
    # ProSper leaves out the prior of the latents that are no candidates.
    dropped = found.normalizer + 2 * np.log1p(-float(vectors["in_pi"]))
    once = ~vectors["duplicated_candidates"].astype(bool)
    log_joint = (found.log_joint - dropped)[once]
    assert log_joint == pytest.approx(vectors["logpj"][once], rel=1e-11, abs=1e-11)
    assert truncated_posterior(log_joint).weights == pytest.approx(vectors["posterior"][once], abs=1e-12)


def test_tsc_m_step_equals_prospers_where_no_candidate_is_repeated(reference):
    vectors = reference("prosper_tsc_uniquecand")
    found = tsc(vectors)
    weights = truncated_posterior(found.log_joint).weights
    new = found.maximum(weights, max_active=MAX_ACTIVE)
    assert new["W"] == pytest.approx(vectors["out_W"], rel=1e-10, abs=1e-11)
    assert new["pi"] == pytest.approx(vectors["out_pi"], rel=1e-11)
    assert found.maximum(weights, "sigma")["sigma"] == pytest.approx(vectors["out_sigma"], rel=1e-11)


def test_prospers_tsc_may_hold_states_twice_and_ours_never_does(reference):
    """Where ProSper selects a latent twice, its states repeat, and its update of W is an M-step of no model."""
    vectors = reference("prosper_tsc")
    repeated = vectors["duplicated_candidates"].astype(bool)
    assert repeated.sum() == 3
    assert np.abs(vectors["out_W"] - vectors["check_W"]).max() > 1e-2
    found = tsc(vectors)
    target = Target(found.model, found.prepared, found.projected, found.batch, np.full(H, 0.1), stream(0, "test"))
    states = Preselection(n_candidates=4, max_active=MAX_ACTIVE).find(target, None).codes
    assert all(len(np.unique(row, axis=0)) == len(row) for row in states)
    assert any(len(np.unique(row, axis=0)) < len(row) for row in vectors["states"][repeated])


@pytest.mark.parametrize("name", ["prosper_dsc", "prosper_dsc_012"])
def test_dsc_log_joints_and_posterior_equal_prospers(reference: Callable[[str], Vectors], name):
    vectors = reference(name)
    found = dsc(vectors)
    assert found.log_joint - found.normalizer == pytest.approx(vectors["logpj"], rel=1e-11, abs=1e-11)
    assert truncated_posterior(found.log_joint).weights == pytest.approx(vectors["posterior"], abs=1e-12)


@pytest.mark.parametrize(("tag", "temperature", "anneal_prior"), TAGS)
@pytest.mark.parametrize("name", ["prosper_dsc", "prosper_dsc_012"])
def test_dsc_m_step_equals_prospers(reference: Callable[[str], Vectors], name, tag, temperature, anneal_prior):
    vectors = reference(name)
    found = dsc(vectors)
    weights = truncated_posterior(found.log_joint, found.tempered(temperature, anneal_prior)).weights
    # ProSper corrects no prior here, and takes the residual at the old W.
    new = found.maximum(weights)
    assert new["W"] == pytest.approx(vectors[f"out{tag}_W"], rel=1e-10, abs=1e-11)
    assert new["pi"] == pytest.approx(in_our_order(vectors, f"out{tag}_pi"), rel=1e-11)
    at_old_W = found.maximum(weights, "sigma")["sigma"]
    assert at_old_W == pytest.approx(vectors[f"out{tag}_sigma"], rel=1e-11)
    assert new["sigma"] < at_old_W
