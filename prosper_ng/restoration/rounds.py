"""Which rounds restore an image, by what is known of its noise and its gaps, and what each comes to."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.parallel.communicator import Communicator
from prosper_ng.restoration.groups import Groups, Round, refined, side_of_groups

Floats = NDArray[np.float64]


class _Closing(NamedTuple):
    """A round that closes gaps where observed values have no noise."""

    noise: float
    """The noise level to take, as a part of the one that was learned: what the model left unexplained."""
    least_side: int
    """Of patches, in pixels."""
    n_observed: int
    """How many observed values a patch should have, as far as it does not become too large for that."""
    step: int
    over_relaxation: float = 0.8
    """Beyond 1 smooth pictures swing."""


_CLOSING = (
    *(_Closing(noise, 8, 38, 6) for noise in (1.4, 1.13, 0.88, 0.71)),
    *(_Closing(noise, 6, 21, 4) for noise in (0.62, 0.5, 0.4, 0.31)),
    _Closing(0.25, 6, 21, 3, 0.5),
    _Closing(0.22, 6, 21, 3, 0.0),
)
_LARGEST_SIDE = 12
_LEVELS = (1.0, 25.0)
"""Learned noise levels, on the scale 0 to 255, beyond which others are not believed."""
_N_CLOSING = 48
"""Patches in a group that closes gaps: few values of each are known."""
_MANY_PHOTONS = 5.0
"""A value, on average."""
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
    learn_noise: bool = True


def plan(
    shape: Sequence[int],
    sigma: float,
    is_noisy: bool,
    share_observed: float,
    wanted: Wanted,
    photons: float | None = None,
) -> list[Stage]:
    """The rounds for an image (height, width, channels) with a noise level of `sigma` on the scale 0 to 255.

    `photons` is the mean count of a picture of counts, whose noise is known. Patches are larger where there is more
    noise: it takes more values to tell alike ones. Gaps in values without noise are closed at noise levels that fall,
    each going beyond its step, by patches that become smaller; they are larger the fewer values of the image were
    observed.
    """
    if photons is not None:
        n_rounds = wanted.n_rounds or (2 if photons < _MANY_PHOTONS else 3)
        stages = [Stage(_groups(shape, wanted, side_of_groups(8, shape[2]), 64, 4))] * n_rounds
    elif share_observed < 1 and not is_noisy:
        n_rounds = wanted.n_rounds or len(_CLOSING)
        chosen = np.linspace(len(_CLOSING) - 1, 0, n_rounds)[::-1].round().astype(int)
        stages = [_closing(_CLOSING[i], shape, sigma, share_observed, wanted) for i in chosen]
    else:
        side = side_of_groups(9 if sigma < 20 else 10 if sigma < 35 else 12, shape[2])
        n_rounds = wanted.n_rounds or (3 if share_observed == 1 else 6)
        stages = [Stage(_groups(shape, wanted, side, 32, 4), None if wanted.learn_noise else sigma)] * n_rounds
    return [stage._replace(offset=(i % 2) * (stage.groups.step // 2)) for i, stage in enumerate(stages)]


def _closing(one: _Closing, shape: Sequence[int], sigma: float, share_observed: float, wanted: Wanted) -> Stage:
    side = round(float(np.sqrt(one.n_observed / (share_observed * shape[2]))))
    groups = _groups(shape, wanted, min(max(side, one.least_side), _LARGEST_SIDE), _N_CLOSING, one.step)
    level = one.noise * min(max(sigma, _LEVELS[0]), _LEVELS[1])
    return Stage(groups, level, one.over_relaxation)


def _groups(shape: Sequence[int], wanted: Wanted, side: int, n_similar: int, step: int) -> Groups:
    side = wanted.patch_size or side
    return Groups(
        (min(side, shape[0]), min(side, shape[1])),
        wanted.n_similar or n_similar,
        wanted.window // 2,
        wanted.step or min(step, side),
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
        found = refined(
            pilot, noisy, level, stage.groups, comm, stage.offset, needs_deviation, keeps_observed,
            partial(watch, number),
        )  # fmt: skip
        sigma = found.sigma
        if keeps_observed:
            image, deviation = np.where(observed, noisy, found.image), np.where(observed, 0.0, found.deviation)
            found = found._replace(image=image, deviation=deviation)
        yield found
        pilot = found.image + stage.over_relaxation * (found.image - pilot)
