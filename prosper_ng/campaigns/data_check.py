"""Whether the points of a campaign fit their data: each data source is opened once, and no rows are learned from."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from prosper_ng.campaigns.plan import PlannedRun, by_point
from prosper_ng.data.dataset import Dataset
from prosper_ng.errors import UserError
from prosper_ng.experiments.completion import completed
from prosper_ng.experiments.preview import open_fitting

_MOST_OPEN = 32
"""Data sources that are kept open."""


class Problem(NamedTuple):
    """Why runs would fail before their first sweep."""

    sentence: str
    n_runs: int
    title: str
    """The first of these runs, for people."""


def problems_of(runs: Sequence[PlannedRun]) -> list[Problem]:
    """What would keep runs from their first sweep, as far as shapes and names tell; each sentence once.

    What a seed changes in data are their values, so those of one seed stand for all.
    """
    opened: dict[str, Dataset | UserError] = {}
    found: dict[str, Problem] = {}
    for group in by_point(runs):
        first = group[0]
        try:
            _require_fitting(first, opened)
        except UserError as error:
            sentence = str(error)
            before = found.get(sentence, Problem(sentence, 0, first.title))
            found[sentence] = before._replace(n_runs=before.n_runs + len(group))
    return list(found.values())


def _require_fitting(run: PlannedRun, opened: dict[str, Dataset | UserError]) -> None:
    loaded = completed(run.loaded, run.folder)
    config, source = loaded.value, loaded.resolved["data"]
    key = json.dumps(source)
    if key not in opened:
        if len(opened) >= _MOST_OPEN:
            opened.clear()
        try:
            opened[key] = config.data.open(config.seed)
        except UserError as error:
            opened[key] = error
    dataset = opened[key]
    if isinstance(dataset, UserError):
        raise dataset
    open_fitting(config, dataset)
