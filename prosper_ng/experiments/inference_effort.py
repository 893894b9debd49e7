"""How hard to look for the states of a row, whether that was enough, and what to do where it was not."""

from dataclasses import replace
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.interface import EStep, Found, Task
from prosper_ng.estep.preselection import Preselection
from prosper_ng.estep.search import Search
from prosper_ng.latents.posterior import log_sum
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.numerics.random_streams import stream

MOST_STATES = 100_000
"""No E-step is given more states than these."""
MOST_DOUBLINGS = 6
"""A search is given at most 64 times the states and, in its last attempt, 64 times the sweeps."""


class Effort(NamedTuple):
    """An E-step, and how many sweeps it gets if it stores its states."""

    estep: EStep
    n_sweeps: int
    level: int = 0
    """How many times it was raised."""
    n_before: int = 0
    """Sweeps of lower levels, whose random numbers are used up."""


class Explored(NamedTuple):
    """The states of some rows, and how sure it is that the best one is among them."""

    found: Found
    unsettled: NDArray[np.bool_]
    """(n,) whether the best state shows that a better one may have been missed."""
    needs_more: NDArray[np.bool_]
    """(n,) whether an adaptive inference looks at the row again, harder."""
    sets: StateSets | None = None
    """What a search can go on from."""


def harder(effort: Effort, space: LatentSpace) -> Effort | None:
    """The next effort; None where the E-step leaves nothing out, or more would be too much.

    Preselection gets one more candidate and one more active latent, a search twice the states and sweeps.
    """
    estep, level = effort.estep, effort.level + 1
    if isinstance(estep, Preselection):
        if min(estep.n_candidates, estep.max_active) >= space.n_latents:
            return None
        wider = replace(estep, n_candidates=estep.n_candidates + 1, max_active=estep.max_active + 1)
        return effort._replace(estep=wider, level=level) if n_preselected(wider, space) <= MOST_STATES else None
    if isinstance(estep, Search) and estep.n_states < space.n_states:
        if level > MOST_DOUBLINGS or 2 * estep.n_states > MOST_STATES:
            return None
        wider_search = replace(estep, n_states=2 * estep.n_states)
        return Effort(wider_search, 2 * effort.n_sweeps, level, effort.n_before + effort.n_sweeps)
    return None


def initial_sets(effort: Effort, task: Task, seed: int) -> StateSets | None:
    """Fresh state sets for the rows of the task; None where the E-step stores none."""
    streams = stream(seed, "state sets for inference", effort.level)
    return effort.estep.initial_sets(task.model.space, task.batch.rows, task.activity, streams)


def explore(effort: Effort, task: Task, seed: int, before: StateSets | None = None) -> Explored:
    """The states that this effort finds for the rows of the task; a search goes on from the states found before.

    After a preselection those rows are unsettled whose best state lies on the edge: it has gamma active latents, or the
    last of the H' candidates among them. After a first search, those whose best state was replaced by a better one in
    the second half of the sweeps; after one that went on, those whose best state is another one than before. An
    adaptive inference makes sure of a search by going on at least once.
    """
    sets = initial_sets(effort, task, seed)
    if sets is not None:
        return _search(effort, task, seed, sets, before)
    found = effort.estep.find(task, None)
    if isinstance(effort.estep, Preselection):
        on_edge = _on_edge(effort.estep, task, found)
        return Explored(found, on_edge, on_edge)
    settled = np.zeros(len(found.codes), bool)
    return Explored(found, settled, settled)


def _search(effort: Effort, task: Task, seed: int, sets: StateSets, before: StateSets | None) -> Explored:
    """Sweeps at fixed parameters, until no free energy has improved for half as many sweeps as there are at most."""
    sets.log_joint[...] = task.log_joint(sets.codes)
    if before is not None:
        sets.merge(before.codes, before.log_joint)
    best, free_energy = sets.log_joint.max(axis=1), log_sum(sets.log_joint)
    replaced_at, improved_at, patience = np.zeros(len(best), np.int64), 0, -(-effort.n_sweeps // 2)
    found, sweep = Found(sets.codes, sets.log_joint, 0), 0
    while sweep < effort.n_sweeps and sweep - improved_at < patience:
        sweep += 1
        streams = stream(seed, "variation for inference", effort.n_before + sweep)
        found = effort.estep.find(task._replace(stream=streams), sets)
        now = log_sum(found.log_joint)
        if (now > free_energy).any():
            improved_at = sweep
        free_energy = np.maximum(free_energy, now)
        replaced_at[found.log_joint.max(axis=1) > best] = sweep
        best = found.log_joint.max(axis=1)
    if before is None:
        late = (replaced_at > 0) & (sweep - replaced_at < patience)
        return Explored(found, late, np.ones(len(best), bool), sets)
    changed = best > before.log_joint.max(axis=1)
    return Explored(found, changed, changed, sets)


def n_preselected(estep: Preselection, space: LatentSpace) -> int:
    """The states of a preselection for each row: zero, singletons, combinations."""
    n_candidates, n_nonzero = min(estep.n_candidates, space.n_latents), space.n_values - 1
    combined = range(2, min(estep.max_active, n_candidates) + 1)
    return 1 + space.n_latents * n_nonzero + sum(comb(n_candidates, k) * n_nonzero**k for k in combined)


def _on_edge(estep: Preselection, task: Task, found: Found) -> NDArray[np.bool_]:
    """(n,) whether the best state has as many active latents as are allowed, or the last candidate among them."""
    space = task.model.space
    n_candidates = min(estep.n_candidates, space.n_latents)
    max_active = min(estep.max_active, n_candidates)
    best = found.codes[np.arange(len(found.codes)), found.log_joint.argmax(axis=1)]
    active = space.decode(best) != 0
    on_edge = (active.sum(axis=1) >= max_active) & (max_active < space.n_latents)
    if n_candidates < space.n_latents:
        ranked = np.argsort(-estep.scores(task), axis=1, kind="stable")
        on_edge |= np.take_along_axis(active, ranked[:, n_candidates - 1 : n_candidates], axis=1)[:, 0]
    return np.asarray(on_edge)
