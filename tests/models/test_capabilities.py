"""Who offers what, and what is made of it."""

from typing import Literal, Protocol

import numpy as np
import pytest

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import Target
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.models import capabilities
from prosper_ng.models.bsc import BSC
from prosper_ng.models.bvae import BVAE
from prosper_ng.models.capabilities import (
    Affinity,
    ChoosesStatistics,
    CouplesLatents,
    GroupsMissing,
    KnowsRounding,
    KnowsSingletons,
    PosteriorMeans,
    Preselects,
    Remembers,
    Samples,
    WantsExamples,
    couples_latents,
    learns_from_part,
    offers,
)
from prosper_ng.models.gsc import GSC
from prosper_ng.models.interface import Batch, DiscreteLatents, KnowsFreeEnergy, Model, MStep
from prosper_ng.models.laplace import Laplace
from prosper_ng.models.mca import MCA
from prosper_ng.models.mixture import Mixture
from prosper_ng.models.rounding import rounding_of
from prosper_ng.models.sbn import SBN
from prosper_ng.models.streams import Streams
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from tests.helpers.em_problems import make, train
from tests.helpers.sigmoid_nets.sbn_adam import SBNAdam

ALL = [
    each for each in vars(capabilities).values() if isinstance(each, type) and each.__module__ == capabilities.__name__
]


class SingletonsOnly(BSC):
    """Sees how well each latent alone explains a row, and nothing beyond that."""

    preselect = None


class Unaware(BSC):
    """Sees nothing at once."""

    preselect = log_joint_of_singletons = None


class SaysWhatToShow(BSC):
    """Has a number of its own for the progress line."""

    def headline(self, params):
        return {"norm": float(np.linalg.norm(params["W"]))}


class NoOwnRounding(BSC):
    """Leaves its rounding to be measured."""

    rounding = None


def target_of(model, n_rows=9, n_observed=5, apart=False):
    rng = np.random.default_rng(4)
    params = NamedArrays.of(
        W=rng.normal(size=(n_observed, model.n_latents)), sigma=0.7, pi=np.full(model.n_latents, 0.3)
    )
    batch = Batch(np.arange(n_rows), rng.normal(size=(n_rows, n_observed)))
    prepared = model.prepare(params)
    return Target(
        model, prepared, model.project(prepared, batch), batch, model.activity(params), stream(0, "test"), apart=apart
    )


def test_what_models_offer_is_what_they_have():
    bsc, gsc, mca, net = BSC(n_latents=2), GSC(n_latents=2), MCA(n_latents=2), SBNAdam(n_latents=2)
    expected = {
        Preselects: [True, False, True, False],
        KnowsSingletons: [True, True, True, False],
        PosteriorMeans: [False, True, False, False],
        GroupsMissing: [False, True, False, False],
        Samples: [True, True, True, True],
        Remembers: [False, False, False, True],
        ChoosesStatistics: [False, False, False, True],
        KnowsFreeEnergy: [True, True, True, False],
        DiscreteLatents: [True, True, True, True],
        Model: [True, True, True, True],
    }
    for capability, answers in expected.items():
        assert [offers(each, capability) for each in (bsc, gsc, mca, net)] == answers, capability
    assert (gsc.groups_missing, GSC(n_latents=2, noise="full").groups_missing) == (False, True)
    assert [each.is_monotone for each in (bsc, gsc, mca, SBN(n_latents=2))] == [True, True, False, True]
    assert [each.identity for each in (bsc, gsc, mca)] == ["after M-step"] * 3


def test_every_capability_is_a_protocol_that_offers_can_answer_for():
    """Also those with attributes, for which `issubclass` raises TypeError."""
    assert {Affinity, WantsExamples, CouplesLatents} <= set(ALL)
    models = [BSC(n_latents=2), GSC(n_latents=2), MCA(n_latents=2), SBN(n_latents=2), SBNAdam(n_latents=2)]
    models += [SaysWhatToShow(n_latents=2), Mixture(n_components=2, n_classes=2), Laplace(n_latents=2)]
    models += [BVAE(n_latents=2), Streams(n_latents=2)]
    for each in ALL:
        assert Protocol in each.__mro__
        assert any(offers(model, each) for model in models), each
        assert not offers(object(), each)


def test_a_member_that_is_none_is_absent_and_a_field_without_a_default_is_there():
    @component
    class Declares(BSC):
        learns_from: Literal["total", "part"]

    assert offers(Declares(n_latents=2, learns_from="part"), ChoosesStatistics)
    assert [learns_from_part(Declares(n_latents=2, learns_from=which)) for which in ("total", "part")] == [False, True]
    assert not offers(BSC(n_latents=2), ChoosesStatistics)
    assert [offers(each(n_latents=2), Preselects) for each in (BSC, SingletonsOnly)] == [True, False]
    assert not offers(NoOwnRounding(n_latents=2), KnowsRounding)


def test_what_a_model_offers_by_half_is_an_error():
    class Half(SBNAdam):
        def expected_log_joint(self, params, sums):
            return 0.0

    with pytest.raises(UserError) as caught:
        offers(Half(n_latents=2), KnowsFreeEnergy)
    assert str(caught.value) == (
        "model Half has expected_log_joint, but not entropy, identity, is_monotone: "
        "KnowsFreeEnergy in prosper_ng.models.interface needs all of these, or none"
    )


def test_what_a_model_says_it_learns_from_is_checked():
    class Odd(BSC):
        learns_from = "parts"

    with pytest.raises(UserError, match=r"^model Odd learns from 'parts'; learns_from must be 'total' or 'part'$"):
        learns_from_part(Odd(n_latents=2))


def test_latents_are_coupled_where_the_model_says_so():
    assert not couples_latents(BSC(n_latents=2))
    assert [couples_latents(SBN(n_latents=2, n_top=n_top)) for n_top in (0, 1)] == [False, True]


@pytest.mark.parametrize("apart", [False, True])
def test_singletons_are_used_where_they_are_known_though_the_model_does_not_preselect(apart):
    whole, some, none = (target_of(each(n_latents=6), apart=apart) for each in (BSC, SingletonsOnly, Unaware))
    estep, variation = Preselection(n_candidates=4, max_active=2), PreselectedStates(n_candidates=3, max_active=2)
    assert estep.scores(some).tobytes() == estep.scores(whole).tobytes()
    differences = estep.scores(some) - estep.scores(none)
    assert differences == pytest.approx(np.broadcast_to(differences[:, :1], differences.shape), abs=1e-12)
    posterior = estep.posterior(some, None)
    assert posterior.free_energy == pytest.approx(estep.posterior(whole, None).free_energy, rel=1e-12)
    assert posterior.free_energy == pytest.approx(estep.posterior(none, None).free_energy, rel=1e-12)
    assert (variation.propose(some, None) == variation.propose(whole, None)).all()

    class NoLogJoint(SingletonsOnly):
        def log_joint(self, prepared, projected, codes):
            raise AssertionError("singletons are known")

    blind = some._replace(model=NoLogJoint(n_latents=6))
    assert (variation.propose(blind, None) == variation.propose(whole, None)).all()


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("noise", [1.0, 1e-5])
def test_measured_rounding_covers_what_is_lost_and_little_more(offset, noise):
    rng = np.random.default_rng(2)
    model = NoOwnRounding(n_latents=3)
    W, states = rng.normal(0.0, 2.0, (6, 3)), rng.random((400, 3)) < 0.4
    values = offset + states @ W.T + noise * rng.standard_normal((400, 6))
    problem, _ = make(model, n_rows=400, n_observed=6)
    problem = problem._replace(values=values)
    params = NamedArrays.of(W=W + offset, sigma=noise, pi=np.full(3, 0.4))
    state, _ = train(problem, params, 3)
    sums = NamedArrays(state.totals.shapes, state.totals.arrays()["high"])
    # The statistics of the same rows in another order: they differ by rounding alone.
    shuffled, _ = train(problem._replace(values=values[rng.permutation(400)]), params, 3)
    others = NamedArrays(shuffled.totals.shapes, shuffled.totals.arrays()["high"])
    lost = abs(model.expected_log_joint(state.params, others) - model.expected_log_joint(state.params, sums))
    measured, own = rounding_of(model, state.params, sums), BSC(n_latents=3).rounding(state.params, sums)
    assert lost <= measured
    assert own / 1e4 < measured < own * 1e4


@pytest.mark.parametrize("n_parts", [1, 2])
def test_measured_rounding_raises_no_false_alarm_where_rows_are_explained_to_the_last_bit(n_parts):
    problem, params = make(NoOwnRounding(n_latents=4), n_rows=3, block_rows=1, n_parts=n_parts)
    params["W"][:, :3] = 0.9 * problem.values.T
    state, _ = train(problem, params, 60)
    assert state.params["sigma"] < 1e-6


def test_rounding_that_cannot_be_measured_is_no_bound():
    class Fragile(NoOwnRounding):
        def expected_log_joint(self, params, sums):
            whole = float(sums["n"]) == np.rint(sums["n"])
            return super().expected_log_joint(params, sums) if whole else np.nan

    problem, params = make(NoOwnRounding(n_latents=4))
    state, _ = train(problem, params, 1)
    sums = NamedArrays(state.totals.shapes, state.totals.arrays()["high"])
    assert rounding_of(Fragile(n_latents=4), state.params, sums) == np.inf
    new = Fragile(n_latents=4).maximize(state.params, sums, MStep(frozenset(params)))
    assert np.isfinite(new.buffer).all()
