"""Which rounds restore an image, by what is known of its noise and its gaps, and what each comes to."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.parallel.communicator import Communicator
from prosper_ng.restoration.groups import Groups, Round, refined

Floats = NDArray[np.float64]

_FALLING = (17.3, 14.1, 10.0, 7.7, 6.3, 5.5, 5.5, 5.5)
"""Noise levels, on the scale 0 to 255, at which gaps are closed by and by where observed values have no noise."""
_POLISH = 4.5
_N_POLISHED = 6
_OVER_RELAXATION = 0.8
_LEAST_SIGMA = 0.01
"""A noise that nobody sees; without any, groups of equal patches would have no covariance at all."""


class Stage(NamedTuple):
    """One round."""

    groups: Groups
    sigma: float | None = None
    """The noise level to take; that of the round before where not given."""
    over_relaxation: float = 0.0
    """By what part of its step the pilot of the next round goes beyond the estimate."""
    offset: int = 0


class Wanted(NamedTuple):
    """What a person may want otherwise; None for what suits the image."""

    patch_size: int | None = None
    n_similar: int | None = None
    window: int = 35
    step: int | None = None
    n_rounds: int | None = None
    share: float = 1.0


def plan(shape: Sequence[int], sigma: float, is_noisy: bool, has_gaps: bool, wanted: Wanted) -> list[Stage]:
    """The rounds for an image (height, width, channels) with a noise level of `sigma` on the scale 0 to 255.

    Patches are larger where there is more noise: it takes more values to tell alike ones. Gaps in values without noise
    are closed at noise levels that fall, beyond each step, and then once more with smaller patches.
    """
    if has_gaps and not is_noisy:
        n_falling = len(_FALLING) if wanted.n_rounds is None else max(wanted.n_rounds - _N_POLISHED, 1)
        n_polished = _N_POLISHED if wanted.n_rounds is None else wanted.n_rounds - n_falling
        wide, fine = _groups(shape, wanted, 8, 40, 6), _groups(shape, wanted, 7, 32, 4)
        levels = [_FALLING[min(i, len(_FALLING) - 1)] for i in range(n_falling)]
        stages = [Stage(wide, level, _OVER_RELAXATION) for level in levels]
        stages += [Stage(fine, _POLISH, _OVER_RELAXATION * (i < n_polished - 2)) for i in range(n_polished)]
    else:
        side = 9 if sigma < 20 else 10 if sigma < 35 else 12
        n_rounds = (6 if has_gaps else 3) if wanted.n_rounds is None else wanted.n_rounds
        stages = [Stage(_groups(shape, wanted, side, 32, 4))] * n_rounds
    return [stage._replace(offset=(i % 2) * (stage.groups.step // 2)) for i, stage in enumerate(stages)]


def _groups(shape: Sequence[int], wanted: Wanted, side: int, n_similar: int, step: int) -> Groups:
    side = wanted.patch_size or side
    return Groups(
        (min(side, shape[0]), min(side, shape[1])),
        wanted.n_similar or n_similar,
        wanted.window // 2,
        wanted.step or min(step, side),
        wanted.share,
    )


def rounds(
    pilot: Floats, noisy: Floats, sigma: float, stages: Sequence[Stage], keeps_observed: bool, comm: Communicator,
    watch: Callable[[int, float], bool] = lambda number, share: False,
) -> Iterator[Round]:  # fmt: skip
    """What each round comes to; all ranks go through it together, and get the same bits.

    `noisy` (height, width, channels) is NaN where nothing was observed. Where observed values are kept, they have no
    noise, and no deviation. `watch` is the one of `refined`, with the number of the round before it.
    """
    observed = ~np.isnan(noisy)
    for number, stage in enumerate(stages):
        level = max(_LEAST_SIGMA, sigma if stage.sigma is None else stage.sigma)
        needs_deviation = stage.sigma is None or number == len(stages) - 1
        found = refined(pilot, noisy, level, stage.groups, comm, stage.offset, needs_deviation, partial(watch, number))
        sigma = found.sigma
        if keeps_observed:
            image, deviation = np.where(observed, noisy, found.image), np.where(observed, 0.0, found.deviation)
            found = found._replace(image=image, deviation=deviation)
        yield found
        pilot = found.image + stage.over_relaxation * (found.image - pilot)
