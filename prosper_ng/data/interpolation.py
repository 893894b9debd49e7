"""Gaps in pictures closed crudely, so that something can start from whole patches."""

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NARROWEST = 1.2
_FACTOR = 1.8
_ENOUGH = 0.05
"""Of what a blur sees around a pixel, the share observed at which it needs no wider one."""


def interpolated(picture: Floats) -> Floats:
    """A picture (height, width, channels) whose NaN are replaced by blurs of what was observed; the rest stays.

    Where little was observed, wider blurs come in. A channel of which nothing was observed stays NaN.
    """
    filled = picture.copy()
    for channel in range(picture.shape[2]):
        gaps = np.isnan(picture[:, :, channel])
        if gaps.any() and not gaps.all():
            filled[gaps, channel] = _blurred(picture[:, :, channel], gaps)[gaps]
    return filled


def _blurred(picture: Floats, gaps: NDArray[np.bool_]) -> Floats:
    """(height, width) averages of what was observed, by blurs as narrow as that allows; exact to their mean."""
    level = float(np.mean(picture[~gaps]))
    values, observed = np.where(gaps, 0.0, picture - level), np.where(gaps, 0.0, 1.0)
    result, left, width = np.zeros(picture.shape), np.ones(picture.shape), _NARROWEST
    while width < max(picture.shape) and left.max() > 0:
        weight = scipy.ndimage.gaussian_filter(observed, width)
        trust = left * np.minimum(weight / _ENOUGH, 1.0) ** 2
        result += trust * scipy.ndimage.gaussian_filter(values, width) / np.maximum(weight, np.finfo(float).tiny)
        left = left - trust
        width *= _FACTOR
    return level + result
