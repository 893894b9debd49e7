"""Several starts: each is the run of its own seed, the best one is learned to the end."""

import numpy as np
import pytest

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.estep.search import Search
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.restarts import seed_of
from prosper_ng.training.settings import Training
from tests.helpers.model_cases import cases, fitting

D, H, N = 6, 4, 40
ONE_OF_EACH = {case.kind: name for name, case in reversed(cases().items())}.values()


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_start_has_the_bits_of_a_run_of_its_own(name):
    model = cases()[name].make(H)
    estep = fitting(Search(), model)
    rows = model.support.feasible((N, D), np.random.default_rng(3))
    training = {"updates_per_sweep": 2, "block_rows": 8, "annealing": {"parameter_noise": {"pi": 0.01}}}
    tried = {"n_sweeps": 4, "restarts": 3, "restart_sweeps": 2}
    found = prosper_ng.learn(rows, model, estep=estep, training=training | tried, seed=5)
    alone = [
        prosper_ng.learn(rows, model, estep=estep, training=training | {"n_sweeps": 4}, seed=seed_of(5, start))
        for start in range(3)
    ]
    energies = [each.history["free_energy"] for each in alone]
    best = int(np.argmax([each[1] for each in energies]))
    expected = np.concatenate([*(each[:2] for each in energies), energies[best]])
    assert found.history["free_energy"].tobytes() == expected.tobytes()
    assert found.history["restart"].tolist() == [1, 1, 2, 2, 3, 3, *[best + 1] * 4]
    for symbol, values in alone[best].params.items():
        assert found.params[symbol].tobytes() == values.tobytes(), symbol
    assert len({each.tobytes() for each in energies}) == 3


def test_the_first_start_is_that_of_a_run_without_restarts():
    assert seed_of(7, 0) == 7
    assert len({seed_of(seed, start) for seed in range(5) for start in range(20)}) == 100


@pytest.mark.parametrize(
    ("training", "tried", "everything"),
    [
        ({"n_sweeps": 50}, 0, 50),
        ({"n_sweeps": 50, "restart_sweeps": 7}, 0, 50),
        ({"n_sweeps": 50, "restarts": 3}, 20, 110),
        ({"n_sweeps": 50, "restarts": 3, "restart_sweeps": 7}, 7, 71),
        ({"n_sweeps": 8, "restarts": 2}, 8, 24),
        ({"n_sweeps": 90, "restarts": 2, "annealing": Annealing(temperature=((0, 2.0), (30, 1.0)))}, 50, 190),
        ({"n_sweeps": 90, "restarts": 2, "annealing": Annealing(temperature=2.0)}, 90, 270),
        ({"n_sweeps": 90, "restarts": 2, "hold": {"sigma": 30}}, 50, 190),
    ],
)
def test_a_restart_lasts_until_annealing_is_over_and_a_while_longer(training, tried, everything):
    found = Training(**training)
    assert (found.tried_sweeps, found.all_sweeps) == (tried, everything)
    places = [found.place(n_done) for n_done in range(everything + 1)]
    n_over = found.restarts if tried else 0
    assert places[-1] == (n_over, found.n_sweeps)
    assert [place for place in places if place[1] == 0] == [(leg, 0) for leg in range(n_over + 1)]


def test_what_is_held_must_be_learned_once():
    with pytest.raises(UserError, match=r"hold: 'sigma' is not in learn, so that no sweep learns it; legal are W, pi"):
        Training(learn=("W", "pi"), hold={"sigma": 3})


def test_a_restart_longer_than_the_run_is_refused():
    with pytest.raises(UserError, match=r"restart_sweeps is 9, more than n_sweeps, which is 8; .* legal are 1 to 8"):
        Training(n_sweeps=8, restarts=2, restart_sweeps=9)


def test_starts_that_are_all_the_same_are_warned_of():
    rows, training = np.random.default_rng(1).normal(size=(N, D)), {"n_sweeps": 2, "restarts": 2}
    given = {"W": np.eye(D)[:, :2], "pi": 0.3, "sigma": 1.0}
    with pytest.warns(UserWarning, match="all starts begin with the same parameters"):
        prosper_ng.learn(rows, {"kind": "bsc", "n_latents": 2, "shared_pi": True}, training=training, start=given)


def test_no_rule_ends_a_restart():
    rows = np.random.default_rng(1).normal(size=(N, D))
    training = {"n_sweeps": 30, "restarts": 2, "restart_sweeps": 8, "stopping": {"relative_change": 1e9}}
    found = prosper_ng.learn(rows, {"kind": "bsc", "n_latents": 2}, training=training)
    assert len(found.history["free_energy"]) == 16 + 4
    assert found.history["settled"].tolist() == [0.0] * 16 + [1.0] * 4
