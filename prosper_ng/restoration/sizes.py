"""What suits an image that is to be restored: patches, latents and effort, by its noise and its size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from prosper_ng.data.patches import PatchGrid
from prosper_ng.restoration.groups import side_of_groups
from prosper_ng.restoration.noise_level import Noise

N_SWEEPS = 3
_MOST_UPDATES = 20
_ROWS_OF_AN_UPDATE, _ROWS_OF_A_LATENT = 64, 16
_ROWS_OF_A_COMPONENT, _FACTORS = 256, 16
_BY_PIXELS = ((600_000, 3), (50_000, 2), (0, 1))
"""Pixels of an image, and from there on those from one patch to the next,"""
_DENSE = 2
"""of this many times as many pixels where the image is smooth."""
_LITTLE_NOISE, _ROUNDS_OF_LITTLE = 10.0, 2


class _Suits(NamedTuple):
    """What suits images that stand out of the noise in a share of directions of patches."""

    visible: float
    """The least share."""
    side: int
    n_latents: int
    group_size: int | None = None
    n_rounds: int | None = None
    learn_noise: bool = True
    smooth_below: float = 0.0
    """The noise level up to which such images are smooth: texture that is left shows beside more noise."""
    stride: int = 1
    n_updates: int = _MOST_UPDATES
    n_components: int = 20


_BY_VISIBLE = (
    _Suits(0.3, 6, 256, 8, 3, n_components=50),
    _Suits(0.13, 10, 384, 10, 3, smooth_below=30.0),
    _Suits(0.0, 14, 384, 12, 4, learn_noise=False, smooth_below=np.inf),
)
_OF_GAPS, _OF_GAPS_IN_COLOR = (_Suits(0.0, side, 192, stride=apart, n_updates=6) for side, apart in ((8, 2), (7, 3)))
"""Where there are gaps and no noise; groups are those of `rounds.plan`."""


class Given(NamedTuple):
    """What is settled already; None for what is not."""

    patch_size: tuple[int, int] | None = None
    stride: int | None = None
    block_rows: int | None = None


NOTHING = Given()


class Sizes(NamedTuple):
    """What is learned from an image, and with what."""

    patch_size: tuple[int, int]
    stride: int
    n_latents: int
    n_updates: int
    group_size: int | None
    """Side of the patches in groups, and"""
    n_rounds: int | None
    """how often these are made; None where that suits gaps, which tell it better."""
    learn_noise: bool
    """Whether the noise level is learned again with groups."""
    n_components: int
    """Of factor analyzers, in the place of latents, and"""
    n_factors: int
    """in how many directions the patches of one differ."""
    n_sweeps: int = N_SWEEPS
    n_states: int = 20
    n_parents: int = 2
    n_candidates: int = 12


def sizes_for(shape: Sequence[int], noise: Noise | None, given: Given = NOTHING) -> Sizes:
    """The sizes for an image (height, width, channels) with this noise, sigma from 0 to 255; None for gaps without any.

    The less stands out of the noise, the larger the patches: it takes more values to tell what they show. Of large
    images patches lie further apart, at most half a patch, so that each pixel is in several; small ones have fewer
    latents.
    """
    height, width, n_channels = shape
    suits = _OF_GAPS if n_channels == 1 else _OF_GAPS_IN_COLOR
    if noise is not None:
        suits = next(each for each in _BY_VISIBLE if noise.visible >= each.visible)
        suits = suits._replace(n_rounds=_ROUNDS_OF_LITTLE) if noise.sigma < _LITTLE_NOISE else suits
    patch = given.patch_size or (min(suits.side, height, width),) * 2
    farthest = max(1, min(patch) // 2)
    n_pixels = height * width / (_DENSE if noise is not None and noise.sigma < suits.smooth_below else 1)
    stride = max(suits.stride, next(apart for least, apart in _BY_PIXELS if n_pixels >= least))
    stride = given.stride or min(stride, farthest)
    n_rows = PatchGrid((height, width, n_channels), patch, stride).n_patches
    most = min(suits.n_updates, -(-n_rows // (given.block_rows or 1)))
    n_updates = max(1, min(most, n_rows // _ROWS_OF_AN_UPDATE))
    n_latents = max(1, min(suits.n_latents, n_rows // _ROWS_OF_A_LATENT))
    group_size = None if suits.group_size is None else side_of_groups(suits.group_size, n_channels)
    n_components = max(1, min(suits.n_components, n_rows // _ROWS_OF_A_COMPONENT))
    n_factors = max(1, min(_FACTORS, patch[0] * patch[1] * n_channels // 3))
    return Sizes(
        patch, stride, n_latents, n_updates, group_size, suits.n_rounds, suits.learn_noise, n_components, n_factors
    )
