"""The posterior over preselected states of a model with maximum superposition, as a list of the states that count."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.lattice import lattice_of
from prosper_ng.latents.posterior import Mask, Tempering
from prosper_ng.latents.space import unpack_binary
from prosper_ng.latents.state_table import clear, place_states, state_table
from prosper_ng.models.interface import Batch, Floats
from prosper_ng.models.maximum.kernels import Projected
from prosper_ng.models.maximum.superpositions import Workspace
from prosper_ng.models.maximum.tree import NEGLIGIBLE, Weighed, Weighing, weigh_states
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.superposition import (
    power_mean,
    power_shares,
    room_for_superposition,
    sum_of_shares,
    superpose,
    winners,
)

LEAST_WEIGHT = 1e-25
"""States of a row that all together weigh less than this show in no statistic."""

PRECISION = 1e-9
"""The largest share of an entry of the statistics that may be left out."""

# How many numbers are collected for distinct states before they are shared out.
_COLLECTED_NUMBERS = 1 << 19


class States(NamedTuple):
    """A list of states, as nodes of the lattice of candidates of a row."""

    rows: NDArray[np.int64]
    """(m,)."""
    nodes: NDArray[np.int32]
    """(m,)."""


class Collected(NamedTuple):
    """What distinct states come to over all rows, by the place of the state in a table."""

    totals: Floats
    """(C,) weights."""
    seen: Floats
    """(C, D) weights of the rows in which each entry was observed; (C, 0) where all were."""
    moments: Floats
    """(C, D) weighted rows."""


class Shares(NamedTuple):
    """Sums to add to."""

    counts: Floats
    """(H,)."""
    A: Floats
    """(H, D) sum <A>ᵀ, soft sum <A S>ᵀ."""
    A_y: Floats
    """(H, D) sum <A>ᵀ y, soft sum <A (y - Wbar + S W)>ᵀ."""


class MaximumPosterior:
    """q_n of preselected states: the probability of each singleton, and of each larger state that counts.

    What weighs too little for the free energy can still be all that an entry of W is learned from. Such states are
    listed at once where some latent is not expected to be alone in any of the rows, as the winner of all its entries;
    else where the statistics turn out to need them.
    """

    n_accepted = 0

    def __init__(
        self, projected: Projected, batch: Batch, chosen: Preselected, tempering: Tempering, workspace: Workspace
    ) -> None:
        """Find the states that count, and their weights, at the parameters of the workspace."""
        self._workspace, prepared = workspace, workspace.prepared
        self.prepared, self.projected, self.batch, self.chosen = prepared, projected, batch, chosen
        beta = 1.0 / tempering.temperature
        n_rows = len(batch.values)
        n_states = 1 + len(prepared.elements) + len(chosen.tree.depths) - chosen.candidates.shape[1]
        kappa = beta if tempering.anneal_prior else 1.0
        self._all_weights = float(np.log(n_states) - np.log(LEAST_WEIGHT))
        threshold = float(NEGLIGIBLE + np.log(n_states))
        is_sparse = bool((n_rows * np.exp(prepared.log_prior_zero + prepared.log_odds) < 1.0).any())
        reach = self._all_weights if is_sparse else threshold
        self._weighing = Weighing(prepared.sigma**-2, beta, kappa, threshold, reach)
        self.weighed: Weighed = weigh_states(workspace, projected, chosen, self._weighing)
        self.free_energy, self.entropy = self.weighed.free_energy, self.weighed.entropy
        self.n_evaluated = n_rows * n_states

    @property
    def n_bytes(self) -> int:
        """Of states and weights."""
        return sum(array.nbytes for array in self.weighed)

    def accumulate(self, kept: Mask | None, sums: NamedArrays) -> None:
        """Add what the active and the winning latents of the rows that are kept come to."""
        values, observed, complete = self.projected.values, self.projected.observed, self.batch.observed is None
        if kept is not None:
            values, observed = np.where(kept[:, None], values, 0.0), observed * kept[:, None]
        shares = self._shares(kept, values, observed)
        if self._weighing.reach < self._all_weights and self._lacks_weights(shares, observed):
            self._weighing = self._weighing._replace(reach=self._all_weights)
            self.weighed = weigh_states(self._workspace, self.projected, self.chosen, self._weighing)
            shares = self._shares(kept, values, observed)
        sums["n"] += len(values) if kept is None else np.count_nonzero(kept)
        sums["n_values"] += observed.sum() if kept is not None or not complete else values.size
        sums["y_y"] += np.vdot(values, values)
        sums["counts"] += shares.counts
        sums["A"] += shares.A.T
        sums["A_y"] += shares.A_y.T
        if "residual" in sums:
            sums["residual"] += self.weighed.residual.sum(where=True if kept is None else kept)

    def _shares(self, kept: Mask | None, values: Floats, observed: Floats) -> Shares:
        """What the latents of all listed states come to, of rows that are 0 where they are not kept."""
        prepared, tree = self.prepared, lattice_of(self.chosen)
        elements, masses, (states, weights) = prepared.elements, self.weighed.masses, self._states(kept)
        if kept is not None:
            masses = np.where(kept[:, None], masses, 0.0)
        capacity = max(min(_COLLECTED_NUMBERS // elements.shape[1], len(weights)), 16)
        moments, complete = np.empty((capacity, elements.shape[1])), self.batch.observed is None
        seen = np.empty((capacity, 0)) if complete else np.empty_like(moments)
        collected = Collected(np.empty(capacity), seen, moments)
        shares = Shares(np.zeros(len(elements)), np.zeros_like(elements), np.zeros_like(elements))
        _share_singletons(masses, values, observed, complete, shares)
        _share_states(
            elements, prepared.powers, values, observed, self.chosen.candidates,
            tree, states, weights, state_table(len(elements), capacity), collected, shares,
        )  # fmt: skip
        return shares

    def _lacks_weights(self, shares: Shares, observed: Floats) -> bool:
        """Whether the weights that were left out could be more of some entry than is allowed."""
        left_out = np.exp(-NEGLIGIBLE) * observed.sum(axis=0)
        # Soft, what a state of k latents adds to an entry is up to k times its weight.
        most = 1.0 if self.prepared.powers.rho == np.inf else float(self.chosen.tree.depths.max())
        return bool((most * left_out > PRECISION * shares.A).any())

    def reconstruct(self) -> Floats:
        """(n, D) posterior predictive mean <Wbar(s)>."""
        prepared = self.prepared
        states, weights = self._states(None)
        result = self.weighed.masses @ prepared.elements
        _add_means(
            prepared.elements, prepared.powers, self.chosen.candidates, lattice_of(self.chosen),
            states, weights, result,
        )  # fmt: skip
        return result

    def _states(self, kept: Mask | None) -> tuple[States, Floats]:
        """The states of two or more latents of the rows that are kept, and their weights."""
        weighed = self.weighed
        states = States(np.repeat(np.arange(len(self.batch.values)), np.diff(weighed.starts)), weighed.nodes)
        if kept is None:
            return states, weighed.weights
        chosen = kept[states.rows]
        return States(states.rows[chosen], states.nodes[chosen]), weighed.weights[chosen]


@kernel(fastmath={"contract"})
def _share_singletons(masses: Any, values: Any, observed: Any, complete: bool, shares: Any) -> None:
    """Add what the singletons of all rows come to, with masses (n, H)."""
    counts, A, A_y = shares.counts, shares.A, shares.A_y
    n_dimensions, total = values.shape[1], np.zeros(masses.shape[1])
    for n in range(masses.shape[0]):
        for h in range(masses.shape[1]):
            mass = masses[n, h]
            if mass != 0.0:
                total[h] += mass
                for d in range(n_dimensions):
                    A_y[h, d] += mass * values[n, d]
                if not complete:
                    for d in range(n_dimensions):
                        A[h, d] += mass * observed[n, d]
    for h in range(masses.shape[1]):
        counts[h] += total[h]
        if complete:
            A[h] += total[h]


@kernel(fastmath={"contract"})
def _collect(
    start: int,
    stop: int,
    n_known: int,
    values: Any,
    observed: Any,
    states: Any,
    weights: Any,
    places: Any,
    collected: Any,
) -> None:
    """Add the weights and the moments of some of the states to those of their places; those from n_known on are new."""
    totals, seen, moments, rows = collected.totals, collected.seen, collected.moments, states.rows
    n_dimensions, n_places = values.shape[1], n_known
    for i in range(start, stop):
        n, place, weight = rows[i], places[i], weights[i]
        if place == n_places:
            totals[place], seen[place], moments[place] = 0.0, 0.0, 0.0
            n_places += 1
        totals[place] += weight
        for d in range(n_dimensions):
            moments[place, d] += weight * values[n, d]
        for d in range(seen.shape[1]):
            seen[place, d] += weight * observed[n, d]


@kernel
def _share_out_to_winners(elements: Any, table: Any, collected: Any, shares: Any) -> None:
    """Give what was collected for each state of the table to the winner of each entry."""
    n_dimensions = elements.shape[1]
    latents, scratch = room_for_superposition(elements)
    totals, seen, moments, A, A_y = collected.totals, collected.seen, collected.moments, shares.A, shares.A_y
    for place in range(table.n_states[0]):
        k = unpack_binary(table.codes, place, latents)
        row = winners(elements, latents, k, scratch)
        for i in range(k):
            h = latents[i]
            shares.counts[h] += totals[place]
            for d in range(n_dimensions):
                share = 1.0 if scratch[row, d] == i else 0.0
                A[h, d] += share * (totals[place] if seen.shape[1] == 0 else seen[place, d])
                A_y[h, d] += share * moments[place, d]


@kernel(error_model="numpy", fastmath={"contract"})
def _share_out_softly(elements: Any, powers: Any, table: Any, collected: Any, shares: Any) -> None:
    """Share out what was collected for each state of the table, of two or more latents, among these."""
    n_dimensions = elements.shape[1]
    latents, scratch = room_for_superposition(elements)
    share, mass = np.empty(powers.powers.shape), np.empty(n_dimensions)
    totals, seen, moments, A, A_y = collected.totals, collected.seen, collected.moments, shares.A, shares.A_y
    bound, left = scratch[0], scratch[3]
    for place in range(table.n_states[0]):
        k = unpack_binary(table.codes, place, latents)
        power_mean(elements, powers, latents, k, scratch)
        power_shares(powers, latents, k, scratch, share)
        mass[:] = totals[place]
        for d in range(seen.shape[1]):
            mass[d] = seen[place, d]
        for d in range(n_dimensions):
            left[d] = moments[place, d] - mass[d] * scratch[1, d]
        sum_of_shares(k, share, bound)
        for d in range(n_dimensions):
            bound[d] = bound[d] * mass[d]
        for i in range(k):
            h = latents[i]
            shares.counts[h] += totals[place]
            for d in range(n_dimensions):
                A[h, d] += share[i, d] * bound[d]
                A_y[h, d] += share[i, d] * (left[d] + bound[d] * elements[h, d])


@kernel
def _share_out(elements: Any, powers: Any, table: Any, collected: Any, shares: Any) -> None:
    if powers.rho == np.inf:
        _share_out_to_winners(elements, table, collected, shares)
    else:
        _share_out_softly(elements, powers, table, collected, shares)


@kernel
def _share_states(
    elements: Any, powers: Any, values: Any, observed: Any, candidates: Any,
    tree: Any, states: Any, weights: Any, table: Any, collected: Any, shares: Any,
) -> None:  # fmt: skip
    """Add what larger states come to: collected for each distinct state, which is then shared out once."""
    places, done = np.empty(weights.shape[0], np.int64), 0
    while done < weights.shape[0]:
        n_known = table.n_states[0]
        placed = place_states(table, done, candidates, states.rows, tree, states.nodes, places)
        _collect(done, placed, n_known, values, observed, states, weights, places, collected)
        if placed < weights.shape[0]:
            _share_out(elements, powers, table, collected, shares)
            clear(table)
        done = placed
    _share_out(elements, powers, table, collected, shares)


@kernel
def _add_means(
    elements: Any,
    powers: Any,
    candidates: Any,
    tree: Any,
    states: Any,
    weights: Any,
    result: Any,
) -> None:
    """Add the mean of Wbar over the states of two or more active latents to `result` (n, D)."""
    latents, scratch = room_for_superposition(elements)
    for i in range(weights.shape[0]):
        n, node, k = states.rows[i], np.int64(states.nodes[i]), 0
        while node >= 0:
            latents[k] = candidates[n, tree.slots[node]]
            node = tree.parents[node]
            k += 1
        row = superpose(elements, powers, latents, k, scratch)
        for d in range(result.shape[1]):
            result[n, d] += weights[i] * scratch[row, d]
