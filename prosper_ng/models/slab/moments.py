"""What kernels of spike-and-slab models take and give, as arrays of one memory layout."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models._gaussian import Piece, whiten
from prosper_ng.models.interface import Codes, Floats
from prosper_ng.models.slab.kernels import add_moments
from prosper_ng.numerics.linear import scale_packed, symmetric
from prosper_ng.numerics.named_arrays import packed_size


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    W: Floats
    """(D, H)."""
    factor: Floats
    """(D,) standard deviations of the noise, or the (D, D) Cholesky factor of its covariance."""
    Sigma: Floats
    """(D, D) this covariance; (0, 0) where noise is independent."""
    root: Floats
    """(H,) the unit of each slab: its standard deviation where slabs are independent, else 1."""
    mu: Floats
    """(H,) slab means in these units."""
    Psi: Floats
    """(H, H) slab covariance; (0, 0) where slabs are independent, each of unit variance in its unit."""
    elements: Floats
    """(H, D) columns of W in units of the slabs and of the noise."""
    gram: Floats
    """(H, H) inner products of the dictionary elements."""
    log_odds: Floats
    """(H, 1) log pi_h - log(1 - pi_h)."""
    log_prior_zero: float
    """log p(s = 0)."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    b: Floats
    """(n, H) inner products of dictionary elements and rows."""
    zero: Floats
    """(n,) log joint of the zero state."""
    observed: Floats
    """(n, D) 1 for observed entries and 0 for missing ones; (0, D) where nothing is missing."""
    values: Floats
    """(n, D) the rows, where entries are missing that the noise correlates with others; else (0, D)."""


class SlabMoments(NamedTuple):
    """Sums over the states of some rows; z is short for s z."""

    means: Floats
    """(n, H) <z> in the units of the slabs."""
    counts: Floats
    """(H,) sum <s>."""
    second: Floats
    """sum <z zᵀ>, packed lower triangle."""
    log_determinant: float
    """sum <log |B|>, twice the information that the rows hold about the slabs."""
    shift: Floats
    """(H,) sum of t, where slabs have a covariance."""
    spread: Floats
    """(H, H) sum of T, where slabs have a covariance."""
    y_y: Floats
    """(D,) what missing entries add to sum <y_d²>, where noise is independent."""
    y_sz: Floats
    """(D, H) what missing entries add to sum <y zᵀ>, where noise is independent."""


def fields(prepared: Prepared, piece: Piece) -> Floats:
    """(H, K) dictionary elements in units of the noise of the known entries."""
    if piece.is_whole:
        return prepared.elements
    return whiten(piece.factor, prepared.W[piece.known].T * prepared.root[:, None])


def slab_arguments(prepared: Prepared, projected: Projected, piece: Piece) -> tuple[Floats, ...]:
    """b, mu, Gram matrix, Psi, dictionary elements and observed entries, as the kernels take them."""
    gram, elements, observed = prepared.gram, prepared.elements, np.empty((0, len(prepared.W)))
    if not piece.is_whole:
        elements = fields(prepared, piece)
        gram = elements @ elements.T
    elif prepared.factor.ndim == 1 and len(projected.observed):
        gram, observed = np.empty_like(gram), projected.observed[piece.rows]
    return projected.b[piece.rows], prepared.mu, gram, prepared.Psi, elements, observed


def plain(array: NDArray) -> NDArray:
    """The array in the one memory layout that kernels are compiled for."""
    return np.require(array, requirements=["C", "W"])


def moments_of(prepared: Prepared, projected: Projected, piece: Piece, codes: Codes, weights: Floats) -> SlabMoments:
    """The posterior moments of some rows."""
    arguments, root = slab_arguments(prepared, projected, piece), prepared.root
    D, H = prepared.W.shape
    D_missing, H_joint = len(arguments[-1]) and D, len(prepared.Psi)
    means, counts, second = np.zeros((len(codes), H)), np.zeros(H), np.zeros(packed_size(H))
    shift, spread = np.zeros(H_joint), np.zeros((H_joint, H_joint))
    y_y, y_sz = np.zeros(D_missing), np.zeros((D_missing, H))
    log_determinant = add_moments(
        *arguments, plain(codes), plain(weights), means, counts, second, shift, spread, y_y, y_sz
    )
    if D_missing:
        y_y *= prepared.factor**2
        y_sz *= np.outer(prepared.factor, root)
    scale_packed(second, root)
    return SlabMoments(means, counts, second, log_determinant, shift, symmetric(spread), y_y, y_sz)
