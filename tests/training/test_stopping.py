from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.training.stopping import Stopping, seconds_of


class Record(NamedTuple):
    free_energy: float
    entropy_gap: float | None = None
    settled: bool = True
    held_out: float | None = None


free_energies = st.lists(st.floats(-1e6, -1e-3), max_size=12)


def records(values, **fields):
    return [Record(value, **fields) for value in values]


@given(free_energies, st.floats(0, 1e9))
def test_without_a_rule_nothing_stops(values, elapsed):
    assert Stopping().should_stop(records(values), elapsed) is None


@given(free_energies)
def test_while_annealing_only_the_clock_stops(values):
    history = records(values, entropy_gap=0.0, settled=False)
    rules = Stopping(relative_change=1e6, entropy_gap=1e6, patience=1, wall_time=10.0)
    assert rules.should_stop(history, 5.0) is None
    assert rules.should_stop(history, 10.0).rule == "wall_time"


@given(free_energies, st.integers(1, 5), st.floats(1e-6, 1))
def test_relative_change_is_decided_by_the_largest_of_the_last_changes(values, patience, limit):
    stop = Stopping(relative_change=limit, patience=patience).should_stop(records(values), 0.0)
    last = values[-patience - 1 :]
    changes = [abs(new - old) / abs(new) for old, new in pairwise(last)]
    if len(changes) < patience or max(changes) > limit * (1 + 1e-12):
        assert stop is None
    elif max(changes) < limit * (1 - 1e-12):
        assert stop.rule == "relative_change"


@given(st.lists(st.one_of(st.none(), st.floats(-1, 1)), max_size=8), st.integers(1, 4), st.floats(1e-6, 1))
def test_entropy_gap_is_decided_by_the_largest_of_the_last_gaps(gaps, patience, limit):
    history = [Record(-1.0, gap) for gap in gaps]
    stop = Stopping(entropy_gap=limit, patience=patience).should_stop(history, 0.0)
    last = gaps[-patience:]
    expected = len(last) == patience and None not in last and max(map(abs, last)) < limit
    assert (stop is not None) == expected


@given(free_energies, st.integers(1, 4), st.floats(0, 1))
def test_learning_goes_on_as_long_as_rows_that_are_held_out_gain_enough(values, patience, least):
    history = [Record(-1.0, held_out=value) for value in values]
    stop = Stopping(held_out_gain=least, patience=patience).should_stop(history, 0.0)
    gains = [(new - old) / abs(new) for old, new in pairwise(values[-patience - 1 :])]
    if len(gains) < patience or max(gains) > least * (1 + 1e-12):
        assert stop is None
    elif max(gains) < least * (1 - 1e-12) or max(gains) < 0:
        assert stop.rule == "held_out_gain"


def test_the_change_out_of_annealing_is_not_counted():
    rules = Stopping(relative_change=0.1, patience=2)
    history = [Record(-10.0, settled=False), *records([-10.0, -10.0])]
    assert rules.should_stop(history, 0.0) is None
    assert rules.should_stop([*history, Record(-10.0)], 0.0).rule == "relative_change"


@pytest.mark.parametrize("value", [-3.0, 0.0])
def test_a_free_energy_that_does_not_change_at_all_has_converged(value):
    assert Stopping(relative_change=1e-300, patience=1).should_stop(records([value, value]), 0.0) is not None


def test_the_clock_leaves_time_for_one_more_sweep_and_a_checkpoint():
    rules = Stopping(wall_time="1m")
    assert rules.should_stop([], 40.0, reserve=19.9) is None
    stop = rules.should_stop([], 40.0, reserve=20.0)
    assert stop.rule == "wall_time"
    assert not stop.is_converged
    assert "40 s" in stop.sentence
    assert "1m" in stop.sentence


def test_convergence_comes_before_the_clock():
    stop = Stopping(relative_change=0.1, patience=1, wall_time=1.0).should_stop(records([-1.0, -1.0]), 2.0)
    assert stop.rule == "relative_change"
    assert stop.is_converged
    assert "0.1" in stop.sentence


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("1d 2h 3m 4s", 93784), ("0.5h", 1800), (" 45m ", 2700),
        (90, 90), (1.5, 1.5),
    ],
)  # fmt: skip
def test_durations(duration, seconds):
    assert seconds_of(duration) == seconds


@given(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_a_duration_is_the_sum_of_its_parts(days, hours, minutes, seconds):
    total = seconds_of(f"{seconds}s") + 60 * minutes + 3600 * hours + 86400 * days
    assert seconds_of(f"{days}d{hours}h{minutes}m{seconds}s") == total


@pytest.mark.parametrize("duration", ["", "90", "h", "1:30", "30m1h", "-5m", "5 minutes", "1h1h", "1.h", "1e3s"])
def test_what_is_no_duration_is_named(duration):
    with pytest.raises(ValueError, match="is not a duration; legal is a number of seconds, or like 90s"):
        Stopping(wall_time=duration)


@pytest.mark.parametrize("duration", [0, 0.0, -1, "0s", float("inf"), float("nan")])
def test_a_run_needs_some_time(duration):
    with pytest.raises(ValueError, match=r"is not greater than 0 s|must be text or a number or null"):
        Stopping(wall_time=duration)
