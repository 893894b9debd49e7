"""Means in a prescribed order: isotonic regression."""

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LEAST_WEIGHT = 1e-12
"""Of the largest: what counts for nothing must lie somewhere."""


def in_order(values: Floats, weights: Floats, like: Floats) -> Floats:
    """The numbers (m, n) nearest to `values` that have, in each row, the order of `like`; of equals the first is first.

    Nearest in the sum of squares weighted by `weights` (m, n), and with it in the likelihood of any exponential family
    with one parameter whose statistics have `values` for means (Barlow et al., 1972): neighbors that would change their
    order get the mean of all of them.
    """
    result, places = np.empty(values.shape), np.argsort(like, axis=1, kind="stable")
    least = np.maximum(_LEAST_WEIGHT * weights.max(axis=1), np.finfo(float).tiny)
    for row, order in enumerate(places):
        own = np.maximum(weights[row, order], least[row])
        result[row, order] = scipy.optimize.isotonic_regression(values[row, order], weights=own).x
    return result
