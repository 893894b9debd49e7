"""When checkpoints are written: by what they cost, unless somebody says how often."""

import time

import pytest

from prosper_ng.experiments.checkpoint_times import CheckpointTimes, n_checkpoints, usual_seconds
from prosper_ng.experiments.run_config import Output
from tests.helpers.small_runs import SEARCH, Runner


class Clock:
    """A clock that goes on by what work is said to take."""

    def __init__(self) -> None:
        self.now = 1e5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def written(clock, output, n_sweeps, sweep, cost, usual=0.05, asked=()):
    """The sweeps after which a run writes checkpoints, and when, in seconds from its first sweep."""
    times, began, found = CheckpointTimes(output, usual), clock.now, {}
    for done in range(1, n_sweeps + 1):
        clock.now += sweep
        if times.is_due(done) or done in asked:
            seconds = cost(len(found)) if callable(cost) else cost
            found[done] = clock.now - began
            clock.now += seconds
            times.written(done, seconds)
    return found


def test_a_short_run_writes_one_at_its_end(tmp_path, capsys):
    runner = Runner(tmp_path / "run", SEARCH.replace(", checkpoint_sweeps: 4", ""), capsys)
    assert runner("training.n_sweeps=40").status == 0
    assert runner.checkpoints == [40]


@pytest.mark.parametrize("sweep", [0.01, 7.0, 90.0])
def test_cheap_ones_come_every_minute(clock, sweep):
    found = list(written(clock, Output(), 10000, sweep, 0.03).values())
    assert found
    gaps = [after - before for before, after in zip([0.0, *found], found, strict=False)]
    assert all(60 <= gap <= 60.1 + sweep for gap in gaps)


@pytest.mark.parametrize("cost", [5.0, 30.0, 400.0, lambda n: 2.0 + 300.0 * (n % 3 == 1)])
@pytest.mark.parametrize("usual", [0.05, 30.0, 300.0])
def test_they_take_no_more_than_two_percent_of_the_time(clock, cost, usual):
    """But for what nobody can know: that the last one took longer than the one before, or than its size needs."""
    found, spent = written(clock, Output(), 20000, 10.0, cost, usual), 0.0
    costs = [cost(n) if callable(cost) else cost for n in range(len(found))]
    assert len(found) >= 3
    for number, began in enumerate(found.values()):
        expected = costs[number - 1] if number else usual
        assert spent + expected <= 0.02 * began
        spent += costs[number]


def test_those_that_somebody_asked_for_count(clock):
    found = list(written(clock, Output(), 2000, 10.0, 30.0, asked=range(1, 11)))
    assert found[:10] == list(range(1, 11))
    assert 10 * found[10] + 10 * 30 == pytest.approx(11 * 30 / 0.02, abs=10)


@pytest.mark.parametrize("cost", [0.01, 1e4])
def test_what_the_user_says_counts_whatever_it_costs(clock, cost):
    assert list(written(clock, Output(checkpoint_sweeps=10, checkpoint_minutes=None), 35, 1.0, cost)) == [10, 20, 30]
    assert list(written(clock, Output(checkpoint_minutes=0.5), 100, 10.0, cost))[:3] == [3, 6, 9]
    assert not written(clock, Output(checkpoint_minutes=None), 1000, 1e3, cost)


def test_a_run_that_goes_on_counts_from_there(clock):
    times = CheckpointTimes(Output(checkpoint_sweeps=10, checkpoint_minutes=None), 0.05)
    times.found(7)
    assert [sweep for sweep in range(8, 18) if times.is_due(sweep)] == [17]


@pytest.mark.parametrize(("cost", "output"), [(0.05, {}), (10.0, {}), (0.05, {"checkpoint_minutes": 3.0})])
def test_as_many_are_foreseen(clock, cost, output):
    found = written(clock, Output(**output), 5200, 1.0, cost, cost)
    assert n_checkpoints(Output(**output), 5200, 5200.0, cost) == pytest.approx(1 + len(found), rel=0.03)


def test_ranks_that_write_side_by_side_take_less_time():
    assert usual_seconds(1000, 100) == pytest.approx(0.05, rel=1e-3)
    assert usual_seconds(816 * 10**9, 1) == pytest.approx(4080, rel=1e-3)
    assert usual_seconds(816 * 10**9, 4) == pytest.approx(1020, rel=1e-3)
    assert usual_seconds(3 << 30, 100) == pytest.approx(5.37 + 0.05, rel=1e-3)


def test_no_other_word(tmp_path, capsys):
    done = Runner(tmp_path / "run", SEARCH, capsys)("output.checkpoint_minutes=sometimes")
    assert done.status == 2
    assert "output.checkpoint_minutes" in done.err
    assert "auto" in done.err
