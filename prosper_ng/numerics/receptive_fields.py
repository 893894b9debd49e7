"""Gabor functions and differences of Gaussians fitted to dictionary elements that are pictures.

Along the wave u, across it v, both from the center, in pixels:

    Gabor      A exp(-u²/2σ_x² - v²/2σ_y²) cos(2π f u + phase)
    DoG        A_1 exp(-q/2) + A_2 exp(-q/2k²),    q = u²/a² + v²/b²

Both have eight parameters, of which two enter linearly; least squares are taken over the other six, with these two at
their optimum. n_x = σ_x f is at least 0.1: the shapes below are all the same, and do not tell f.

An element is *globular* where the difference of Gaussians leaves no more than the Gabor function, and the variances of
its center, a² and b², differ by less than a factor of 3: the criterion of the program behind Bornschein, Henniges and
Lücke (PLoS Computational Biology 2013), `find_globulars` in its `dog_fitting.py`, which takes sums of absolute errors.
Two things are added. A blob without a surround is fitted by both, so that a margin decides for globular. And where
neither explains half of an element, as of noise, it is neither.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.separable_fits import Family, Fits, best_fits

Floats = NDArray[np.float64]

LEAST_SIDE = 6
"""Pictures with a shorter side have too few pixels for eight parameters."""
GLOBULAR, GABOR, NEITHER = "globular", "gabor", "neither"
_N_PARAMETERS = 8
_LEAST_EXPLAINED = 0.5
_MARGIN = 0.01
_LEAST_N_X = 0.1
_LARGEST_ASPECT = 3.0


class ReceptiveFields(NamedTuple):
    """What was fitted to H elements, each array (H,); NaN for elements of zeros.

    Places and widths are in pixels, rows and columns counted from 0 at the top left.
    """

    kind: NDArray[np.str_]
    """`globular`, `gabor` or `neither`."""
    explained_gabor: Floats
    """Share of the sum of squares that the Gabor function explains, adjusted for its parameters."""
    explained_dog: Floats
    """The same of the difference of Gaussians."""
    row: Floats
    """Of the center of the Gabor function."""
    column: Floats
    frequency: Floats
    """f, cycles per pixel."""
    orientation: Floats
    """Of the stripes: degrees from the horizontal, counterclockwise, 0 to 180."""
    phase: Floats
    """Degrees at the center: 0 even and bright, 90 odd, whichever side is bright, 180 even and dark."""
    sigma_x: Floats
    """Width of the envelope along the wave."""
    sigma_y: Floats
    """Width of the envelope along the stripes."""
    n_x: Floats
    """sigma_x f, as Ringach (Journal of Neurophysiology 2002) has it."""
    n_y: Floats
    """sigma_y f."""
    dog_row: Floats
    """Of the center of the difference of Gaussians."""
    dog_column: Floats
    center_width: Floats
    """sqrt(a b)."""
    surround_width: Floats
    """k sqrt(a b)."""
    aspect: Floats
    """Ratio of the variances of the center, at least 1."""
    center_sign: Floats
    """1 for a bright center, -1 for a dark one."""

    def share(self, kind: str) -> float:
        """The share of the elements that are of this kind."""
        return float(np.mean(self.kind == kind))


def receptive_fields(W: Floats, patch_shape: Sequence[int]) -> ReceptiveFields | None:
    """Fits to the columns of W (D, H), pictures of `patch_shape`: (height, width) or (height, width, channels).

    Of several channels, the direction in color along which an element varies most is fitted. None where there are no
    elements, or their pictures are too small to fit anything to. Raises ValueError for a value that is not finite, or
    another D.
    """
    height, width, *channels = patch_shape
    n_channels = channels[0] if channels else 1
    if W.ndim != 2 or len(W) != height * width * n_channels:
        raise ValueError(f"expected elements of {height} x {width} x {n_channels} values, got an array {W.shape}")
    if not np.isfinite(W).all():
        raise ValueError("a dictionary element holds a value that is not finite")
    if min(height, width) < LEAST_SIDE or W.shape[1] == 0:
        return None
    pictures = _gray(W.T.reshape(-1, height * width, n_channels))
    is_blank = ~pictures.any(axis=1)
    gabors, dogs = (best_fits(pictures, family(height, width)) for family in (gabor_family, dog_family))
    found = _table(gabors, dogs, height * width)
    found.kind[is_blank] = NEITHER
    for place, values in enumerate(found[1:]):
        values[is_blank] = 0.0 if place < 2 else np.nan
    return found


def _gray(elements: Floats) -> Floats:
    """(H, P) pictures of length 1: of elements (H, P, channels) the part along their main direction in color."""
    largest = np.abs(elements).max(axis=(1, 2), keepdims=True)
    elements = elements / np.where(largest > 0, largest, 1.0)
    pictures = elements[:, :, 0]
    if elements.shape[2] > 1:
        _, directions = np.linalg.eigh(elements.transpose(0, 2, 1) @ elements)
        main = directions[:, :, -1]
        main = main * np.where(main.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
        pictures = (elements @ main[:, :, None])[:, :, 0]
    lengths = np.linalg.norm(pictures, axis=1, keepdims=True)
    return np.asarray(pictures / np.where(lengths > 0, lengths, 1.0))


def _table(gabors: Fits, dogs: Fits, n_values: int) -> ReceptiveFields:
    """What the parameters of the fits to pictures of length 1 come to."""
    row, column, angle, log_x, log_y, frequency = gabors.params.T
    sigma_x, sigma_y = np.exp(log_x), np.exp(log_y)
    dog_row, dog_column, _, log_a, log_b, log_k = dogs.params.T
    width = np.exp((log_a + log_b) / 2)
    aspect = np.exp(2 * np.abs(log_a - log_b))
    cosine, sine = gabors.coefficients.T
    # A wave seen from its other end has minus the phase, so that the sign says nothing where angles end at 180 degrees.
    phase = np.degrees(np.arctan2(np.abs(sine), cosine))
    of_gabor, of_dog = (1 - fits.left * (n_values - 1) / (n_values - _N_PARAMETERS) for fits in (gabors, dogs))
    is_globular = (dogs.left <= gabors.left + _MARGIN) & (aspect < _LARGEST_ASPECT)
    kind = np.where(is_globular & (of_dog >= _LEAST_EXPLAINED), GLOBULAR, NEITHER)
    kind = np.where(~is_globular & (of_gabor >= _LEAST_EXPLAINED), GABOR, kind)
    at_center = dogs.coefficients.sum(axis=1)
    return ReceptiveFields(
        kind, of_gabor, of_dog, row, column, frequency, (np.degrees(angle) + 90) % 180, phase, sigma_x, sigma_y,
        sigma_x * frequency, sigma_y * frequency, dog_row, dog_column, width, width * np.exp(log_k), aspect,
        np.sign(at_center),
    )  # fmt: skip


def gabor_family(height: int, width: int) -> Family:
    """Gabor functions: row and column of the center, angle of the wave, log widths along and across it, frequency."""
    rows, columns = _grid(height, width)

    def waves(p: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        u, v = _turned(p, rows, columns)
        a, b, f = np.exp(p[:, 3:4]), np.exp(p[:, 4:5]), p[:, 5:6]
        envelope = np.exp(-0.5 * ((u / a) ** 2 + (v / b) ** 2))
        return u, v, envelope, envelope * np.cos(2 * np.pi * f * u), envelope * np.sin(2 * np.pi * f * u)

    def pair(p: Floats) -> Floats:
        return np.stack(waves(p)[3:], axis=2)

    def slopes(p: Floats, c: Floats) -> Floats:
        u, v, _, even, odd = waves(p)
        a, b, omega = np.exp(p[:, 3:4]), np.exp(p[:, 4:5]), 2 * np.pi * p[:, 5:6]
        sum_of_both, turned = c[:, :1] * even + c[:, 1:] * odd, c[:, 1:] * even - c[:, :1] * odd
        along_u, along_v = omega * turned - u / a**2 * sum_of_both, -v / b**2 * sum_of_both
        widths = [(u / a) ** 2 * sum_of_both, (v / b) ** 2 * sum_of_both]
        return np.stack([*_moved(p, u, v, along_u, along_v), *widths, 2 * np.pi * u * turned], axis=2)

    def within(p: Floats) -> Floats:
        p = _in_the_picture(p, height, width)
        # Above that a wave on pixels looks like another one.
        fastest = 0.5 / np.maximum(np.abs(np.cos(p[:, 2])), np.abs(np.sin(p[:, 2])))
        p[:, 5] = np.clip(p[:, 5], _LEAST_N_X / np.exp(p[:, 3]), fastest)
        return p

    shapes = [
        [(angle, np.log(0.35 / frequency), np.log(0.5 / frequency), frequency)]
        for angle in np.arange(8) * np.pi / 8
        for frequency in np.geomspace(0.7 / min(height, width), 0.45, 6)
    ]
    return Family(pair, slopes, _bank(shapes, height, width), within)


def dog_family(height: int, width: int) -> Family:
    """Differences of Gaussians: row and column of the center, angle of its first axis, log widths, log k."""
    rows, columns = _grid(height, width)

    def gaussians(p: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        u, v = _turned(p, rows, columns)
        q = (u / np.exp(p[:, 3:4])) ** 2 + (v / np.exp(p[:, 4:5])) ** 2
        return u, v, np.exp(-0.5 * q), np.exp(-0.5 * q / np.exp(2 * p[:, 5:6]))

    def pair(p: Floats) -> Floats:
        return np.stack(gaussians(p)[2:], axis=2)

    def slopes(p: Floats, c: Floats) -> Floats:
        u, v, center, surround = gaussians(p)
        a, b, k = (np.exp(p[:, at : at + 1]) for at in (3, 4, 5))
        wide = c[:, 1:] * surround / k**2
        both = c[:, :1] * center + wide
        x, y = (u / a) ** 2, (v / b) ** 2
        along = -u / a**2 * both, -v / b**2 * both
        return np.stack([*_moved(p, u, v, *along), x * both, y * both, (x + y) * wide], axis=2)

    def within(p: Floats) -> Floats:
        p = _in_the_picture(p, height, width)
        p[:, 5] = np.clip(p[:, 5], np.log(1.2), np.log(8.0))
        return p

    # Long ones too, since where both widths are equal nothing tells in which direction to turn.
    stretches = ((0.0, 1.0), *((turn * np.pi / 4, 1.25) for turn in range(4)))
    shapes = [
        [(angle, np.log(size * stretch), np.log(size / stretch), np.log(k)) for angle, stretch in stretches]
        for size in np.geomspace(0.7, min(height, width) / 3, 6)
        for k in (1.6, 4.0)
    ]
    return Family(pair, slopes, _bank(shapes, height, width), within)


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    rows, columns = np.indices((height, width), dtype=np.float64).reshape(2, -1)
    return rows, columns


def _bank(shapes: Sequence[Sequence[tuple[float, ...]]], height: int, width: int) -> Floats:
    """Each group of shapes at all places, some two pixels apart, but not more than eight along a side."""
    sides = [np.linspace(0.5, side - 1.5, min(8, side // 2)) for side in (height, width)]
    return np.array([[(*place, *shape) for place in product(*sides) for shape in group] for group in shapes])


def _turned(p: Floats, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """(n, P) u and v of each pixel; angles count from the direction of columns, counterclockwise as one sees it."""
    across, up = columns - p[:, 1:2], p[:, 0:1] - rows
    cosine, sine = np.cos(p[:, 2:3]), np.sin(p[:, 2:3])
    return cosine * across + sine * up, cosine * up - sine * across


def _moved(p: Floats, u: Floats, v: Floats, along_u: Floats, along_v: Floats) -> tuple[Floats, Floats, Floats]:
    """Derivatives with respect to row, column and angle, from those with respect to u and v."""
    cosine, sine = np.cos(p[:, 2:3]), np.sin(p[:, 2:3])
    return sine * along_u + cosine * along_v, sine * along_v - cosine * along_u, v * along_u - u * along_v


def _in_the_picture(p: Floats, height: int, width: int) -> Floats:
    """A copy with the center in the picture, and widths from a third of a pixel to the longest side."""
    p = p.copy()
    p[:, 0] = np.clip(p[:, 0], -0.5, height - 0.5)
    p[:, 1] = np.clip(p[:, 1], -0.5, width - 0.5)
    p[:, 3:5] = np.clip(p[:, 3:5], np.log(1 / 3), np.log(max(height, width)))
    return p
