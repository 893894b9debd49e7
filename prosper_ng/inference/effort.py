"""How hard to look for the states of a row, how sure that makes of the best one, and what to do where it is too little.

Only where all states were looked at is the best one certain. Elsewhere there is no bound: what is said is for how long
the best state has not improved, and whether anything hints at a better one.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.closure import close
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep, Found, Target
from prosper_ng.estep.preselection import Preselection, n_preselected
from prosper_ng.estep.row_by_row import some
from prosper_ng.estep.search import Search
from prosper_ng.latents.posterior import log_sum
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.schedule import END

MOST_STATES = 100_000
"""No effort beyond the configured E-step is given more states than these."""
MOST_DOUBLINGS = 6
"""How many times, after the first one, states and neighborhoods are doubled."""

_FEWEST_BEST = 16
"""How many best states have their neighborhoods looked at, at first."""
_STATES = 4
"""States that are kept meanwhile for each of these."""
_STEPS = 8
"""Neighborhoods that may be looked at for each of these."""
_FEW, _NOT_MANY = 256, 1024
"""All states are looked at where there are no more than these for each of these; of rows that are looked at again
because their best state is in doubt, more."""
_MOST_LOOKS = 3
"""How many times neighborhoods are looked at in the hope that fresh states lead to the same best state."""


class Effort(NamedTuple):
    """A way to look for states: an E-step, or the neighborhoods of the best states found before."""

    estep: EStep
    """With `n_best`, a search that only says how many states are kept."""
    n_sweeps: int
    """Sweeps of a configured E-step that stores its states, at most."""
    level: int = 0
    """How many times it was raised."""
    n_best: int = 0
    """How many best states must have their neighborhoods looked at; 0 for an E-step."""


class Explored(NamedTuple):
    """The states of some rows, and how sure it is that the best one is among them."""

    found: Found
    certain: NDArray[np.bool_]
    """(n,) whether all states were looked at."""
    unsettled: NDArray[np.bool_]
    """(n,) whether something hints at a better state than the best one found."""
    unimproved: NDArray[np.int32]
    """(n,) for how many sweeps, or neighborhoods looked at, the best state has not improved."""
    needs_more: NDArray[np.bool_]
    """(n,) whether an adaptive inference looks at the row again, harder."""
    sets: StateSets | None = None
    """What can be gone on from."""


def harder(effort: Effort, space: LatentSpace) -> Effort | None:
    """The next effort; None where the one before leaves nothing out, or more would be too much.

    At first the neighborhoods of 16 best states, and of half as many that fresh states lead to; then twice as many
    each time. All states where these are not many more.
    """
    kept = n_kept(effort.estep, space)
    if kept >= space.n_states:
        return None
    level, n_best = effort.level + 1, 2 * effort.n_best or _FEWEST_BEST
    if space.n_states <= min((_FEW if level == 1 else _NOT_MANY) * n_best, MOST_STATES):
        return Effort(Exhaustive(), effort.n_sweeps, level)
    wanted = max(_STATES * n_best, kept)
    if level > MOST_DOUBLINGS + 1 or wanted > MOST_STATES:
        return None
    return Effort(Search(n_states=wanted), effort.n_sweeps, level, n_best)


def initial_sets(effort: Effort, target: Target, seed: int) -> StateSets | None:
    """Fresh state sets for the rows of the target; None where the E-step stores none."""
    streams = stream(seed, "state sets for inference", effort.level)
    return effort.estep.initial_sets(target.model.space, target.batch.rows, target.activity, streams)


def explore(effort: Effort, target: Target, seed: int, before: StateSets | None = None) -> Explored:
    """The states that this effort finds for the rows of the target, those found before included where it stores states.

    After a preselection a better state is hinted at where the best one lies on the edge: it has gamma active latents,
    or the last of the H' candidates among them. After a search, where the best state was replaced by a better one in
    the last half of the sweeps. After looking at neighborhoods, where they held a better state than was known before,
    where their number was not enough, or where fresh states by themselves do not lead to the best one.
    """
    certain = np.full(len(target.batch.values), n_kept(effort.estep, target.model.space) >= target.model.space.n_states)
    if before is not None:
        before = StateSets(before.codes, target.log_joint(before.codes))
    if effort.n_best:
        return _look_around(effort, target, seed, before)
    sets = initial_sets(effort, target, seed)
    if sets is not None:
        sets.log_joint[...] = target.log_joint(sets.codes)
        return _search(effort, target, seed, sets, before, certain)
    found = effort.estep.find(target, None)
    on_edge = np.zeros(len(certain), bool)
    if isinstance(effort.estep, Preselection):
        on_edge = _on_edge(effort.estep, target, found)
    sets = StateSets(found.codes, found.log_joint)
    return Explored(found, certain, on_edge, np.zeros(len(certain), np.int32), ~certain, sets)


def _search(
    effort: Effort, target: Target, seed: int, sets: StateSets, before: StateSets | None, certain: NDArray[np.bool_]
) -> Explored:
    """Sweeps at fixed parameters; a row is done once its free energy has not improved for half of those it may have.

    All states are in use, whatever share of them the schedule ends with. The first sweep of fresh sets takes the
    variations that are meant for the first sweep of a run.
    """
    if before is not None:
        sets.merge(*before)
    estep = replace(effort.estep, share=1.0) if isinstance(effort.estep, Search) else effort.estep
    best, free_energy = sets.log_joint.max(axis=1), log_sum(sets.log_joint)
    replaced_at, improved_at = np.zeros((2, len(best)), np.int64)
    ended_at, patience = np.zeros(len(best), np.int64), -(-effort.n_sweeps // 2)
    left, own = np.arange(len(best)), sets
    for sweep in range(1, effort.n_sweeps + 1):
        streams = stream(seed, "variation for inference", sweep)
        position = 0 if sweep == 1 and before is None else END
        estep.find(target._replace(stream=streams, sweep=position), own)
        now, top = log_sum(own.log_joint), own.log_joint.max(axis=1)
        improved_at[left[now > free_energy[left]]] = sweep
        replaced_at[left[top > best[left]]] = sweep
        free_energy[left], best[left], ended_at[left] = np.maximum(free_energy[left], now), top, sweep
        going = sweep - improved_at[left] < patience
        if not going.all():
            sets.codes[left], sets.log_joint[left] = own
            left, target = left[going], some(target, going)
            own = StateSets(sets.codes[left], sets.log_joint[left])
        if len(left) == 0:
            break
    sets.codes[left], sets.log_joint[left] = own
    unimproved = (ended_at - replaced_at).astype(np.int32)
    late = (replaced_at > 0) & (unimproved < patience) & ~certain
    return Explored(Found(*sets, 0), certain, late, unimproved, ~certain, sets)


def _look_around(effort: Effort, target: Target, seed: int, before: StateSets | None) -> Explored:
    """The neighborhoods of the best states, until they hold nothing better.

    Fresh states come first, by themselves: what they lead to may lie where nothing leads to from those found before,
    and if they lead to the same best state that speaks for it.
    """
    few = Search(n_states=_STATES * effort.n_best)
    sets = initial_sets(effort._replace(estep=few), target, seed)
    assert sets is not None
    sets.log_joint[...] = target.log_joint(sets.codes)
    close(target, sets, effort.n_best // 2, _STEPS * effort.n_best)
    known = fresh = sets.log_joint.max(axis=1)
    if before is not None:
        known = before.log_joint.max(axis=1)
        sets.merge(*before)
    closed = close(target, sets, effort.n_best, _STEPS * effort.n_best)
    best = sets.log_joint.max(axis=1)
    replaced, confirmed = (best > known) | ~closed.is_closed, best == fresh
    needs_more = replaced | ~confirmed & (effort.level < _MOST_LOOKS)
    if before is not None and before.codes.shape[1] > sets.codes.shape[1]:
        merged = StateSets(before.codes.copy(), before.log_joint)
        merged.merge(*sets)
        sets = merged
    unimproved = (closed.n_looked - closed.improved_at).astype(np.int32)
    certain = np.zeros(len(best), bool)
    return Explored(Found(*sets, 0), certain, replaced | ~confirmed, unimproved, needs_more, sets)


def n_kept(estep: EStep, space: LatentSpace) -> int:
    """The states of an E-step for each row; of one that is not known, a single one."""
    if isinstance(estep, Exhaustive):
        return space.n_states
    if isinstance(estep, Preselection):
        return n_preselected(estep, space)
    return min(int(getattr(estep, "n_states", 1)), space.n_states)


def _on_edge(estep: Preselection, target: Target, found: Found) -> NDArray[np.bool_]:
    """(n,) whether the best state has as many active latents as are allowed, or the last candidate among them."""
    space = target.model.space
    n_candidates = min(estep.n_candidates, space.n_latents)
    max_active = min(estep.max_active, n_candidates)
    best = found.codes[np.arange(len(found.codes)), found.log_joint.argmax(axis=1)]
    active = space.decode(best) != 0
    on_edge = (active.sum(axis=1) >= max_active) & (max_active < space.n_latents)
    if n_candidates < space.n_latents:
        ranked = np.argsort(-estep.scores(target), axis=1, kind="stable")
        on_edge |= np.take_along_axis(active, ranked[:, n_candidates - 1 : n_candidates], axis=1)[:, 0]
    return np.asarray(on_edge)
