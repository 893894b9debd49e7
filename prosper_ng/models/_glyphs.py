"""Tables and kernels of glyphs; `glyphs` says what they compute.

A patch is laid out in rows with a margin on both sides, so that a glyph that is shifted reads whole vectors of 8 from
within. What lies off the patch, and what was not observed, is so far below the background's probability that no mask
has it: a pixel of a glyph that meets it adds nothing, without a branch.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.elementary import exp_of_lanes, fast_exp, fast_log
from prosper_ng.numerics.vectors import (
    LANES,
    aligned,
    all_lanes,
    exponents_of_lanes,
    larger,
    load,
    magnitude,
    mantissa,
    minus,
    minus_product,
    padded,
    plus,
    plus_product,
    product_of_lanes,
    sum_of_lanes,
    times,
    where_larger,
)

Floats = NDArray[np.float64]

UNSEEN = -1e300
"""In the place of what the background says of a pixel that is not there."""
_SEEN = -1e299
_LN2 = float(np.log(2))
_FACTORS = 512
"""Factors of 1 to 2 that are multiplied before their logarithm is taken."""


class Layout(NamedTuple):
    """Where pixels lie: a patch of rows of `width`, and how glyphs may be shifted."""

    height: int
    width: int
    down: int
    """Rows by which the first position is shifted; 0 or less,"""
    across: int
    """and columns."""
    n_down: int
    n_across: int

    @property
    def n_positions(self) -> int:
        """X."""
        return self.n_down * self.n_across

    @property
    def margin(self) -> int:
        """Columns beside a patch."""
        return max(-self.across, self.across + self.n_across - 1)

    @property
    def stride(self) -> int:
        """Numbers of a row of a patch, as it is laid out."""
        return padded(self.width) + 2 * self.margin

    def pixels(self, D: int) -> NDArray[np.int64]:
        """(D,) where the pixels lie in a patch as it is laid out."""
        row, column = np.divmod(np.arange(D), self.width)
        return row * self.stride + self.margin + column

    def table(self, values: Floats, otherwise: float) -> Floats:
        """(C, height * W') values (C, D) of glyphs, as they are laid out."""
        found = aligned(len(values), self.height * padded(self.width))
        found[...] = otherwise
        row, column = np.divmod(np.arange(values.shape[1]), self.width)
        found[:, row * padded(self.width) + column] = values
        return found

    def untabled(self, values: Floats, D: int) -> Floats:
        """(D, C) of what is laid out as glyphs are."""
        row, column = np.divmod(np.arange(D), self.width)
        return np.asarray(values[:, row * padded(self.width) + column].T)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """What kernels are told."""
        return np.array(
            [self.height, padded(self.width), self.stride, self.margin, self.down, self.across, self.n_across,
             self.n_positions], np.int64,
        )  # fmt: skip


class Prepared(NamedTuple):
    """What depends on the parameters only; values are in units, from the center."""

    layout: Layout
    n_observed: int
    """D."""
    center: float
    unit: float
    log_pi: Floats
    """(C + 1,) log probabilities of each glyph at each position, and of none."""
    background: Floats
    """(3, K) means of what the background is made of, halves of inverse variances, log shares and what normalizes."""
    mean_background: float
    numbers: NDArray[np.int64]
    means: Floats
    """(C, height * W') means of glyphs, and halves of their inverse variances,"""
    halves: Floats
    odds: Floats
    """log odds of masks and what normalizes a pixel of the glyph,"""
    logs: Floats
    """and log(1 - alpha)."""
    alphas: Floats
    """(C, height * W') probabilities of masks."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states, laid out: (n, height * stride)."""

    values: Floats
    losses: Floats
    """-log p(y | background) of each pixel; `UNSEEN` where there is none."""
    background: Floats
    """(n,) log probability of the background alone."""
    kinds: Floats
    """(n, K + 1, height * stride) probabilities of what a pixel of the background is, and their entropy; 0 where there
    is no pixel."""


def kinds_of(background: Floats, scaled: Floats) -> tuple[Floats, Floats, Floats]:
    """(n, D) log p(y | background) of values in units, (n, K, D) what they are, and (n, D) the entropy of that."""
    B, halves, logs = background[:, :, None]
    scores = logs - halves * np.square(scaled[:, None] - B)
    best = scores.max(axis=1)
    shares = np.exp(scores - best[:, None])
    total = shares.sum(axis=1)
    shares /= total[:, None]
    log_density = best + np.log(total)
    return log_density, shares, log_density - np.sum(shares * scores, axis=1)


@inner_kernel
def _place(code: int, numbers: Any) -> Any:
    """The glyph, and the shift down and across."""
    c, x = code // numbers[7], code % numbers[7]
    return c, numbers[4] + x // numbers[6], numbers[5] + x % numbers[6]


@inner_kernel
def gain(
    values: Any, losses: Any, n: int, first: int, stride: int, begin: int, end: int, c: int, means: Any, halves: Any,
    odds: Any, logs: Any, width: int,
) -> float:  # fmt: skip
    """log of p(y | glyph c) over p(y | background), of the rows `begin` to `end` of the glyph.

    Row 0 of the glyph lies at `first` of row n of what is laid out, row 1 a `stride` behind.
    """
    nothing, seen = all_lanes(0.0), all_lanes(_SEEN)
    total, product, n_factors, result = nothing, all_lanes(1.0), 0, 0.0
    for i in range(begin, end):
        for j in range(0, width, LANES):
            at, place = first + i * stride + j, i * width + j
            loss = load(losses, n, at)
            difference = minus(load(values, n, at), load(means, c, place))
            score = plus(load(odds, c, place), loss)
            score = minus_product(score, load(halves, c, place), times(difference, difference))
            total = plus(total, larger(score, nothing))
            total = plus(total, where_larger(loss, seen, load(logs, c, place), nothing))
            product = plus_product(product, product, exp_of_lanes(minus(nothing, magnitude(score))))
            n_factors += 1
            if n_factors == _FACTORS:
                result += _log_of(product)
                product, n_factors = all_lanes(1.0), 0
    return result + sum_of_lanes(total) + _log_of(product)


@inner_kernel
def _log_of(product: Any) -> float:
    """Of the product of all lanes."""
    return fast_log(product_of_lanes(mantissa(product))) + exponents_of_lanes(product) * _LN2


@kernel
def fill_log_joint(
    values: Any, losses: Any, background: Any, log_pi: Any, numbers: Any, means: Any, halves: Any, odds: Any,
    logs: Any, codes: Any, result: Any,
) -> None:  # fmt: skip
    """Fill (n, S) with log joints."""
    height, width, stride, n_glyphs = numbers[0], numbers[1], numbers[2], means.shape[0]
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if codes[n, s, 0] > np.uint64(n_glyphs * numbers[7]):
                result[n, s] = -np.inf
                continue
            c, down, across = _place(np.int64(codes[n, s, 0]), numbers)
            result[n, s] = log_pi[c] + background[n]
            if c < n_glyphs:
                first, begin, end = down * stride + numbers[3] + across, max(0, -down), min(height, height - down)
                result[n, s] += gain(
                    values, losses, n, first, stride, begin, end, c, means, halves, odds, logs, width
                )  # fmt: skip


@kernel
def fill_log_prior(log_pi: Any, numbers: Any, codes: Any, result: Any) -> None:
    """Fill (n, S) with log priors."""
    n_most = np.uint64((len(log_pi) - 1) * numbers[7])
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            code = codes[n, s, 0]
            result[n, s] = log_pi[np.int64(code) // numbers[7]] if code <= n_most else -np.inf


@inner_kernel
def masks_of_row(
    values: Any, losses: Any, n: int, at: int, c: int, place: int, means: Any, halves: Any, odds: Any, width: int,
    masks: Any, scores: Any,
) -> None:  # fmt: skip
    """Fill masks (W',) with E[m] of a row of a glyph, and scores with their log odds; 0 where there is no pixel."""
    for j in range(width):
        score = odds[c, place + j] + losses[n, at + j] - halves[c, place + j] * (
            values[n, at + j] - means[c, place + j]
        ) * (values[n, at + j] - means[c, place + j])  # fmt: skip
        small = fast_exp(-abs(score))
        scores[j] = score
        masks[j] = (1.0 if score > 0 else small) / (1.0 + small)


@kernel
def add_moments(
    values: Any, losses: Any, kinds: Any, numbers: Any, means: Any, halves: Any, odds: Any, codes: Any, weights: Any,
    counts: Any, seen: Any, masked: Any, masked_y: Any, masked_y_y: Any, background: Any,
) -> float:  # fmt: skip
    """Add what states of weights (n, S) come to, laid out as glyphs are, and take it from the background (3, K).

    Returns the entropy of the masks, less that of the background where they are.
    """
    height, width, stride, n_glyphs = numbers[0], numbers[1], numbers[2], means.shape[0]
    masks, scores, entropy = np.empty(width), np.empty(width), 0.0
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0 or codes[n, s, 0] > np.uint64(n_glyphs * numbers[7]):
                continue
            c, down, across = _place(np.int64(codes[n, s, 0]), numbers)
            counts[c] += weight
            if c == n_glyphs:
                continue
            for i in range(max(0, -down), min(height, height - down)):
                at, place = (down + i) * stride + numbers[3] + across, i * width
                masks_of_row(values, losses, n, at, c, place, means, halves, odds, width, masks, scores)
                for j in range(width):
                    if losses[n, at + j] > _SEEN and odds[c, place + j] > _SEEN:
                        q, y, score = weight * masks[j], values[n, at + j], abs(scores[j])
                        seen[c, place + j] += weight
                        masked[c, place + j] += q
                        masked_y[c, place + j] += q * y
                        masked_y_y[c, place + j] += q * y * y
                        small = fast_exp(-score)
                        entropy += weight * (np.log1p(small) + score * small / (1.0 + small))
                        entropy -= _take(background, kinds, n, at + j, q, y)
    return entropy


@inner_kernel
def _take(background: Any, kinds: Any, n: int, place: int, q: float, y: float) -> float:
    """Take a pixel that a mask has by q from what the background is made of; returns the entropy that goes with it."""
    n_kinds = background.shape[1]
    for k in range(n_kinds):
        share = q * kinds[n, k, place]
        background[0, k] -= share
        background[1, k] -= share * y
        background[2, k] -= share * y * y
    return q * kinds[n, n_kinds, place]


@kernel
def add_predictions(
    values: Any, losses: Any, numbers: Any, means: Any, halves: Any, odds: Any, alpha: Any, codes: Any, weights: Any,
    background: float, pixel_width: int, result: Any,
) -> None:  # fmt: skip
    """Add to result (n, D) what glyphs differ from the background by; pixels that were not observed by the prior."""
    height, width, stride, n_glyphs = numbers[0], numbers[1], numbers[2], means.shape[0]
    masks, scores = np.empty(width), np.empty(width)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if weights[n, s] == 0.0 or codes[n, s, 0] >= np.uint64(n_glyphs * numbers[7]):
                continue
            c, down, across = _place(np.int64(codes[n, s, 0]), numbers)
            for i in range(max(0, -down), min(height, height - down)):
                at, place = (down + i) * stride + numbers[3] + across, i * width
                masks_of_row(values, losses, n, at, c, place, means, halves, odds, width, masks, scores)
                for j in range(max(0, -across), min(pixel_width, pixel_width - across)):
                    d = (down + i) * pixel_width + across + j
                    if d < result.shape[1] and odds[c, place + j] > _SEEN:
                        mask = masks[j] if losses[n, at + j] > _SEEN else alpha[c, place + j]
                        result[n, d] += weights[n, s] * mask * (means[c, place + j] - background)
