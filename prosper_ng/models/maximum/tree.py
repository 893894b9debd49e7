"""Preselected states of the models with maximum superposition: which of them count in each row, and how much.

What the latents of a state superimpose to does not depend on the row, so it is found once for all rows that meet the
state, and a row pays for the distance only. Most are not met: what a set of latents has too much, no larger set has
less of. States are met by the number of their latents, for some rows side by side, and left out as soon as a set that
they hold is ruled out. What is left out weighs less than exp(-31), which no free energy shows, or 1e-25 where W does.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.lattice import lattice_of
from prosper_ng.latents.state_table import clear, place_states
from prosper_ng.models.interface import Floats
from prosper_ng.models.maximum.kernels import Projected
from prosper_ng.models.maximum.superpositions import Workspace, padded_rows, superpose_states
from prosper_ng.numerics.elementary import fast_exp
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    larger,
    load,
    magnitude,
    minus,
    minus_product,
    plus_product,
    sum_of_lanes,
    times,
)

NEGLIGIBLE = 31.0
"""States of a row that all together weigh less than exp(-31) = 3e-14 of the best are left out of its free energy."""

_ROWS, _NODES = 64, 1 << 20

# Arrays are passed to functions that loop over many states, never for one state: counting references takes longer.


class Weighing(NamedTuple):
    """How distances become log joints, less what depends on the row only."""

    precision: float
    beta: float
    """The inverse temperature of the likelihood, for the weights; free energies are at temperature 1."""
    kappa: float
    """That of the prior."""
    threshold: float
    """How far below the best a log joint may be, to count in free energy and entropy."""
    reach: float
    """How far below the best the logarithm of a weight may be, to be listed at all; `threshold` or more."""


class PaddedRows(NamedTuple):
    """The rows, padded with zeros from D to D' entries so that loops over them leave no remainder."""

    values: Floats
    """(n, D')."""
    observed: Floats
    """(n, D')."""
    singletons: Floats
    """(n, H) as in `Projected`."""
    rounding: Floats
    """(n,) as in `Projected`."""
    candidates: NDArray[np.int64]
    """(n, H')."""


class Traversal(NamedTuple):
    """What is known of the nodes of some rows side by side."""

    log_prior: Floats
    """(r, M) relative to that of the zero state."""
    excess: Floats
    """(r, M) a squared distance that no state with these latents comes below; infinity where none of them counts."""
    distances: Floats
    """(r, M) squared distances, infinity where the node was left out."""
    best: Floats
    """(r, 2) the largest log joints so far, at temperature 1 and tempered."""
    rows: NDArray[np.int64]
    """(r M,) the rows of a list of nodes."""
    nodes: NDArray[np.int32]
    """(r M,) that list."""
    places: NDArray[np.int64]
    """(r M,) where their superpositions stand."""

    @classmethod
    def empty(cls, n_rows: int, n_nodes: int) -> "Traversal":
        """Arrays to be filled."""
        shape, size = (n_rows, n_nodes), n_rows * n_nodes
        return cls(
            np.empty(shape), np.empty(shape), np.empty(shape), np.empty((n_rows, 2)),
            np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, np.int64),
        )  # fmt: skip


class Weighed(NamedTuple):
    """The posteriors of some rows, in a ragged list of states."""

    free_energy: Floats
    """(n,)."""
    entropy: Floats
    """(n,)."""
    residual: Floats
    """(n,) <|y - Wbar|²> over the observed entries."""
    masses: Floats
    """(n, H) probability of each singleton."""
    starts: NDArray[np.int64]
    """(n + 1,) where the list of each row starts."""
    nodes: NDArray[np.int32]
    """(starts[n],) nodes of the lattice of two or more active candidates."""
    weights: Floats
    """Their probabilities."""


def weigh_states(workspace: Workspace, projected: Projected, chosen: Preselected, weighing: Weighing) -> Weighed:
    """The posteriors over the zero state, all singletons, and what the candidates of each row combine to."""
    shape = lattice_of(chosen)
    n_rows, n_nodes = len(chosen.candidates), len(shape.parents)
    elements = workspace.superpositions(len(shape.levels) - 1)
    padded = elements.scaled.shape[1]
    rows = PaddedRows(
        padded_rows(projected.values, padded), padded_rows(projected.observed, padded), projected.singletons,
        projected.rounding, chosen.candidates,
    )  # fmt: skip
    found = Weighed(
        projected.constant.copy(), np.empty(n_rows), np.empty(n_rows), np.empty(projected.singletons.shape),
        np.zeros(n_rows + 1, np.int64), np.empty(n_rows * n_nodes, np.int32), np.empty(n_rows * n_nodes),
    )  # fmt: skip
    traversal = Traversal.empty(max(1, min(n_rows, _ROWS, _NODES // n_nodes)), n_nodes)
    _weigh_rows(elements, weighing, rows, shape, traversal, found)
    kept = slice(found.starts[-1])
    return found._replace(nodes=found.nodes[kept].copy(), weights=found.weights[kept].copy())


@inner_kernel
def _squared_size(n: int, values: Any) -> Any:
    """|y_n|²."""
    total = all_lanes(0.0)
    for d in range(0, values.shape[1], LANES):
        y = load(values, n, d)
        total = plus_product(total, y, y)
    return sum_of_lanes(total)


@inner_kernel
def _distance(n: int, values: Any, observed: Any, place: int, means: Any) -> Any:
    """|y_n - mean|² over the observed entries; the others are 0 in y_n."""
    total = all_lanes(0.0)
    for d in range(0, values.shape[1], LANES):
        difference = minus_product(load(values, n, d), load(observed, n, d), load(means, place, d))
        total = plus_product(total, difference, difference)
    return sum_of_lanes(total)


@inner_kernel
def _distances(n: int, values: Any, observed: Any, place: int, means: Any, least: Any) -> Any:
    """|y_n - mean|² over the observed entries, and how much of it is sure to be left with any more latents."""
    total, excess, nothing = all_lanes(0.0), all_lanes(0.0), all_lanes(0.0)
    for d in range(0, values.shape[1], LANES):
        y, seen = load(values, n, d), load(observed, n, d)
        difference = minus_product(y, seen, load(means, place, d))
        total = plus_product(total, difference, difference)
        over = larger(minus(times(seen, magnitude(load(least, place, d))), magnitude(y)), nothing)
        excess = plus_product(excess, over, over)
    return sum_of_lanes(total), sum_of_lanes(excess)


@inner_kernel(error_model="numpy")
def _log_joints(weighing: Any, distance: float, log_prior: float) -> Any:
    """Log joints at temperature 1 and tempered, less what depends on the row only."""
    likelihood = -0.5 * weighing.precision * distance
    return likelihood + log_prior, weighing.beta * likelihood + weighing.kappa * log_prior


@inner_kernel(error_model="numpy")
def _add(weighing: Any, best: float, best_tempered: float, distance: float, log_prior: float, sums: Any) -> Any:
    """The weight of a state, relative to the best, and the sums (4,) with it in them."""
    joint, tempered = _log_joints(weighing, distance, log_prior)
    joint, tempered = joint - best, tempered - best_tempered
    weight = fast_exp(tempered) if tempered >= -weighing.reach else 0.0
    counted = weight if tempered >= -weighing.threshold else 0.0
    plain = counted
    if joint != tempered:
        plain = fast_exp(joint) if joint >= -weighing.threshold else 0.0
    moment = counted * tempered if counted > 0.0 else 0.0
    return weight, (sums[0] + plain, sums[1] + counted, sums[2] + moment, sums[3] + counted * distance)


@inner_kernel(error_model="numpy")
def _visit_singletons(
    first: int, n_rows: int, weighing: Any, rows: Any, elements: Any, traversal: Any, masses: Any
) -> None:
    """Put the distances of the singletons that may count in place of their masses (n, H), infinity for the others."""
    values, observed, singletons, best = rows.values, rows.observed, rows.singletons, traversal.best
    shift, log_odds = weighing.kappa - weighing.beta, elements.log_odds
    for r in range(n_rows):
        n = first + r
        plain, tempered = -np.inf, -np.inf
        for h in range(singletons.shape[1]):
            plain = max(plain, singletons[n, h])
            tempered = max(tempered, weighing.beta * singletons[n, h] + shift * log_odds[h])
        plain -= weighing.threshold + 2.0 * rows.rounding[n]
        tempered -= weighing.reach + 2.0 * rows.rounding[n]
        best_plain, best_tempered = _log_joints(weighing, _squared_size(n, values), 0.0)
        for h in range(singletons.shape[1]):
            masses[n, h] = np.inf
            if singletons[n, h] < plain and weighing.beta * singletons[n, h] + shift * log_odds[h] < tempered:
                continue
            masses[n, h] = _distance(n, values, observed, h, elements.scaled)
            joint, tempered_joint = _log_joints(weighing, masses[n, h], log_odds[h])
            best_plain, best_tempered = max(best_plain, joint), max(best_tempered, tempered_joint)
        best[r, 0], best[r, 1] = best_plain, best_tempered


@inner_kernel(error_model="numpy")
def _list_nodes(
    depth: int, first: int, n_rows: int, weighing: Any, candidates: Any, log_odds: Any, lattice: Any, traversal: Any
) -> int:
    """List the nodes of `depth` active candidates that nothing they hold rules out; how many there are."""
    n_listed, excess, distances, log_prior = 0, traversal.excess, traversal.distances, traversal.log_prior
    slots, subsets, rows, nodes = lattice.slots, lattice.subsets, traversal.rows, traversal.nodes
    levels, children = lattice.levels, lattice.children
    for r in range(n_rows):
        n, more = first + r, 0.0
        for i in range(candidates.shape[1]):
            more += max(log_odds[candidates[n, i]], 0.0)
        plain, tempered = traversal.best[r, 0] - weighing.threshold, traversal.best[r, 1] - weighing.reach
        for node in range(levels[depth - 1], levels[depth]):
            distances[r, node], excess[r, node] = np.inf, np.inf
        for parent in range(levels[depth - 2] if depth > 1 else -1, levels[depth - 1]):
            begin, end, bound_of_parent, prior_of_parent = 0, levels[1], 0.0, 0.0
            if parent >= 0:
                bound_of_parent, prior_of_parent = excess[r, parent], log_prior[r, parent]
                if bound_of_parent == np.inf:
                    continue
                begin, end = children[parent], children[parent + 1]
            for node in range(begin, end):
                bound, prior = bound_of_parent, prior_of_parent + log_odds[candidates[n, slots[node]]]
                for j in range(1, depth):
                    left = excess[r, subsets[node, j]]
                    bound = left if left > bound else bound
                joint, tempered_joint = _log_joints(weighing, bound, prior + more)
                if joint >= plain or tempered_joint >= tempered:
                    log_prior[r, node], excess[r, node] = prior, bound
                    rows[n_listed], nodes[n_listed] = n, node
                    n_listed += 1
    return n_listed


@inner_kernel(error_model="numpy")
def _measure(
    first: int, start: int, stop: int, is_last: bool, weighing: Any, rows: Any, elements: Any, traversal: Any
) -> None:
    """Find the distances of some of the listed nodes, and what is left of them with any more latents."""
    values, observed, means, least = rows.values, rows.observed, elements.means, elements.least
    distances, excess, best = traversal.distances, traversal.excess, traversal.best
    for i in range(start, stop):
        n, node, place = traversal.rows[i], traversal.nodes[i], traversal.places[i]
        r = n - first
        if is_last:
            distance = _distance(n, values, observed, place, means)
        else:
            distance, left = _distances(n, values, observed, place, means, least)
            excess[r, node] = max(excess[r, node], left)
        distances[r, node] = distance
        joint, tempered = _log_joints(weighing, distance, traversal.log_prior[r, node])
        best[r, 0] = max(best[r, 0], joint)
        best[r, 1] = max(best[r, 1], tempered)


@inner_kernel(error_model="numpy")
def _weigh(
    first: int, n_rows: int, weighing: Any, rows: Any, log_odds: Any, lattice: Any, traversal: Any, found: Any
) -> None:
    """Turn the distances of what some rows met into their posteriors; NaN in rows without a finite log joint."""
    singletons, combined = found.masses, traversal.distances
    last = found.starts[first]
    for r in range(n_rows):
        n, begin = first + r, last
        sums = (0.0, 0.0, 0.0, 0.0)  # of weights at temperature 1; tempered, times log joints, times distances
        distance = _squared_size(n, rows.values)
        _, sums = _add(weighing, traversal.best[r, 0], traversal.best[r, 1], distance, 0.0, sums)
        for h in range(singletons.shape[1]):
            distance, singletons[n, h] = singletons[n, h], 0.0
            if distance < np.inf:
                singletons[n, h], sums = _add(
                    weighing, traversal.best[r, 0], traversal.best[r, 1], distance, log_odds[h], sums
                )  # fmt: skip
        plain, tempered = traversal.best[r, 0] - weighing.threshold, traversal.best[r, 1] - weighing.reach
        for node in range(lattice.levels[1], combined.shape[1]):
            distance = combined[r, node]
            joint, tempered_joint = _log_joints(weighing, distance, traversal.log_prior[r, node])
            if joint >= plain or tempered_joint >= tempered:
                weight, sums = _add(
                    weighing, traversal.best[r, 0], traversal.best[r, 1], distance, traversal.log_prior[r, node], sums
                )  # fmt: skip
                if weight > 0.0:
                    found.nodes[last], found.weights[last] = node, weight
                    last += 1
        scale = 1.0 / sums[1] if sums[1] > 0.0 else np.nan
        found.free_energy[n] += traversal.best[r, 0] + np.log(sums[0]) if sums[1] > 0.0 else np.nan
        for h in range(singletons.shape[1]):
            singletons[n, h] *= scale
        for i in range(begin, last):
            found.weights[i] *= scale
        found.entropy[n] = np.log(sums[1]) - sums[2] * scale
        found.residual[n] = sums[3] * scale
        found.starts[n + 1] = last


@kernel(error_model="numpy")
def _weigh_rows(elements: Any, weighing: Any, rows: Any, lattice: Any, traversal: Any, found: Any) -> None:
    table, log_odds, candidates, max_active = (
        elements.table,
        elements.log_odds,
        rows.candidates,
        lattice.subsets.shape[1],
    )
    for first in range(0, rows.values.shape[0], traversal.best.shape[0]):
        n_rows = min(traversal.best.shape[0], rows.values.shape[0] - first)
        _visit_singletons(first, n_rows, weighing, rows, elements, traversal, found.masses)
        for depth in range(1, max_active + 1 if max_active > 1 else 1):
            n_listed = _list_nodes(depth, first, n_rows, weighing, candidates, log_odds, lattice, traversal)
            nodes, done = traversal.nodes[:n_listed], 0
            while done < n_listed:
                n_known = table.n_states[0]
                placed = place_states(table, done, candidates, traversal.rows, lattice, nodes, traversal.places)
                superpose_states(elements, table.codes, max_active - depth, n_known, table.n_states[0])
                _measure(first, done, placed, depth == max_active, weighing, rows, elements, traversal)
                if placed < n_listed:
                    clear(table)
                done = placed
        _weigh(first, n_rows, weighing, rows, log_odds, lattice, traversal, found)
