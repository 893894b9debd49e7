"""Least squares for many pictures at once, of functions in which two of the parameters are linear.

A family gives two pictures for the parameters p that are not linear; what fits best of their span is found in closed
form (variable projection, Golub and Pereyra 1973), and p by Levenberg and Marquardt's method with Kaufman's Jacobian,
within bounds. It begins at the best of a bank of starts, all of which are tried on all pictures.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOGETHER = 1 << 19
"""So many values of pictures are worked on at a time."""
_N_STEPS = 60
_N_STARTS = 3
_TINY = 1e-10


class Family(NamedTuple):
    """Functions p -> two pictures."""

    pair: Callable[[Floats], Floats]
    """p (n, 6) -> the pictures (n, D, 2)."""
    slopes: Callable[[Floats, Floats], Floats]
    """p (n, 6), coefficients (n, 2) -> the derivatives (n, D, 6) of the sum of the two."""
    bank: Floats
    """(groups, starts, 6) to begin at; of each group the best counts, of all groups the three best."""
    within: Callable[[Floats], Floats]
    """p (n, 6) -> the nearest ones that are legal."""


class Fits(NamedTuple):
    """The best fits to n pictures."""

    params: Floats
    """(n, 6)."""
    coefficients: Floats
    """(n, 2) of the two pictures."""
    left: Floats
    """(n,) sums of squares of what they leave."""


def best_fits(pictures: Floats, family: Family) -> Fits:
    """The best fits of a family to pictures (n, D)."""
    n_pictures, n_values = pictures.shape
    starts = _best_starts(pictures, family)
    together = max(1, _TOGETHER // (n_values * _N_STARTS))
    found = []
    for first in range(0, n_pictures, together):
        some, begin = pictures[first : first + together], starts[first : first + together]
        fits = _descend(np.repeat(some, _N_STARTS, axis=0), begin.reshape(-1, begin.shape[2]), family)
        best = fits.left.reshape(-1, _N_STARTS).argmin(axis=1) + _N_STARTS * np.arange(len(some))
        found.append(Fits(*(values[best] for values in fits)))
    return Fits(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _best_starts(pictures: Floats, family: Family) -> Floats:
    """(n, 3, 6) the best starts of the three best groups for each picture."""
    n_groups, n_starts, n_params = family.bank.shape
    explained = np.empty((n_groups, len(pictures)))
    best = np.empty((n_groups, len(pictures), n_params))
    for group, starts in enumerate(family.bank):
        B = _orthonormal(family.pair(starts))
        shares = ((pictures @ B.transpose(1, 0, 2).reshape(B.shape[1], -1)) ** 2).reshape(-1, n_starts, 2).sum(axis=2)
        explained[group], best[group] = shares.max(axis=1), starts[shares.argmax(axis=1)]
    order = np.argsort(-explained, axis=0, kind="stable")[:_N_STARTS]
    return np.asarray(np.take_along_axis(best, order[:, :, None], axis=0).transpose(1, 0, 2))


def _orthonormal(B: Floats) -> Floats:
    """Pairs of pictures (n, D, 2) that span the same, at right angles and of length 1; zero where there is none."""
    first = B[:, :, 0] / np.maximum(np.linalg.norm(B[:, :, 0], axis=1, keepdims=True), _TINY)
    second = B[:, :, 1] - (B[:, :, 1] * first).sum(axis=1, keepdims=True) * first
    length = np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, np.where(length > _TINY, second / np.maximum(length, _TINY), 0.0)], axis=2)


class _Point(NamedTuple):
    """Where a descent stands, for n pictures."""

    params: Floats
    coefficients: Floats
    residual: Floats
    """(n, D)."""
    slopes: Floats
    """(n, D, 6) of the fitted picture at its coefficients, at right angles to the pair."""
    left: Floats


def _at(pictures: Floats, params: Floats, family: Family) -> _Point:
    B = family.pair(params)
    gram = np.einsum("ndi,ndj->nij", B, B)
    gram += _TINY * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(2) + 1e-300 * np.eye(2)
    coefficients = np.linalg.solve(gram, np.einsum("ndi,nd->ni", B, pictures)[:, :, None])[:, :, 0]
    residual = pictures - np.einsum("ndi,ni->nd", B, coefficients)
    slopes = family.slopes(params, coefficients)
    slopes = slopes - B @ np.linalg.solve(gram, np.einsum("ndi,ndp->nip", B, slopes))
    return _Point(params, coefficients, residual, slopes, np.einsum("nd,nd->n", residual, residual))


def _descend(pictures: Floats, params: Floats, family: Family) -> Fits:
    """From these parameters (n, 6) downhill; a step that does not lower what is left is not taken."""
    now = _at(pictures, family.within(params), family)
    damping = np.full(len(pictures), 1e-2)
    active = np.arange(len(pictures))
    for _ in range(_N_STEPS):
        here = _Point(*(values[active] for values in now))
        new = _at(pictures[active], family.within(here.params + _step(here, damping[active], family)), family)
        is_lower = new.left < here.left
        for values, better in zip(now, new, strict=True):
            values[active[is_lower]] = better[is_lower]
        damping[active] *= np.where(is_lower, 0.3, 6.0)
        gained = here.left - new.left
        goes_on = np.where(is_lower, gained > 1e-7 * here.left + 1e-14, damping[active] < 1e5)
        active = active[goes_on]
        if len(active) == 0:
            break
    return Fits(now.params, now.coefficients, now.left)


def _step(here: _Point, damping: Floats, family: Family) -> Floats:
    """(n, 6) the damped step; along parameters that it would press against a bound there is none."""
    gradient = np.einsum("ndp,nd->np", here.slopes, here.residual)
    nudged = here.params + 1e-6 * np.sign(gradient)
    is_free = np.abs(family.within(nudged) - here.params) > 0
    slopes = here.slopes * is_free[:, None, :]
    hessian = np.einsum("ndp,ndq->npq", slopes, slopes)
    scale = np.einsum("npp->np", hessian).copy()
    floor = 1e-9 * scale.max(axis=1, keepdims=True) + 1e-300
    hessian += np.einsum("np,pq->npq", damping[:, None] * scale + floor, np.eye(scale.shape[1]))
    return np.linalg.solve(hessian, (gradient * is_free)[:, :, None])[:, :, 0]
