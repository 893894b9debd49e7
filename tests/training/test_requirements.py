"""What E-step and training need of a model, in one sentence where it is not there."""

import pytest

from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.gaussian import Gaussian
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.models.bsc import BSC
from prosper_ng.models.laplace import Laplace
from prosper_ng.models.sbn import SBN
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import TruncatedEM
from prosper_ng.training.requirements import check_model
from prosper_ng.training.settings import Training
from prosper_ng.training.stopping import Stopping
from tests.helpers.em_problems import make
from tests.helpers.sigmoid_nets.sbn_adam import SBNAdam

COUPLED = SBN(n_latents=4, n_top=2)
PRUNING = Training(annealing=Annealing(data_pruning=((0, 0.0), (5, 0.5))))
UNUSED_PRUNING = Training(annealing=Annealing(data_pruning=((0, 0.0), (5, 0.0))))


@pytest.mark.parametrize(
    ("estep", "training", "sentence"),
    [
        (
            Preselection(),
            Training(),
            "estep.corrects_prior corrects the learned activities of latents that are independent, and the latents of "
            "model sbn depend on each other, so how many are active cannot be told from it; set it to false",
        ),
        (
            Preselection(corrects_prior=False),
            PRUNING,
            "training.annealing.data_pruning leaves out as many rows as independent latents explain badly, and the "
            "latents of model sbn depend on each other, so how many are active cannot be told from it; set it to 0",
        ),
    ],
)
def test_what_needs_independent_latents_is_refused_where_they_depend_on_each_other(estep, training, sentence):
    problem, _ = make(estep=estep)
    for refuse in (check_model, lambda *parts: TruncatedEM(problem._replace(model=parts[0]), parts[2])):
        with pytest.raises(UserError) as caught:
            refuse(COUPLED, estep, training)
        assert str(caught.value) == sentence
    check_model(SBN(n_latents=4), estep, training)


@pytest.mark.parametrize("training", [Training(), UNUSED_PRUNING])
@pytest.mark.parametrize("estep", [Exhaustive(), Search(), Preselection(corrects_prior=False)])
def test_coupled_latents_are_welcome_elsewhere(estep, training):
    check_model(COUPLED, estep, training)


@pytest.mark.parametrize(
    ("model", "estep", "annealing", "sentence"),
    [
        (
            BSC(n_latents=2),
            Exhaustive(),
            Annealing(noise_weight=0.5),
            "training.annealing.noise_weight: the latents of model bsc are states, of which prior and likelihood are "
            "not weighed apart; anneal by temperature, or leave it out",
        ),
        (
            Laplace(n_latents=2),
            Gaussian(),
            Annealing(temperature=((0, 2.0), (3, 1.0))),
            "training.annealing.temperature: the latents of model laplace are real numbers, whose Gaussians know no "
            "temperature; anneal by prior_weight and noise_weight of 1/T, or leave it out",
        ),
    ],
)
def test_latents_are_annealed_by_what_changes_their_posteriors(model, estep, annealing, sentence):
    with pytest.raises(UserError) as caught:
        check_model(model, estep, Training(annealing=annealing))
    assert str(caught.value) == sentence
    check_model(model, estep, Training())


def test_a_rule_that_can_never_hold_is_refused():
    training = Training(stopping=Stopping(entropy_gap=1e-3))
    check_model(BSC(n_latents=2), Exhaustive(), training)
    with pytest.raises(UserError, match=r"^training\.stopping\.entropy_gap can never be reached, since model sbn_adam"):
        check_model(SBNAdam(n_latents=2), Exhaustive(), training)


def test_an_identity_that_is_no_such_thing_is_refused():
    class Vague(BSC):
        identity = "sometimes"

    with pytest.raises(UserError, match=r'`identity` is .sometimes.; legal are "after M-step" or "at convergence"'):
        check_model(Vague(n_latents=3), Search(n_states=4), Training())
