"""What suits an image that is to be restored: patches, latents and effort, by its noise level and its size."""

from collections.abc import Sequence
from typing import NamedTuple

N_SWEEPS = 3
_UPDATES = 20
_ROWS_OF_AN_UPDATE = 64
_ROWS_OF_A_LATENT = 16
_PIXELS = 100_000
"""Pixels from which on not every patch is needed."""
_BY_NOISE = ((0.0, 8, 384), (20.0, 10, 384), (35.0, 12, 384))
"""Noise levels, on the scale 0 to 255, with the side of patches and the number of latents from there on."""
_OF_GAPS = (7, 192, 2)
"""Side, latents and stride where there are gaps, and no noise."""


class Sizes(NamedTuple):
    """What is learned from an image, and with what."""

    patch_size: int
    stride: int
    n_latents: int
    n_updates: int
    n_sweeps: int = N_SWEEPS
    n_states: int = 20
    n_parents: int = 2
    n_candidates: int = 12


def sizes_for(shape: Sequence[int], sigma: float, is_noisy: bool = True) -> Sizes:
    """The sizes for an image (height, width, channels) with a noise level of `sigma` on the scale 0 to 255.

    The more noise, the larger the patches: it takes more values to tell what they show. Of large images patches lie
    further apart, at most half a patch, so that each pixel is in at least four; small ones have fewer latents.
    """
    height, width = shape[:2]
    side, n_latents, stride = next((side, n, 1) for least, side, n in reversed(_BY_NOISE) if sigma >= least)
    if not is_noisy:
        side, n_latents, stride = _OF_GAPS
    side = min(side, height, width)
    while height * width > _PIXELS * stride**2 and stride < side // 2:
        stride += 1
    n_rows = max(1, (height - side) // stride + 1) * max(1, (width - side) // stride + 1)
    n_latents = max(1, min(n_latents, n_rows // _ROWS_OF_A_LATENT))
    return Sizes(side, stride, n_latents, max(1, min(_UPDATES, n_rows // _ROWS_OF_AN_UPDATE)))
