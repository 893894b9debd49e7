"""How hard to look for the states of a row, how sure that makes of the best one, and what to do where it is too little.

Only where all states were looked at is the best one certain. Elsewhere there is no bound: what is said is for how long
the best state has not improved, and whether anything hints at a better one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.closure import close
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep, Found, RowArrays, Target
from prosper_ng.estep.row_by_row import some
from prosper_ng.estep.search import Search
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.posterior import log_sum
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
    """Sweeps of a configured E-step that goes on from what it keeps of rows, at most."""
    level: int = 0
    """How many times it was raised."""
    n_best: int = 0
    """How many best states must have their neighborhoods looked at; 0 for an E-step."""


class Explored(NamedTuple):
    """The states of some rows, and how sure it is that the best one is among them."""

    found: Any
    """`Found`; None of posteriors that are no sums over states."""
    certain: NDArray[np.bool_]
    """(n,) whether all states were looked at."""
    unsettled: NDArray[np.bool_]
    """(n,) whether something hints at a better state than the best one found."""
    unimproved: NDArray[np.int32]
    """(n,) for how many sweeps, or neighborhoods looked at, the best state has not improved."""
    needs_more: NDArray[np.bool_]
    """(n,) whether an adaptive inference looks at the row again, harder."""
    states: RowArrays
    """What a higher effort goes on from: `codes` and `log_joint` of the states."""

    @classmethod
    def of_none(cls, n_rows: int) -> "Explored":
        """Of rows whose latents have no states: none was looked at, and there is none to look for."""
        no = np.zeros(n_rows, bool)
        return cls(None, no, no, np.zeros(n_rows, np.int32), no, {})


def harder(effort: Effort, space: StateSpace) -> Effort | None:
    """The next effort; None where the one before leaves nothing out, or more would be too much.

    At first the neighborhoods of 16 best states, and of half as many that fresh states lead to; then twice as many
    each time. All states where these are not many more.
    """
    kept = effort.estep.n_listed(space)
    if kept >= space.n_states:
        return None
    level, n_best = effort.level + 1, 2 * effort.n_best or _FEWEST_BEST
    if space.n_states <= min((_FEW if level == 1 else _NOT_MANY) * n_best, MOST_STATES):
        return Effort(Exhaustive(), effort.n_sweeps, level)
    wanted = max(_STATES * n_best, kept)
    search = Search(n_states=wanted)
    if level > MOST_DOUBLINGS + 1 or wanted > MOST_STATES or not search.serves(space):
        return None
    return Effort(search, effort.n_sweeps, level, n_best)


def initial_rows(effort: Effort, target: Target, seed: int) -> RowArrays:
    """First values of what the E-step keeps of the rows of the target."""
    streams, n_observed = stream(seed, "state sets for inference", effort.level), target.batch.values.shape[1]
    return effort.estep.initial_rows(target.model, n_observed, target.batch.rows, target.activity, streams)


def explore(effort: Effort, target: Target, seed: int, before: RowArrays | None = None) -> Explored:
    """The states that this effort finds for the rows of the target; it goes on from what was kept of them before.

    A better state than the best one is hinted at where the E-step says so, as a preselection does where the best state
    lies on its edge. After sweeps, also where the best state was replaced by a better one in the last half of them.
    After looking at neighborhoods, where they held a better state than was known before, where their number was not
    enough, or where fresh states by themselves do not lead to the best one.
    """
    space = target.model.space
    certain = np.full(len(target.batch.values), effort.estep.n_listed(space) >= space.n_states)
    if effort.n_best:
        known = None if before is None else StateSets(before["codes"], target.log_joint(before["codes"]))
        return _look_around(effort, target, seed, known)
    if rows := initial_rows(effort, target, seed):
        return _sweep(effort, target, seed, rows, before, certain)
    found = effort.estep.find(target)
    unsettled, unimproved = effort.estep.unsettled(target, found), np.zeros(len(certain), np.int32)
    return Explored(found, certain, unsettled, unimproved, ~certain, _states_of(found))


def _sweep(
    effort: Effort, whole: Target, seed: int, rows: RowArrays, before: RowArrays | None, certain: NDArray[np.bool_]
) -> Explored:
    """Sweeps at fixed parameters; a row is done once its free energy has not improved for half of those it may have.

    All states are in use, whatever share of them a schedule ends with. The first sweep of fresh rows takes the
    variations that are meant for the first sweep of a run.
    """
    estep, target, own = effort.estep.with_all_states(), whole, rows
    found = estep.take_up(target, own, before)
    states = Found(np.array(found.codes, order="C"), np.array(found.log_joint, order="C"), 0)
    best, free_energy = found.log_joint.max(axis=1), log_sum(found.log_joint)
    replaced_at, improved_at = np.zeros((2, len(best)), np.int64)
    ended_at, patience = np.zeros(len(best), np.int64), -(-effort.n_sweeps // 2)
    left = np.arange(len(best))
    for sweep in range(1, effort.n_sweeps + 1):
        streams = stream(seed, "variation for inference", sweep)
        position = 0 if sweep == 1 and before is None else END
        found = estep.find(target._replace(stream=streams, sweep=position), own)
        now, top = log_sum(found.log_joint), found.log_joint.max(axis=1)
        improved_at[left[now > free_energy[left]]] = sweep
        replaced_at[left[top > best[left]]] = sweep
        free_energy[left], best[left], ended_at[left] = np.maximum(free_energy[left], now), top, sweep
        going = sweep - improved_at[left] < patience
        if sweep == effort.n_sweeps:
            going[:] = False
        if not going.all():
            states.codes[left[~going]] = found.codes[~going]
            states.log_joint[left[~going]] = found.log_joint[~going]
            left, target = left[going], some(target, going)
            own = {name: values[going] for name, values in own.items()}
        if len(left) == 0:
            break
    unimproved = (ended_at - replaced_at).astype(np.int32)
    late = (replaced_at > 0) & (unimproved < patience) & ~certain
    late |= estep.unsettled(whole, states)
    return Explored(states, certain, late, unimproved, ~certain, _states_of(states))


def _look_around(effort: Effort, target: Target, seed: int, before: StateSets | None) -> Explored:
    """The neighborhoods of the best states, until they hold nothing better.

    Fresh states come first, by themselves: what they lead to may lie where nothing leads to from those found before,
    and if they lead to the same best state that speaks for it.
    """
    few = Search(n_states=_STATES * effort.n_best)
    sets = StateSets(**initial_rows(effort._replace(estep=few), target, seed))
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
    return Explored(Found(*sets, 0), certain, replaced | ~confirmed, unimproved, needs_more, sets._asdict())


def _states_of(found: Found) -> RowArrays:
    return {"codes": found.codes, "log_joint": found.log_joint}
