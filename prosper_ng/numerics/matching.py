"""Which of the true dictionary elements were learned, and how well all of them are told apart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.scipy_parts import optimize

Floats = NDArray[np.float64]


class Recovery(NamedTuple):
    """A one-to-one matching of true and learned dictionary elements."""

    found: int
    """How many true dictionary elements have a partner at or above the threshold."""
    assignment: NDArray[np.int64]
    """(H_true,) the column of W_learned that is the partner of each true dictionary element; -1 for none."""
    correlations: Floats
    """(H_true,) cosine of the angle between each true dictionary element and its partner; 0 for none."""


def cosines(a: Floats, b: Floats) -> Floats:
    """(H_a, H_b) cosines of the angles between the columns of (D, H_a) and (D, H_b); 0 for a column of zeros.

    Means are not subtracted: a element is its direction from the origin, which is what superposition knows of it.
    """
    return _unit_columns(a).T @ _unit_columns(b)


def recovered(W_true: Floats, W_learned: Floats, threshold: float = 0.9, ignore_sign: bool = False) -> Recovery:
    """How many of the true dictionary elements (columns) were learned, and by which learned dictionary element.

    Every learned element stands for at most one true element: of all one-to-one matchings, that with the largest sum of
    cosines (`linear_sum_assignment`). A true dictionary element is found where its cosine is at least `threshold`. With
    `ignore_sign` the magnitude of the cosine counts, for models in which (W_h, s_h) and (-W_h, -s_h) are the same;
    `correlations` keeps the sign. The numbers of elements may differ, the numbers of rows may not. Raises ValueError
    where they do, or where an entry is not finite.
    """
    if W_true.ndim != 2 or W_learned.ndim != 2 or len(W_true) != len(W_learned):
        raise ValueError(f"expected two (D, H) arrays with the same D, got shapes {W_true.shape} and {W_learned.shape}")
    if not (np.isfinite(W_true).all() and np.isfinite(W_learned).all()):
        raise ValueError("a dictionary element holds a value that is not finite")
    similarity = cosines(W_true, W_learned)
    scores = np.abs(similarity) if ignore_sign else similarity
    elements, partners = _best_pairs(scores)
    assignment = np.full(W_true.shape[1], -1, dtype=np.int64)
    assignment[elements] = partners
    correlations = np.zeros(W_true.shape[1])
    correlations[elements] = similarity[elements, partners]
    found = int(np.count_nonzero(scores[elements, partners] >= threshold))
    return Recovery(found, assignment, correlations)


def _best_pairs(scores: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and columns of the one-to-one matching with the largest sum of scores (H_true, H_learned)."""
    elements, partners = optimize("linear_sum_assignment")(scores, maximize=True)
    return elements, partners


def amari_index(W_true: Floats, W_learned: Floats) -> float | None:
    """How far W_learned is from W_true but for the order and the scales of its columns: 0 for not at all, 1 at most.

    With P = pinv(W_learned) W_true, which undoes the learned mixing of the true elements (H, H),

        1 / (2 H (H - 1)) [sum_i (sum_j |P_ij| / max_k |P_ik| - 1) + sum_j (sum_i |P_ij| / max_k |P_kj| - 1)]

    (Amari, Cichocki and Yang, NIPS 1996, divided by its largest value). None where it says nothing: the numbers of
    elements differ, there are fewer than two, or the true mixing cannot be undone, as where there are more elements
    than rows, or in the bars test, whose rows of bars add up to what its columns add up to. Raises ValueError where the
    numbers of rows differ.
    """
    if len(W_true) != len(W_learned):
        raise ValueError(f"expected as many rows, got the shapes {W_true.shape} and {W_learned.shape}")
    n_elements = W_true.shape[1]
    if W_learned.shape != W_true.shape or n_elements < 2:
        return None
    if np.linalg.matrix_rank(_unit_columns(W_true)) < n_elements:
        return None
    mixed = np.abs(np.linalg.pinv(_unit_columns(W_learned)) @ _unit_columns(W_true))
    mixed = np.where(mixed > 1e-12 * mixed.max(), mixed, 0.0)  # the others are rounding
    excess = 0.0
    for shares in (mixed, mixed.T):
        largest = shares.max(axis=1, keepdims=True)
        # What holds nothing of any element is mixed up as much as can be.
        excess += np.where(largest > 0, shares / np.where(largest > 0, largest, 1.0), 1.0).sum() - n_elements
    return float(excess / (2 * n_elements * (n_elements - 1)))


def _unit_columns(elements: Floats) -> Floats:
    """The columns at length 1; scaled by the largest entry first, so that no square overflows or vanishes."""
    largest = np.abs(elements).max(axis=0, initial=0.0)
    scaled = elements / np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(scaled, axis=0)
    return np.asarray(scaled / np.where(lengths > 0, lengths, 1.0))
