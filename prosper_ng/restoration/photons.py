"""Groups of similar patches in pictures that are counts of photons, whose variance is their mean.

A share of the counts and the rest of an estimate, z = share y + (1 - share) x, has the mean x and the variance
share² x, so that z / share² varies like a count of x / share². Its root varies by 1 whatever it is (Anscombe,
Biometrika 1948); groups restore that, and the mean of the count whose root it is (Mäkitalo and Foi, IEEE Transactions
on Image Processing 2011) is the next estimate. Azzari and Foi, IEEE Signal Processing Letters 2016.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prosper_ng.parallel.communicator import Communicator
from prosper_ng.restoration.groups import Round, refined
from prosper_ng.restoration.rounds import Stage

Floats = NDArray[np.float64]

_LEAST_SHARE, _FEW, _NEXT = 0.35, 8.0, 0.7
"""Where a mean of so many photons or more gives all of the counts a place in the first round, fewer give less, since
patches cannot be told from each other by them; in each round there is less of them than before."""
_WHITE = 255.0
_LEAST_ROOT = 2 * float(np.sqrt(3 / 8))
"""Of no photon."""


def stabilized(counts: Floats) -> Floats:
    """2 sqrt(y + 3/8), whose variance is about 1 for a count y of 4 and more."""
    return np.asarray(2 * np.sqrt(np.maximum(counts, 0.0) + 3 / 8))


def mean_count(root: Floats) -> Floats:
    """The mean of a count whose `stabilized` values are `root` on average, by the closed form of the inverse."""
    z = np.maximum(root, _LEAST_ROOT)
    inverse = z**2 / 4 + np.sqrt(1.5) / 4 / z - 11 / 8 / z**2 + 5 / 8 * np.sqrt(1.5) / z**3 - 1 / 8
    return np.asarray(np.maximum(inverse, 0.0))


def photon_rounds(
    pilot: Floats, noisy: Floats, count: float, stages: Sequence[Stage], comm: Communicator,
    watch: Callable[[int, float], bool] = lambda number, share: False,
) -> Iterator[Round]:  # fmt: skip
    """What each round comes to, as `rounds` for counts; `count` is what a photon is in the units of the images.

    The deviation is that of the estimate in these units; the noise level is that of counts, and so not told: NaN.
    """
    estimate = np.maximum(pilot, 0.0) / count
    first = min(1.0, max(_LEAST_SHARE, float(np.nanmean(noisy)) / count / _FEW))
    for number, stage in enumerate(stages):
        share = first * _NEXT**number
        mixed = stabilized((share * noisy / count + (1 - share) * estimate) / share**2)
        known = stabilized(estimate / share**2)
        # Patches are compared, and noise is judged, on the scale of pictures.
        lowest = float(known.min())
        unit = _WHITE / max(float(known.max()) - lowest, 1.0)
        found = refined(
            unit * (known - lowest), unit * (mixed - lowest), unit, stage.groups, comm, stage.offset, True, False,
            partial(watch, number),
        )  # fmt: skip
        root = found.image / unit + lowest
        estimate = mean_count(root) * share**2
        deviation = found.deviation / unit * np.maximum(root, _LEAST_ROOT) / 2 * share**2
        yield Round(estimate * count, deviation * count, np.nan)
