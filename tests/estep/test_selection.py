import numpy as np
import pytest
from numba import njit

from prosper_ng.estep.variations._selection import select_by_fitness
from prosper_ng.numerics.random_streams import open_stream, seek, stream


@njit
def draw(words, log_joint, chosen, found):
    state, fitness = open_stream(words), np.empty(len(log_joint))
    for n in range(len(chosen)):
        seek(state, n)
        found[n] = select_by_fitness(state, log_joint, fitness, chosen[n])


def drawn(log_joint, n_chosen, n_rows=20_000):
    chosen, found = np.empty((n_rows, n_chosen), np.int64), np.zeros(n_rows, bool)
    draw(stream(3, "selection").words(), np.asarray(log_joint, float), chosen, found)
    return chosen, found


def shares_of_second(fitness):
    """How often each state is the second of two that are drawn without replacement."""
    p = np.asarray(fitness) / np.sum(fitness)
    return np.array([sum(p[j] * p[i] / (1 - p[j]) for j in range(len(p)) if j != i) for i in range(len(p))])


@pytest.mark.parametrize(
    ("log_joint", "fitness"),
    [
        ([-5.0, -1.0, -3.0, -5.0], [5, 9, 7, 5]),
        # One state of a thousand times the fitness: nearly all proposals of others are refused.
        ([1.0, 1000.0, 2.0, 0.0], [1, 1000, 2, 0]),
    ],
)
def test_states_are_drawn_in_proportion_to_their_fitness_without_replacement(log_joint, fitness):
    chosen, found = drawn(log_joint, 2)
    assert found.all()
    assert (chosen[:, 0] != chosen[:, 1]).all()
    first, second = (np.bincount(chosen[:, i], minlength=4) / len(chosen) for i in range(2))
    assert first == pytest.approx(np.array(fitness) / np.sum(fitness), abs=0.015)
    assert second == pytest.approx(shares_of_second(fitness), abs=0.015)


def test_all_states_can_be_drawn():
    chosen, found = drawn(np.linspace(-300, -1, 60), 60, 50)
    assert found.all()
    assert (np.sort(chosen, axis=1) == np.arange(60)).all()


@pytest.mark.parametrize("log_joint", [[-np.inf, -1.0, -2.0], [0.0, 0.0, 0.0], [np.nan] * 3, [0.0, 3.0, 0.0]])
def test_where_too_few_states_are_fit_none_is_drawn(log_joint):
    assert not drawn(log_joint, 2, 20)[1].any()
