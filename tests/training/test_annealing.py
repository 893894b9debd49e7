from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from prosper_ng.training.annealing import Annealing

N_SWEEPS = 21

fractions = st.floats(0, 1).map(lambda position: position + 0.0)
temperatures = st.floats(0.1, 50)


@st.composite
def tracks(draw, values=temperatures):
    """Points whose positions are all fractions, or all sweeps, in ascending order."""
    positions = draw(st.one_of(st.lists(fractions, min_size=1, max_size=6), st.lists(st.integers(0, 40), min_size=1)))
    return tuple((position, draw(values)) for position in sorted(positions))


def temperatures_of(track, n_sweeps=N_SWEEPS):
    annealing = Annealing(temperature=track)
    return [annealing.at(sweep, n_sweeps).temperature for sweep in range(n_sweeps)]


def test_nothing_is_annealed_unless_asked_for():
    point = Annealing().at(0, N_SWEEPS)
    assert point == (1.0, False, 0.0, 1.0, 0.0, {}, True, frozenset(), 1.0, 1.0)
    assert point.is_plain


@pytest.mark.parametrize("name", ["prior_weight", "noise_weight"])
def test_entropies_that_are_weighed_make_another_objective(name):
    annealing = Annealing(**{name: ((0, 0.5), (2, 1.0))})
    points = [annealing.at(sweep, 5) for sweep in range(5)]
    assert [getattr(point.tempering, name) for point in points] == [0.5, 0.75, 1, 1, 1]
    for known in ("is_plain", "settled", "sees_all_data"):
        assert [getattr(point, known) for point in points] == [False, False, True, True, True]
    assert not Annealing(**{name: 2.0}).at(4, 5).settled


def test_straight_lines_join_the_points_and_the_ends_are_constant():
    track = ((0.2, 3.0), (0.6, 1.0))
    assert temperatures_of(track, 11) == pytest.approx([3, 3, 3, 2.5, 2, 1.5, 1, 1, 1, 1, 1])


def test_a_whole_number_is_a_sweep_and_a_decimal_number_a_fraction():
    assert temperatures_of(((0, 2.0), (1, 1.0)), 5) == [2, 1, 1, 1, 1]
    assert temperatures_of(((0.0, 2.0), (1.0, 1.0)), 5) == [2, 1.75, 1.5, 1.25, 1]


def test_two_points_at_one_position_are_a_jump():
    track = ((0, 2.0), (2, 2.0), (2, 1.0))
    Annealing(temperature=track).check_order(4)
    assert temperatures_of(track, 4) == [2, 2, 1, 1]


def test_in_a_run_of_one_sweep_all_fractions_are_over():
    assert temperatures_of(((0.0, 2.0), (0.5, 1.5), (1.0, 1.0)), 1) == [1.0]


@given(tracks())
def test_a_value_never_leaves_the_range_of_its_points(track):
    low, high = min(value for _, value in track), max(value for _, value in track)
    assert all(low * (1 - 1e-12) <= value <= high * (1 + 1e-12) for value in temperatures_of(track))


@given(tracks())
def test_every_point_on_a_sweep_is_met_exactly(track):
    values = temperatures_of(track)
    last_at = {position if isinstance(position, int) else position * (N_SWEEPS - 1): value for position, value in track}
    for position, value in last_at.items():
        if position < N_SWEEPS and position == int(position):
            assert values[int(position)] == value


@given(st.lists(temperatures, min_size=2, max_size=5).map(sorted))
def test_ascending_values_give_an_ascending_schedule(values):
    track = tuple((index / (len(values) - 1), value) for index, value in enumerate(values))
    assert all(left <= right * (1 + 1e-12) for left, right in pairwise(temperatures_of(track)))


@given(tracks(), st.integers(0, N_SWEEPS - 1))
def test_settled_means_temperature_one_from_here_to_the_end(track, sweep):
    annealing = Annealing(temperature=(*track, (1.0, 1.0)) if isinstance(track[0][0], float) else track)
    values = [annealing.at(later, N_SWEEPS).temperature for later in range(sweep, N_SWEEPS)]
    if annealing.at(sweep, N_SWEEPS).settled:
        assert set(values) == {1.0}
    beyond = [value for position, value in annealing.temperature if position > N_SWEEPS - 1]
    shadowed = len({position for position, _ in annealing.temperature}) < len(annealing.temperature)
    if set(values) == {1.0} and not beyond and not shadowed:
        assert annealing.at(sweep, N_SWEEPS).settled


def test_what_still_changes_is_not_settled():
    noise = Annealing(parameter_noise={"W": ((0, 1.0), (0.5, 0.0))})
    assert [noise.at(sweep, 5).settled for sweep in range(5)] == [False, False, True, True, True]
    assert [noise.at(sweep, 5).is_plain for sweep in range(5)] == [False, False, True, True, True]
    assert noise.at(1, 5).parameter_noise == {"W": 0.5}


def test_a_constant_temperature_other_than_one_never_settles():
    assert not Annealing(temperature=2.0).at(N_SWEEPS - 1, N_SWEEPS).settled


def test_pruning_that_stays_is_settled_but_not_plain():
    point = Annealing(data_pruning=((0.33, 0.0), (0.66, 1.0))).at(N_SWEEPS - 1, N_SWEEPS)
    assert point.data_pruning == 1.0
    assert point.settled
    assert not point.is_plain


@pytest.mark.parametrize("first", [True, False])
def test_prior_tempering_switches_and_does_not_blend(first):
    annealing = Annealing(anneal_prior=((0, first), (3, not first)))
    assert [annealing.at(sweep, 5).anneal_prior is first for sweep in range(5)] == [True, True, True, False, False]


def test_sweeps_and_fractions_may_be_mixed_where_they_ascend():
    annealing = Annealing(temperature=((0, 2.0), (10, 2.0), (0.7, 1.0)))
    annealing.check_order(N_SWEEPS)
    with pytest.raises(ValueError, match=r"temperature: position 0\.7 comes after 10, but of 11 sweeps it is sweep 7"):
        annealing.check_order(11)


@pytest.mark.parametrize(
    ("fields", "depends"),
    [
        ({}, False),
        ({"temperature": ((0, 2.0), (10, 1.0))}, False),
        ({"temperature": ((0.0, 1.0), (0.5, 1.0))}, False),
        ({"temperature": ((0, 2.0), (0.5, 1.0))}, True),
        ({"parameter_noise": {"W": ((0.0, 1.0), (0.5, 0.0))}}, True),
    ],
)
def test_only_changes_at_fractions_depend_on_the_length_of_the_run(fields, depends):
    annealing = Annealing(**fields)
    assert annealing.depends_on_length == depends
    differs = any(annealing.at(sweep, 20) != annealing.at(sweep, 40) for sweep in range(20))
    assert differs == depends


def test_noise_on_something_that_is_no_parameter_is_an_error():
    annealing = Annealing(parameter_noise={"w": 0.1})
    with pytest.raises(ValueError, match="parameter_noise: the model has no parameter 'w'; it has W, pi, sigma"):
        annealing.check_parameters(["W", "pi", "sigma"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": ()}, "temperature has no points"),
        ({"temperature": 0.0}, "temperature: the value 0.0 is not legal; it must be greater than 0"),
        ({"temperature": ((0, 2.0), (0.5, -1.0))}, "temperature: the value -1.0"),
        ({"temperature": float("nan")}, "`temperature` must be a number, or a list"),
        ({"temperature": float("inf")}, "`temperature` must be a number, or a list"),
        ({"temperature": ((-1, 2.0),)}, "temperature: position -1 is negative"),
        ({"temperature": ((1.5, 2.0),)}, "temperature: position 1.5 is no fraction"),
        ({"temperature": ((-0.5, 2.0),)}, "temperature: position -0.5 is no fraction"),
        ({"temperature": ((0.7, 2.0), (0.3, 1.0))}, "temperature: position 0.3 comes after 0.7"),
        ({"temperature": ((7, 2.0), (3, 1.0))}, "temperature: position 3 comes after 7"),
        ({"temperature": ((7, 2.0), (0.9, 1.0), (3, 1.0))}, "temperature: position 3 comes after 7"),
        ({"data_pruning": 1.1}, "data_pruning: the value 1.1 is not legal; it must be from 0 to 1"),
        ({"parameter_noise": {"W": -0.1}}, "parameter_noise.W: the value -0.1 is not legal; it must be from 0 to 1e"),
        ({"data_noise": 1e160}, r"data_noise: the value 1e\+160 is not legal; .*, whose square is a number"),
        ({"anneal_prior": ((0, 0.5),)}, "`anneal_prior.0.1` must be true or false"),
    ],
)
def test_an_illegal_schedule_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Annealing(**fields)


def test_validation_keeps_the_difference_between_sweep_and_fraction():
    text = '{"temperature": [[0, 2], [1.0, 1.0]], "parameter_noise": {"W": [[0, 1.0], [1, 0.0]]}, "anneal_prior": true}'
    annealing = TypeAdapter(Annealing).validate_json(text)
    assert [type(position) for position, _ in annealing.temperature] == [int, float]
    assert annealing.at(1, 3) == (1.5, True, 0.0, 1.0, 0.0, {"W": 0.0}, False, frozenset(), 1.0, 1.0)


@pytest.mark.parametrize(
    "text", ['{"temperature": "2"}', '{"temperature": [[true, 1.0]]}', '{"temprature": 2.0}', '{"temperature": [[0]]}']
)
def test_validation_rejects_other_forms(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Annealing).validate_json(text)
