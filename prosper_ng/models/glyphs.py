"""Glyphs at unknown positions of a patch: c ~ pi, x uniform, m_i ~ Bernoulli(alpha_ic) for each pixel i of the glyph,
y_(i + x) ~ N(W_ic, S_ic²) where m_i = 1, and all other pixels ~ sum_k rho_k N(B_k, sigma_k²), paper and dirt.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, C) | mean of each pixel of each glyph, at the position that is no shift |
| S | (D, C) | standard deviation of each pixel of each glyph |
| alpha | (D, C) | probability that a pixel belongs to the glyph and not to the background |
| B, sigma, rho | (K,) | means, standard deviations and shares of what a pixel of the background is |
| pi | (C + 1,) | probability of each glyph, and behind them of a patch that shows none |

Which glyph is where, (c, x), is one latent of C X + 1 values. Masks are hidden besides: given the state they are
independent, and with N_ic and N_B for the two densities

    p(y | c, x) = prod_d N_B(y_d)  prod_i [1 - alpha_ic + alpha_ic N_ic(y_(i + x)) / N_B(y_(i + x))],
    r_i = E[m_i | c, x, y] = alpha N_ic / (alpha N_ic + (1 - alpha) N_B).

Pixels of a glyph that are shifted off the patch are not there, so that it may show a part of a glyph. With means over
q_n(c, x) and all shifts

    alpha = sum r / (sum over pixels that are there),  W = sum r y / sum r,  S² = sum r y² / sum r - W²,

and B, sigma² and rho, those of a mixture of pixels of weights 1 - r, are the exact maximum, after which F / N is minus
the entropies of pi, positions, masks, glyphs and background. Only observed pixels enter.

The model is that of Dai and Lücke, "Autonomous Cleaning of Corrupted Scanned Documents" (CVPR 2012; IEEE TPAMI 2014).
Their text was not at hand: formulas are derived here, for gray values and shifts that end at the border of the patch,
and were checked by sums over all states and masks.
"""

from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.latents.index_space import IndexSpace
from prosper_ng.models._activity import SMALLEST_PI
from prosper_ng.models._glyphs import (
    UNSEEN,
    Layout,
    Prepared,
    Projected,
    add_moments,
    add_predictions,
    fill_log_joint,
    fill_log_prior,
    kinds_of,
)
from prosper_ng.models._glyphs_start import first_glyphs, shifted
from prosper_ng.models.interface import (
    SCALE,
    SMALLEST_SCALE,
    Batch,
    Codes,
    Floats,
    Identity,
    Moments,
    MStep,
    ParameterSpec,
)
from prosper_ng.numerics.constraints import POSITIVE, REAL, Simplex, interval
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.special import bernoulli_entropy, bernoulli_log, floored_shares

Positive = Annotated[int, Gt(0)]

_MASK = interval(1e-4, 1 - 1e-4)
"""Bounds of alpha: a pixel may always be dirt, and one that is never masked may become so."""
_LEAST_SPREAD = 0.05
"""Standard deviations that are learned, in units of that of the data: pixels that are always white would learn 0."""
_LEAST_SHARE = 1e-9
"""A pixel that masks have in less than this part of the rows keeps its values."""
_N_EXAMPLES = 800
_LOG_2PI = float(np.log(2 * np.pi))


@component
class Glyphs:
    """Small pictures, one of which each patch shows somewhere, before a background; dirt is background, too."""

    n_components: Positive
    """C, the number of glyphs."""
    positions: Positive | tuple[Positive, Positive] = 8
    """By how many pixels a glyph may be shifted down and across, no shift among them; the `stride` of the patches of a
    page, so that each place on it belongs to one patch."""
    n_background: Positive = 2
    """K, of how many kinds pixels of the background are: paper, and dirt as dark as ink, which a single Gaussian
    distribution would take for one."""
    width: Positive | None = None
    """Width of a patch in pixels; where not given patches are squares."""

    support = REAL

    is_monotone = True
    """The M-step is the maximum."""
    identity: ClassVar[Identity] = "after M-step"
    """Of a maximum that is known."""
    weighs_rows = True
    """All statistics are sums over rows, each as often as it counts."""

    @cached_property
    def space(self) -> IndexSpace:
        """Which glyph is where, or none."""
        return IndexSpace(self.n_components * self.n_positions + 1)

    @property
    def shifts(self) -> tuple[int, int]:
        """How many positions there are down and across."""
        return (self.positions, self.positions) if isinstance(self.positions, int) else self.positions

    @property
    def n_positions(self) -> int:
        """X."""
        return self.shifts[0] * self.shifts[1]

    def layout(self, n_observed: int) -> Layout:
        """How patches and glyphs lie; the last row of a patch may be incomplete.

        Raises UserError where patches are no squares and have no width.
        """
        width = self.width or round(float(np.sqrt(n_observed)))
        if self.width is None and width * width != n_observed:
            raise UserError(f"model glyphs needs the `width` of patches of {n_observed} pixels, which are no squares")
        down, across = self.shifts
        return Layout(-(-n_observed // width), width, -(down // 2), -(across // 2), down, across)

    def n_examples(self, n_rows: int) -> int:
        """Rows among which those are chosen to start from."""
        return min(n_rows, _N_EXAMPLES)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """All of the table, and what values are measured from and in."""
        shape, K = (n_observed, self.n_components), self.n_background
        return {
            "W": ParameterSpec(shape, REAL, "mean of each pixel of each glyph", "dictionary"),
            "S": ParameterSpec(shape, SCALE, "standard deviation of each pixel of each glyph"),
            "alpha": ParameterSpec(shape, _MASK, "probability that a pixel belongs to the glyph"),
            "B": ParameterSpec((K,), REAL, "means of the background"),
            "sigma": ParameterSpec((K,), SCALE, "standard deviations of the background"),
            "rho": ParameterSpec((K,), Simplex(SMALLEST_PI), "shares of these in the background"),
            "pi": ParameterSpec(
                (self.n_components + 1,), Simplex(SMALLEST_PI), "probability of each glyph, and of none"
            ),
            "center": ParameterSpec((), REAL, "what data are measured from", constant=True),
            "unit": ParameterSpec((), POSITIVE, "what data are measured in", constant=True),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """How often each glyph is there and its pixels are seen, moments of those in masks, and of the background."""
        shape = (self.n_components, n_observed)
        found: dict[str, Shape] = {"n": (), "hidden_entropy": (), "counts": (self.n_components + 1,)}
        found |= {"seen": shape, "masked": shape, "masked_y": shape, "masked_y_y": shape}
        return found | {"background": (3, self.n_background)}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Patches that are far from each other, what differs from the background in the middle."""
        C, spread = self.n_components, moments.spread
        found = first_glyphs(moments, C, self.n_background, self.layout(len(moments.mean)), rng)
        center = float(np.round(moments.mean.mean() / (16 * spread)) * 16 * spread)
        shape = found.W.shape
        return NamedArrays.of(
            W=found.W, S=np.full(shape, max(0.5 * spread, SMALLEST_SCALE)), alpha=np.full(shape, 0.5),
            B=found.B, sigma=found.sigma, rho=found.rho, pi=np.full(C + 1, 1 / (C + 1)),
            center=center, unit=2.0 ** np.round(np.log2(spread)),
        )  # fmt: skip

    def activity(self, params: NamedArrays) -> Floats:
        """(C X + 1,) probability of each state."""
        pi = params["pi"] / params["pi"].sum()
        return np.append(np.repeat(pi[:-1] / self.n_positions, self.n_positions), pi[-1])

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Tables by glyphs."""
        (W, S, alpha), (B, sigma, rho), (center, unit) = (
            self._scaled(params),
            self._mixed(params),
            self._measure(params),
        )
        layout = self.layout(W.shape[1])
        odds = np.log(alpha) - np.log1p(-alpha) - 0.5 * _LOG_2PI - np.log(S)
        background = np.array([B, 0.5 / np.square(sigma), np.log(rho) - 0.5 * _LOG_2PI - np.log(sigma)])
        return Prepared(
            layout, W.shape[1], center, unit, self._log_pi(params), background, float(rho @ B), layout.numbers,
            layout.table(W, 0.0), layout.table(0.5 / np.square(S), 0.0), layout.table(odds, UNSEEN),
            layout.table(np.log1p(-alpha), 0.0), layout.table(alpha, 0.0),
        )  # fmt: skip

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Values from the center, in units, with margins; and what they are where they are background."""
        layout, (n, D) = prepared.layout, batch.values.shape
        pixels, shape = layout.pixels(D), (n, layout.height * layout.stride)
        seen = np.ones((n, D), bool) if batch.observed is None else batch.observed
        scaled = np.where(seen, (batch.values - prepared.center) / prepared.unit, 0.0)
        log_density, shares, entropies = kinds_of(prepared.background, scaled)
        values, losses, kinds = np.zeros(shape), np.full(shape, UNSEEN), np.zeros((n, shares.shape[1] + 1, shape[1]))
        values[:, pixels], losses[:, pixels] = scaled, np.where(seen, -log_density, UNSEEN)
        kinds[:, :, pixels] = np.concatenate([shares, entropies[:, None]], axis=1) * seen[:, None]
        background = np.where(seen, log_density - np.log(prepared.unit), 0.0).sum(axis=1)
        return Projected(values, losses, background, kinds)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(c, x, y), constants included."""
        result = np.empty(codes.shape[:2])
        fill_log_joint(
            *projected[:3], prepared.log_pi, prepared.numbers, prepared.means, prepared.halves, prepared.odds,
            prepared.logs, codes, result,
        )  # fmt: skip
        return result

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(c, x)."""
        result = np.empty(codes.shape[:2])
        fill_log_prior(prepared.log_pi, prepared.numbers, codes, result)
        return result

    def likeness(self, prepared: Prepared, values: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        """(m, k) minus half the squared distances of what states show on average."""
        own, W = (self._shown(prepared, each) for each in (values, others))
        squares = np.sum(np.square(own), axis=1)[:, None] + np.sum(np.square(W), axis=1)
        return np.asarray(own @ W.T - 0.5 * squares)

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the counts and moments of a batch."""
        weights = batch.weighed(weights)
        sums["n"] += batch.number_of(weights.any(axis=1))
        layout, D = prepared.layout, prepared.n_observed
        moments = np.zeros((4, *prepared.means.shape))
        background = self._all_background(projected, weights.sum(axis=1))
        sums["hidden_entropy"] += background[3, 0]
        sums["hidden_entropy"] += add_moments(
            projected.values, projected.losses, projected.kinds, prepared.numbers, prepared.means, prepared.halves,
            prepared.odds, codes, weights, sums["counts"], *moments, background,
        )  # fmt: skip
        for name, each in zip(("seen", "masked", "masked_y", "masked_y_y"), moments, strict=True):
            sums[name] += layout.untabled(each, D).T
        sums["background"] += background[:3]

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The best parameters; pixels that no mask has keep their values."""
        new, (W, S, alpha), (center, unit) = params.copy(), self._scaled(params), self._measure(params)
        if "pi" in step.learn:
            new["pi"] = floored_shares(sums["counts"], SMALLEST_PI)
        masked, least = sums["masked"], _LEAST_SHARE * sums["n"]
        if "alpha" in step.learn:
            shares = np.divide(masked, sums["seen"], out=alpha.copy(), where=sums["seen"] > least)
            new["alpha"] = np.clip(shares, _MASK.low, _MASK.high).T
        is_known = masked > least
        if "W" in step.learn:
            W = np.divide(sums["masked_y"], masked, out=W.copy(), where=is_known)
            new["W"] = np.where(is_known.T, (W * unit + center).T, params["W"])
        if "S" in step.learn:
            squares = sums["masked_y_y"] - W * (2 * sums["masked_y"] - W * masked)
            variances = np.divide(squares, masked, out=np.square(S), where=is_known)
            found = np.sqrt(np.maximum(variances, np.square(np.minimum(_LEAST_SPREAD, S))))
            new["S"] = np.where(is_known, np.maximum(found * unit, SMALLEST_SCALE), params["S"].T).T
        self._maximize_background(new, params, sums, step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(c, x, m, y_n)>_n."""
        of_masks = bernoulli_log(sums["masked"], sums["seen"], params["alpha"].T)
        of_glyphs, of_background = self._costs(params, sums)
        of_kinds = sums["background"][0] @ np.log(params["rho"] / params["rho"].sum())
        costs = of_glyphs.sum() + of_background.sum()
        return float(sums["counts"] @ self._log_pi(params) + of_masks.sum() + of_kinds - costs)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """H[pi], log X of each glyph, and the entropies of masks, glyphs and background as far as each was seen.

        What the M-step could not choose freely, since it is at a bound, enters by its cross entropy.
        """
        (_, S, alpha), (_, sigma, rho) = self._scaled(params), self._mixed(params)
        of_glyphs, of_background = self._costs(params, sums)
        n, least = sums["background"][0], _LEAST_SHARE * float(sums["n"])
        found = self._freely(sums["masked"], S, of_glyphs, params, least)
        found += self._freely(n, sigma, of_background, params, least) - n.sum() * (rho @ np.log(rho))
        is_free = (alpha > _MASK.low) & (alpha < _MASK.high) & (sums["seen"] > least)
        of_masks = -bernoulli_log(sums["masked"], sums["seen"], alpha)
        found += np.where(is_free, sums["seen"] * bernoulli_entropy(alpha), of_masks).sum()
        pi = params["pi"] / params["pi"].sum()
        return float(-pi @ self._log_pi(params) + found / sums["n"])

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean: glyphs where masks have them, background where not."""
        B = prepared.mean_background
        result = np.zeros((len(codes), prepared.n_observed))
        add_predictions(
            projected.values, projected.losses, prepared.numbers, prepared.means, prepared.halves, prepared.odds,
            prepared.alphas, codes, weights, B, prepared.layout.width, result,
        )  # fmt: skip
        return (result + B * weights.sum(axis=1, keepdims=True)) * prepared.unit + prepared.center

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the states (n, 1) that made them."""
        D = len(params["W"])
        states = np.searchsorted(np.cumsum(self.activity(params))[:-1], rng.random(n_rows), side="right")
        c, down, across = self._places(states)
        kinds = np.searchsorted(np.cumsum(self._mixed(params)[2])[:-1], rng.random((n_rows, D)), side="right")
        values = params["B"][kinds] + params["sigma"][kinds] * rng.standard_normal((n_rows, D))
        glyphs = np.concatenate([params["alpha"].T, np.zeros((1, D))])
        own = np.minimum(c, self.n_components - 1)
        drawn = params["W"].T[own] + params["S"].T[own] * rng.standard_normal((n_rows, D))
        width = self.layout(D).width
        is_masked = shifted((rng.random((n_rows, D)) < glyphs[c]).astype(np.float64), -down, -across, width)
        return np.where(is_masked > 0, shifted(drawn, -down, -across, width), values), states[:, None]

    def headline(self, params: NamedArrays) -> dict[str, float]:
        """The noise of what most of the background is, and as how many equally frequent glyphs all count."""
        pi = params["pi"][:-1] / params["pi"][:-1].sum()
        return {
            "sigma_paper": float(params["sigma"][np.argmax(params["rho"])]),
            "n_effective": float(np.exp(-pi @ np.log(pi))),
        }

    def _places(self, states: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        """The glyphs (n,), C for none, and by how much they are shifted down and across."""
        c, x = np.divmod(states, self.n_positions)
        down, across = self.shifts
        return c, x // across - down // 2, x % across - across // 2

    def _log_pi(self, params: NamedArrays) -> Floats:
        """(C + 1,) log probabilities of each glyph at each position, and of none."""
        log_pi = np.log(params["pi"] / params["pi"].sum())
        log_pi[:-1] -= np.log(self.n_positions)
        return np.asarray(log_pi)

    def _measure(self, params: NamedArrays) -> tuple[float, float]:
        """What values are measured from, and in; the background where learning is over and both are gone."""
        if "center" in params:
            return float(params["center"]), float(params["unit"])
        B, sigma, rho = (params[name] for name in ("B", "sigma", "rho"))
        return float(rho @ B / rho.sum()), float(2.0 ** np.round(np.log2(sigma.max())))

    def _scaled(self, params: NamedArrays) -> tuple[Floats, Floats, Floats]:
        """W, S and alpha (C, D), about the center and in units."""
        center, unit = self._measure(params)
        return (params["W"].T - center) / unit, params["S"].T / unit, params["alpha"].T

    def _mixed(self, params: NamedArrays) -> tuple[Floats, Floats, Floats]:
        """B, sigma and rho (K,), about the center and in units."""
        center, unit = self._measure(params)
        return (params["B"] - center) / unit, params["sigma"] / unit, params["rho"] / params["rho"].sum()

    def _all_background(self, projected: Projected, weights: Floats) -> Floats:
        """(4, K) how many pixels of rows of weights (n,) are of each kind if all are background, sums of these and of
        squares; and last, in the first place, their entropies."""
        kinds, y = projected.kinds * weights[:, None, None], projected.values
        found = np.zeros((4, self.n_background))
        for power in range(3):
            found[power] = np.einsum("nkp,np->k", kinds[:, :-1], y**power)
        found[3, 0] = kinds[:, -1].sum()
        return found

    def _maximize_background(self, new: NamedArrays, params: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        """Those of a mixture; a kind that no pixel is of keeps its values."""
        (B, sigma, _), (center, unit) = self._mixed(params), self._measure(params)
        n, y, y_y = sums["background"]
        is_known = n > _LEAST_SHARE * sums["n"]
        if "rho" in step.learn and is_known.any():
            new["rho"] = floored_shares(np.maximum(n, 0.0), SMALLEST_PI)
        if "B" in step.learn:
            B = np.divide(y, n, out=B.copy(), where=is_known)
            new["B"] = np.where(is_known, B * unit + center, params["B"])
        if "sigma" in step.learn:
            squares = np.divide(y_y - B * (2 * y - B * n), n, out=np.square(sigma), where=is_known)
            found = np.sqrt(np.maximum(squares, np.square(np.minimum(_LEAST_SPREAD, sigma))))
            new["sigma"] = np.where(is_known, np.maximum(found * unit, SMALLEST_SCALE), params["sigma"])

    def _costs(self, params: NamedArrays, sums: NamedArrays) -> tuple[Floats, Floats]:
        """(C, D) minus sum <log N(y; W, S²)> of what is masked, and (K,) the same of the background."""
        (W, S, _), (B, sigma, _) = self._scaled(params), self._mixed(params)
        masked = np.array([sums[name] for name in ("masked", "masked_y", "masked_y_y")])
        return self._cost(W, S, masked, params), self._cost(B, sigma, sums["background"], params)

    def _cost(self, mean: Floats, deviation: Floats, moments: Floats, params: NamedArrays) -> Floats:
        n, y, y_y = moments
        logs = 0.5 * _LOG_2PI + np.log(deviation) + np.log(self._measure(params)[1])
        return np.asarray(n * logs + 0.5 * (y_y - mean * (2 * y - mean * n)) / np.square(deviation))

    def _freely(self, n: Floats, deviation: Floats, costs: Floats, params: NamedArrays, least: float) -> float:
        """The entropies of Gaussians of which there are n, or their costs where the M-step could not choose freely."""
        is_free = (deviation > _LEAST_SPREAD * (1 + 1e-9)) & (n > least)
        own = 0.5 * (_LOG_2PI + 1) + np.log(deviation) + np.log(self._measure(params)[1])
        return float(np.where(is_free, n * own, costs).sum())

    def _shown(self, prepared: Prepared, states: NDArray[np.int64]) -> Floats:
        """(m, D) what states show on average beyond the background, in units."""
        c, down, across = self._places(states)
        layout, D = prepared.layout, prepared.n_observed
        glyphs = layout.untabled(prepared.alphas * (prepared.means - prepared.mean_background), D).T
        glyphs = np.concatenate([glyphs, np.zeros((1, D))])
        return shifted(glyphs[c], -down, -across, layout.width)
