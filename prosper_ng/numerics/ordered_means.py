"""Means in a prescribed order: isotonic regression."""

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_WEIGHT = 1e-12
"""Of the largest: what counts for nothing must lie somewhere."""


def in_order(values: Floats, weights: Floats, like: Floats) -> Floats:
    """The numbers (m, n) nearest to `values` that have, in each row, the order of `like`; first of equals is larger.

    Nearest in the sum of squares weighted by `weights` (m, n), and with it in the likelihood of any exponential family
    with one parameter whose statistics have `values` for means (Barlow et al., 1972): neighbors that would change their
    order get the mean of all of them.
    """
    result, places = np.empty(values.shape), ascending(like)
    least = np.maximum(_LEAST_WEIGHT * weights.max(axis=1), np.finfo(float).tiny)
    for row, order in enumerate(places):
        own = np.maximum(weights[row, order], least[row])
        result[row, order] = scipy.optimize.isotonic_regression(values[row, order], weights=own).x
    return result


def told_apart(values: Floats, like: Floats) -> Floats:
    """The numbers (m, n), in the order of `like` in each row, with equal ones moved up by as little as can be."""
    order = ascending(like)
    result = np.take_along_axis(values, order, axis=1)
    for k in range(1, values.shape[1]):
        result[:, k] = np.maximum(result[:, k], np.nextafter(result[:, k - 1], np.inf))
    return np.take_along_axis(result, np.argsort(order, axis=1), axis=1)


def ascending(values: Floats) -> NDArray[np.int64]:
    """(m, n) the places of the numbers of each row in ascending order; of equals the first is the larger one."""
    return np.asarray(values.shape[1] - 1 - np.argsort(values[:, ::-1], axis=1, kind="stable"))
