"""Preselected states of the models with linear superposition: their posterior, and what learning needs of it.

The states of a row are nodes of a tree over its candidates. The log joint of a node is that of its parent, plus what
the added candidate would give alone, minus its overlap with the parent's active ones, which is carried along in turn:
one multiplication for each candidate that may still follow. Going back from the leaves, a node hands its weight to its
parent, so that a pair of candidates is met once, at the node that adds the second of them. Neither the states nor their
weights are ever listed, and LANES rows are worked on side by side, which makes every step a few vector instructions.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.candidates import Preselected
from prosper_ng.models.interface import Floats
from prosper_ng.numerics.elementary import fast_exp
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    larger,
    load,
    load_row,
    minus_product,
    plus,
    plus_product,
    store,
    store_row,
    times,
)

CHUNK = 16

# Weights below exp(-40) = 4e-18 of the largest are 0: a million of them are 4e-12 of the whole.
NEGLIGIBLE = -40.0


class Marginals(NamedTuple):
    """What the posteriors of some rows come to."""

    free_energy: Floats
    """(n,) log of the sum over the states of exp(log joint)."""
    entropy: Floats
    """(n,)."""
    masses: Floats
    """(n, H, K - 1) probability that a latent has a value."""
    pairs: Floats
    """(n, H' (H' - 1) / 2) <s_i s_j> of the candidates i < j, row by row of the upper triangle."""


class Quadratic(NamedTuple):
    """Log joints as a quadratic function of the states."""

    zero: Floats
    """(n,) of the zero state."""
    singletons: Floats
    """(n, H, K - 1) what a single active latent adds."""
    gram: Floats
    """(H, H) what two active latents take away, times both values; for rows that miss nothing."""
    elements: Floats
    """(H, D) from which a row with missing entries gets a Gram matrix of its own."""
    precision: float
    missing: NDArray[np.bool_]
    """(n, D) which entries are missing; (0, D) where none is."""


def marginals(quadratic: Quadratic, alphabet: Floats, chosen: Preselected, only_free_energy: bool = False) -> Marginals:
    """Posterior marginals over preselected states, or of these the free energy and the entropy alone; NaN in rows
    without a finite log joint.
    """
    n, n_candidates = chosen.candidates.shape
    n_marginal = 0 if only_free_energy else n
    found = Marginals(
        np.empty(n), np.empty(n), np.empty((n_marginal, *quadratic.singletons.shape[1:])),
        np.empty((n_marginal, n_candidates * (n_candidates - 1) // 2)),
    )  # fmt: skip
    _marginalize(LANES, *quadratic, alphabet, chosen.candidates, chosen.tree, found)
    if not np.isfinite(quadratic.singletons.sum()):
        lost = ~np.isfinite(quadratic.singletons).all(axis=(1, 2))
        for values in found:
            if len(values):
                values[lost] = np.nan
    return found


@inner_kernel
def _gather(first: int, singletons: Any, gram: Any, candidates: Any, singles: Any, overlaps: Any) -> None:
    """What concerns the candidates of some rows, one a lane; after the last row comes the last row again."""
    n_rows, n_candidates = candidates.shape
    for lane in range(overlaps.shape[2]):
        n = min(first + lane, n_rows - 1)
        own = singletons[n]
        for i in range(n_candidates):
            h = candidates[n, i]
            for v in range(singles.shape[1]):
                singles[i, v, lane] = own[h, v]
            for j in range(i + 1, n_candidates):
                overlaps[i, j, lane] = gram[h, candidates[n, j]]


@kernel
def _gather_observed(
    first: int, elements: Any, precision: float, missing: Any, candidates: Any, product: Any, overlaps: Any
) -> None:
    """Overlaps of the candidates over the entries that each row does not miss; `product` (D,) is scratch."""
    n_rows, n_candidates = candidates.shape
    for lane in range(overlaps.shape[2]):
        n = min(first + lane, n_rows - 1)
        for i in range(n_candidates):
            for d in range(product.shape[0]):
                product[d] = 0.0 if missing[n, d] else precision * elements[candidates[n, i], d]
            for j in range(i + 1, n_candidates):
                overlaps[i, j, lane] = np.dot(product, elements[candidates[n, j]])


@inner_kernel(error_model="numpy")
def _descend(tree: Any, alphabet: Any, singles: Any, overlaps: Any, interaction: Any, joints: Any, best: Any) -> None:
    """Log joints of all nodes relative to the zero state; `best` (1, LANES) becomes the largest in each lane."""
    n_candidates, deepest, largest = singles.shape[0], interaction.shape[0], load_row(best, 0)
    for node in range(tree.parents.shape[0]):
        parent, slot, depth, value = tree.parents[node], tree.slots[node], tree.depths[node], tree.indices[node] - 1
        phi = all_lanes(alphabet[value + 1])
        if depth == 1:
            store_row(joints, node, load(singles, slot, value))
        else:
            own = minus_product(load(singles, slot, value), phi, load(interaction, depth - 2, slot))
            joint = plus(load_row(joints, parent), own)
            store_row(joints, node, joint)
            largest = larger(largest, joint)
        # What the active candidates of this node take away from each one that may follow.
        if depth == 1 and deepest > 0:
            for other in range(slot + 1, n_candidates):
                store(interaction, 0, other, times(phi, load(overlaps, slot, other)))
        elif depth <= deepest:
            for other in range(slot + 1, n_candidates):
                before = load(interaction, depth - 2, other)
                store(interaction, depth - 1, other, plus_product(before, phi, load(overlaps, slot, other)))
    store_row(best, 0, largest)


@inner_kernel(error_model="numpy")
def _weigh(tree: Any, best: Any, joints: Any, alive: Any, mass: Any, moment: Any) -> None:
    """Turn log joints into weights; adds to the sums of weights and of weights times log joints.

    Single candidates weigh nothing here, as all singletons are counted elsewhere; nor do nodes that are negligible in
    all lanes, whose memory is left as it is.
    """
    n_lanes = joints.shape[1]
    for node in range(tree.parents.shape[0]):
        n_alive = 0
        for lane in range(n_lanes):
            n_alive += 1 if joints[node, lane] >= best[lane] + NEGLIGIBLE else 0
        alive[node] = n_alive > 0 and tree.depths[node] > 1
        if alive[node]:
            for lane in range(n_lanes):
                joint = joints[node, lane] - best[lane]
                weight = fast_exp(joint)
                joints[node, lane] = weight
                mass[lane] += weight
                moment[lane] += weight * joint


@inner_kernel(error_model="numpy")
def _ascend(tree: Any, alphabet: Any, weights: Any, alive: Any, active: Any, both: Any) -> None:
    """Hand weights from the leaves to the root: masses of candidate and value, <s_i s_j> of pairs, per lane."""
    active[...] = 0.0
    both[...] = 0.0
    for node in range(tree.parents.shape[0] - 1, -1, -1):
        if not alive[node]:
            continue
        slot, value, above, weight = (
            tree.slots[node],
            tree.indices[node] - 1,
            tree.parents[node],
            load_row(weights, node),
        )
        phi = alphabet[value + 1]
        store(active, slot, value, plus(load(active, slot, value), weight))
        if above >= 0:
            store_row(weights, above, plus(weight, load_row(weights, above)) if alive[above] else weight)
            alive[above] = True
        while above >= 0:
            other, product = tree.slots[above], all_lanes(phi * alphabet[tree.indices[above]])
            store(both, other, slot, plus_product(load(both, other, slot), product, weight))
            above = tree.parents[above]


@inner_kernel(error_model="numpy")
def _best_alone(singles: Any, best: float, tops: Any) -> float:
    """The largest of the numbers (m,) and of `best`; `tops` gets the largest of every CHUNK numbers."""
    for chunk in range(tops.shape[0]):
        a, b, c, d = best, best, best, best
        start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, singles.shape[0])
        whole = start + (stop - start) // 4 * 4
        for i in range(start, whole, 4):
            a = max(a, singles[i])
            b = max(b, singles[i + 1])
            c = max(c, singles[i + 2])
            d = max(d, singles[i + 3])
        for i in range(whole, stop):
            a = max(a, singles[i])
        tops[chunk] = max(max(a, b), max(c, d))
    for chunk in range(tops.shape[0]):
        best = max(best, tops[chunk])
    return best


@inner_kernel(error_model="numpy")
def _weigh_alone(singles: Any, best: float, tops: Any, scratch: Any, weights: Any) -> Any:
    """Weights (m,) of singletons, 0 where a whole chunk is negligible; their sum, and that of weights times joints."""
    mass, moment = 0.0, 0.0
    for chunk in range(tops.shape[0]):
        start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, singles.shape[0])
        if not tops[chunk] >= best + NEGLIGIBLE:
            weights[start:stop] = 0.0
            continue
        scratch[...] = 2 * NEGLIGIBLE
        for i in range(stop - start):
            scratch[i] = singles[start + i] - best
        for i in range(scratch.shape[0]):
            scratch[i] = fast_exp(scratch[i])
        for i in range(stop - start):
            weight = scratch[i]
            weights[start + i] = weight
            mass += weight
            moment += weight * (singles[start + i] - best)
    return mass, moment


@inner_kernel(error_model="numpy")
def _scatter(n: int, lane: int, scale: float, candidates: Any, active: Any, both: Any, masses: Any, pairs: Any) -> None:
    """Normalize the marginals of a row, singletons and candidates together."""
    flat = masses[n].reshape(-1)
    for i in range(flat.shape[0]):
        flat[i] *= scale
    place = 0
    for i in range(candidates.shape[1]):
        for v in range(active.shape[1]):
            masses[n, candidates[n, i], v] += scale * active[i, v, lane]
        for j in range(i + 1, candidates.shape[1]):
            pairs[n, place] = scale * both[i, j, lane]
            place += 1


@kernel(error_model="numpy")
def _marginalize(
    n_lanes: int, zero: Any, singletons: Any, gram: Any, elements: Any, precision: float, missing: Any, alphabet: Any,
    candidates: Any, tree: Any, found: Any,
) -> None:  # fmt: skip
    n_rows, n_candidates = candidates.shape
    n_nodes, n_singles = tree.parents.shape[0], singletons.shape[1] * singletons.shape[2]
    singles = np.empty((n_candidates, singletons.shape[2], n_lanes))
    overlaps = np.empty((n_candidates, n_candidates, n_lanes))
    interaction = np.empty((np.max(tree.depths) - 1, n_candidates, n_lanes))
    joints, alive = np.empty((n_nodes, n_lanes)), np.empty(n_nodes, np.bool_)
    active, both = singles.copy(), overlaps.copy()
    largest, mass, moment = np.empty((1, n_lanes)), np.empty(n_lanes), np.empty(n_lanes)
    best = largest[0]
    wants_marginals, flat = found.masses.shape[0] > 0, singletons.reshape(n_rows, n_singles)
    weights = found.masses.reshape(n_rows, n_singles) if wants_marginals else np.empty((1, n_singles))
    tops, product, scratch = np.empty((n_lanes, -(-n_singles // CHUNK))), np.empty(elements.shape[1]), np.empty(CHUNK)
    for first in range(0, n_rows, n_lanes):
        _gather(first, singletons, gram, candidates, singles, overlaps)
        if missing.shape[0] > 0:
            _gather_observed(first, elements, precision, missing, candidates, product, overlaps)
        for lane in range(n_lanes):
            best[lane] = _best_alone(flat[min(first + lane, n_rows - 1)], 0.0, tops[lane])
        _descend(tree, alphabet, singles, overlaps, interaction, joints, largest)
        for lane in range(n_lanes):
            n = min(first + lane, n_rows - 1)
            own = weights[n if wants_marginals else 0]
            mass[lane], moment[lane] = _weigh_alone(flat[n], best[lane], tops[lane], scratch, own)
            weight = fast_exp(-best[lane])
            mass[lane] += weight
            moment[lane] -= weight * best[lane]
        _weigh(tree, best, joints, alive, mass, moment)
        if wants_marginals:
            _ascend(tree, alphabet, joints, alive, active, both)
        for lane in range(min(n_lanes, n_rows - first)):
            n, log_mass = first + lane, np.log(mass[lane])
            found.free_energy[n] = zero[n] + best[lane] + log_mass
            found.entropy[n] = log_mass - moment[lane] / mass[lane]
            if wants_marginals:
                _scatter(n, lane, 1.0 / mass[lane], candidates, active, both, found.masses, found.pairs)


@kernel(error_model="numpy")
def add_moments(alphabet: Any, candidates: Any, kept: Any, masses: Any, pairs: Any, counts: Any, second: Any) -> int:
    """Add the marginals of the rows that are kept (n,); how many these are.

    counts (H, K - 1) get the probabilities of each value; `second`, the packed lower triangle of sum <s sᵀ>, gets these
    times squares of the values, and <s_i s_j> of the candidates.
    """
    n_kept, total = 0, np.zeros(counts.shape)
    for n in range(candidates.shape[0]):
        if kept[n]:
            n_kept += 1
            _add_row(candidates[n], masses[n], pairs[n], total, second)
    for h in range(counts.shape[0]):
        for v in range(counts.shape[1]):
            counts[h, v] += total[h, v]
            second[h * (h + 3) // 2] += total[h, v] * alphabet[v + 1] ** 2
    return n_kept


@inner_kernel(error_model="numpy")
def _add_row(candidates: Any, masses: Any, pairs: Any, total: Any, second: Any) -> None:
    for h in range(total.shape[0]):
        for v in range(total.shape[1]):
            total[h, v] += masses[h, v]
    place = 0
    for i in range(candidates.shape[0]):
        for j in range(i + 1, candidates.shape[0]):
            a, b = max(candidates[i], candidates[j]), min(candidates[i], candidates[j])
            second[a * (a + 1) // 2 + b] += pairs[place]
            place += 1
