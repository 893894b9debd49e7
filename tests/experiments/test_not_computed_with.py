"""What a run is not computed with: marked on the fields, told from everything else by identities."""

from pathlib import Path
from typing import Annotated

import pytest

from prosper_ng.components import NotComputedWith, settings
from prosper_ng.config import from_mapping, identity, load
from prosper_ng.config.first_fields import not_computed_with
from prosper_ng.experiments.run_config import RunConfig, not_science

RUNS = Path(__file__).parents[2] / "configs" / "runs"
ALWAYS = {"name", "output", "training.stopping", "memory.data_budget", "memory.states_budget", "memory.scratch"}
BY_LENGTH = "training.annealing.temperature=[[0, 3.0], [0.5, 1.0]]"


@pytest.mark.parametrize(
    ("file", "overrides", "more"),
    [
        ("bars-bsc.yaml", [], {"training.n_sweeps"}),
        ("bars-bsc.yaml", [BY_LENGTH], set()),
        ("bars-bsc.yaml", ["training.restarts=2"], set()),
        ("bars-bsc.yaml", ["training.restarts=2", "training.restart_sweeps=9"], {"training.n_sweeps"}),
        ("denoise-house.yaml", [], {"training.n_sweeps", "task.every", "task.pictures_every"}),
        ("denoise-house.yaml", [BY_LENGTH], {"task.every", "task.pictures_every"}),
    ],
)
def test_the_marks_name_how_far_how_often_and_where_to_and_nothing_else(file, overrides, more):
    config = load(RUNS / file, RunConfig, overrides).value
    assert set(not_science(config)) == ALWAYS | more
    assert len(not_science(config)) == len(ALWAYS | more)


@settings
class Part:
    """A part of a whole."""

    effort: int = 1
    """Computed with."""
    pace: Annotated[int | None, NotComputedWith(unless=lambda part: part.effort > 5)] = None
    """Computed with where the effort is large."""


@settings
class Whole:
    """Parts in all places where settings can stand."""

    one: Part
    """A part."""
    listed: tuple[Part, ...] = ()
    """Parts in a list."""
    named: dict[str, Part]
    """Parts by name."""


def test_marks_are_found_wherever_settings_stand():
    plain = {"one": {"effort": 6}, "listed": [{}, {"effort": 6}], "named": {"a.b": {}, "c": {"effort": 6}}}
    loaded = from_mapping(plain, Whole)
    ignored = not_computed_with(loaded.value)
    assert ignored == ("listed.0.pace", 'named."a.b".pace')
    other = from_mapping(plain | {"listed": [{"pace": 3}, {"effort": 6}], "named": plain["named"]}, Whole)
    assert identity(other.resolved, ignored) == identity(loaded.resolved, ignored)
    other = from_mapping(plain | {"one": {"effort": 6, "pace": 3}}, Whole)
    assert identity(other.resolved, ignored) != identity(loaded.resolved, ignored)
