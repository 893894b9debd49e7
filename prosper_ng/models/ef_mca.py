"""Maximal causes for any observable of the exponential family: s_h ~ Bernoulli(pi_h), y_d ~ p(.; W_dh*, V_dh*).

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary: mean of each entry where a latent wins it |
| W0 | (D,) | background: mean of each entry that no active latent exceeds |
| V, V0 | as W, W0 | second parameter of observables that have one: variance, shape, concentration |
| pi | () or (H,) | probability that a latent is active, shared or one for each |

h*(d, s) is the cause with the largest W_dh among the active latents and the background, which is always there; of
equals the first wins, the background before all. With A_dh = 1 where h wins entry d, else 0, and T the sufficient
statistics of the observable, log p(y_d; W, V) = sum_l eta_l T_l(y_d) - A(W, V) + base(y_d), the M-step is the same for
all of them:

    mean of T  =  sum <A_dh> T(y_d) / sum <A_dh>,    W and V by what the observable makes of it

with the winners held fixed, so that the free energy can fall. `order: kept` learns the best W whose entries, for each
d, are in the order in which they were: then it cannot fall, but what a latent never exceeds it never comes to exceed.
It is for the last sweeps only. Mousavi, Drefs, Hirschberger and Lücke, arXiv 2003.02214; isotonic regression: Barlow
et al., Statistical Inference under Order Restrictions, 1972.

Only observed entries enter the sums. The identity is that of Lücke and Warnken (arXiv 2209.03077), with the mean of the
base over the data in place of its expectation.
"""

from collections.abc import Set
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import OneOf, component, kind_of
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.models._activity import BinaryLatents
from prosper_ng.models._ef_mca import add_means, add_shares, fill_log_joint, fill_neighbors
from prosper_ng.models.interface import Batch, Codes, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.numerics.constraints import POSITIVE, REAL, Constraint
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.ordered_means import in_order, told_apart
from prosper_ng.numerics.special import log_odds
from prosper_ng.numerics.vectors import padded
from prosper_ng.observables.interface import Observable, pseudo_entropy

Pair = tuple[Floats, Floats | None]
"""W and V; None where the observable has no V."""

_LEAST_SHARE = 1e-12
"""What wins less than this part of the rows keeps its values."""
_FIXED = 1e12
"""How much a mean counts that is not learned, among those that must keep their order."""
_LEAST_VARIANCE = 1e-6
"""Of that of the data: one latent that wins one row would learn a variance of 0."""


class Prepared(NamedTuple):
    """What depends on the parameters only; causes are the background and the latents, in this order."""

    center: Floats
    """(D,) what values are measured from."""
    means: Floats
    """(1 + H, D') W by causes, padded."""
    natural: Floats
    """(1 + H, (L + 1) D') eta and -A by causes."""
    alone: Floats
    """(H, (L + 1) D') eta and -A of each latent where it exceeds the background, else those of this."""
    log_odds: Floats
    """(H,) log p(s_h = 1) - log p(s_h = 0)."""
    log_prior_zero: float
    """log p(s = 0)."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    facts: Floats
    """(n, (L + 1) D') T and whether an entry was observed."""
    base: Floats
    """(n,) the base of the row, over its observed entries."""
    constant: Floats
    """(n,) log p(s = 0) plus the base."""
    singletons: Floats
    """(n, H) log joint of each latent alone, less `constant`."""


@component
class EFMCA(BinaryLatents):
    """Binary latents of which the one with the largest mean shows in each entry, seen through any observable."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    observable: Annotated[Observable, OneOf("prosper_ng.observables")]
    """The distribution of an entry: poisson, normal, gamma, exponential, bernoulli or beta."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    order: Literal["free", "kept"] = "free"
    """Whether the order of the means of an entry may change, or stays as it is, for the last sweeps."""

    is_monotone = False
    """The winners are held fixed, so the free energy can fall."""
    identity: ClassVar[Identity] = "after M-step"
    """With the winners held fixed the maximum is known."""

    def __post_init__(self) -> None:
        """Raise ValueError where means of the observable cannot be learned in a given order."""
        if self.order == "kept" and self.observable.pooling(np.ones(1)) is None:
            raise ValueError(f"order: kept does not work with observable {kind_of(self.observable)}; use free")

    @property
    def support(self) -> Constraint:
        """That of the observable."""
        return self.observable.support

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W and W0, V and V0 where the observable has them, pi; and what values are measured from, and their spread."""
        shape, mean, second = (n_observed, self.n_latents), self.observable.mean, self.observable.second
        specs = {
            "W": ParameterSpec(shape, mean, "dictionary: mean where a latent wins", "dictionary"),
            "W0": ParameterSpec((n_observed,), mean, "background: mean where no latent wins", "background"),
        }
        if second is not None:
            meaning = self.observable.meaning
            specs["V"] = ParameterSpec(shape, second, f"{meaning} where a latent wins")
            specs["V0"] = ParameterSpec((n_observed,), second, f"{meaning} where no latent wins")
        specs["pi"] = self._pi_spec()
        if self.observable.shifts:
            specs["center"] = ParameterSpec((n_observed,), REAL, "what data are measured from", constant=True)
            specs["spread"] = ParameterSpec((n_observed,), POSITIVE, "standard deviation of the data", constant=True)
        return specs

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """How often each latent is active, how often each cause wins each entry, and the sum of T where it does."""
        shape: Shape = (n_observed, 1 + self.n_latents)
        return {
            "n": (),
            "hidden_entropy": (),
            "base": (),
            "counts": (self.n_latents,),
            "A": shape,
            **dict.fromkeys(self._of_T, shape),
        }

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """W around the data mean and W0 half a standard deviation below it, well inside what is legal; pi: 1/H."""
        spreads = moments.spreads
        params = {
            "W": self._inside(moments.dictionary(self.n_latents, rng, spreads), moments.mean[:, None]),
            "W0": self._inside(moments.mean - 0.5 * spreads, moments.mean),
            "pi": self._initial_pi(),
        }
        if self.observable.second is not None:
            V0 = self.observable.initial_V(np.square(spreads))
            params |= {"V": np.repeat(V0[:, None], self.n_latents, axis=1), "V0": V0}
        if self.observable.shifts:
            params |= {"center": moments.centers, "spread": spreads}
        return NamedArrays.of(**params)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Natural parameters of all causes."""
        (W, V), pi = self._causes(params), self.activity(params)
        eta, A = self.observable.natural(W, V)
        pieces = np.concatenate([eta, -A[None]]).transpose(2, 0, 1)
        exceeds = (W[:, 1:] > W[:, :1]).T[:, None]
        alone = np.where(exceeds, pieces[1:], pieces[:1])
        log_prior_zero = float(np.sum(np.log1p(-pi)))
        return Prepared(
            self._center(params), _laid_out(W.T[:, None]), _laid_out(pieces), _laid_out(alone), log_odds(pi),
            log_prior_zero,
        )  # fmt: skip

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Sufficient statistics of the rows, and all singletons by one matrix product."""
        seen = np.ones(batch.values.shape, bool) if batch.observed is None else batch.observed
        values = np.where(seen, batch.values - prepared.center, self.support.nearest(0.5))
        pieces = np.concatenate([self.observable.T(values), np.ones((1, *seen.shape))]) * seen
        base = np.sum(self.observable.base(values) * seen, axis=1)
        facts = _laid_out(pieces.swapaxes(0, 1))
        singletons = facts @ prepared.alone.T + prepared.log_odds
        return Projected(facts, base, prepared.log_prior_zero + base, singletons)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included."""
        result = np.empty(codes.shape[:2])
        fill_log_joint(
            projected.constant, projected.facts, prepared.means, prepared.natural, prepared.log_odds, codes, result
        )
        return result

    def log_joint_of_neighbors(self, prepared: Prepared, projected: Projected, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of the states one change away from the parents."""
        found = Neighbors.unknown(self.space, neighborhood)
        fill_neighbors(
            neighborhood, projected.constant, projected.facts, prepared.means, prepared.natural, prepared.log_odds,
            found,
        )  # fmt: skip
        return found

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add what each cause wins of a batch."""
        used, won = weights.any(axis=1), np.zeros_like(prepared.natural)
        add_shares(projected.facts, prepared.means, codes, weights, sums["counts"], won)
        sums["n"] += np.count_nonzero(used)
        sums["base"] += projected.base[used].sum()
        pieces = won.reshape(len(won), -1, prepared.means.shape[1])[:, :, : len(prepared.center)]
        for place, name in enumerate((*self._of_T, "A")):
            sums[name] += pieces[:, place].T

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The best parameters for the winners; what wins nothing keeps its values."""
        new = params.copy()
        self._maximize_pi(new, params, sums["counts"] / sums["n"], step)
        W, V = self._maximize_causes(params, sums, step)
        W = W + self._center(params)[:, None]
        if self.order == "kept" and V is not None:
            # Of equal means the first wins, which may have another V than the one that won.
            W = told_apart(W, np.column_stack([params["W0"], params["W"]]))
        for name, values in (("W", W), ("V", V)):
            if values is not None and name in step.learn:
                new[name] = values[:, 1:]
            if values is not None and name + "0" in step.learn:
                new[name + "0"] = values[:, 0]
        n_unused = np.count_nonzero(~self._known(sums)[:, 1:].any(axis=0))
        if n_unused and "W" in step.learn:
            step.notes.append(f"{n_unused} latents that no state used keep their dictionary elements")
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n with the winners as they were for the sums."""
        prior = self._expected_log_activity(params, sums["counts"], float(sums["n"]))
        return prior + float(sums["base"]) - float(np.sum(self._costs(params, sums)))

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h) + (1/n) [sum_dh A_dh (A - sum_l eta_l E[T_l]) - base].

        What the M-step could not choose freely, since it is at a bound, enters by its cross entropy; so does what has a
        V near its upper bound, where the terms of the entropy are so large that their rounding would show.
        """
        W, V = self._causes(params)
        is_free = (self.observable.mean.low < W) & (self.observable.mean.high > W)
        if V is not None and self.observable.second is not None:
            low, high = self.observable.second.low, self.observable.second.high / 100
            is_free &= (np.maximum(low, self._least_V(params)) < V) & (high > V)
        own = sums["A"] * pseudo_entropy(self.observable, W, V)
        of_causes = np.sum(np.where(is_free, own, self._costs(params, sums)))
        return self._activity_entropy(params) + float((of_causes - sums["base"]) / sums["n"])

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean <W_dh*>."""
        result = np.zeros((len(codes), len(prepared.center)))
        add_means(prepared.means, codes, weights, result)
        return result + prepared.center

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = self._draw_active(params, n_rows, rng)
        W, V = self._winners(params, states)
        return self.observable.draw(W, V, rng), states

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) the largest mean of the background and the latents whose values (n, H) are not 0."""
        return self._winners(params, values)[0]

    def _maximize_causes(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> Pair:
        """(D, 1 + H) W and V of all causes, about the center."""
        W, V = old = self._causes(params)
        is_known, mean_T = self._known(sums), self.observable.mean_T(W, V).copy()
        for mean, name in zip(mean_T, self._of_T, strict=True):
            np.divide(sums[name], sums["A"], out=mean, where=is_known)
        if self.order == "free":
            W, V = self._solved(mean_T, old, step.learn)
            W = np.where(is_known, W, old[0])
        else:
            best, _ = self._solved(mean_T, old, step.learn & {"W", "W0"})
            is_learned = np.array(["W0" in step.learn] + ["W" in step.learn] * self.n_latents)
            each = self.observable.pooling(V)
            assert each is not None
            counts = np.where(is_learned, sums["A"] * each, _FIXED * (sums["A"] * each).max())
            W = np.clip(in_order(best, counts, W), self.observable.mean.low, self.observable.mean.high)
            W, V = self._solved(mean_T, (W, V), step.learn - {"W", "W0"})
        if V is None or old[1] is None:
            return W, None
        return W, np.where(is_known, np.maximum(V, self._least_V(params)), old[1])

    def _solved(self, mean_T: Floats, causes: Pair, learn: Set[str]) -> Pair:
        """W and V of highest likelihood; the background's names are those of the latents with a 0 behind."""
        W, V = causes[0].copy(), None if causes[1] is None else causes[1].copy()
        for suffix, own in (("0", slice(0, 1)), ("", slice(1, None))):
            names = {name for name in ("W", "V") if name + suffix in learn}
            found = self.observable.solve(mean_T[..., own], W[:, own], None if V is None else V[:, own], names)
            W[:, own] = found[0]
            if V is not None:
                V[:, own] = found[1]
        return W, V

    @property
    def _of_T(self) -> tuple[str, ...]:
        """The names of the sums of T by causes."""
        return tuple(f"A_{name}" for name in self.observable.statistics)

    def _center(self, params: NamedArrays) -> Floats:
        """(D,) what values are measured from; the background where learning is over and its center is gone."""
        return params.get("center", params["W0"] if self.observable.shifts else np.zeros(len(params["W"])))

    def _least_V(self, params: NamedArrays) -> Floats | float:
        """(D, 1) the smallest variance that is learned."""
        return _LEAST_VARIANCE * np.square(params["spread"])[:, None] if self.observable.shifts else 0.0

    def _causes(self, params: NamedArrays) -> Pair:
        """(D, 1 + H) W about the center, and V, of the background and the latents."""
        W = np.column_stack([params["W0"], params["W"]]) - self._center(params)[:, None]
        return W, np.column_stack([params["V0"], params["V"]]) if "V" in params else None

    def _known(self, sums: NamedArrays) -> NDArray[np.bool_]:
        """(D, 1 + H) what is learned from something."""
        return np.asarray(sums["A"] > _LEAST_SHARE * sums["n"])

    def _costs(self, params: NamedArrays, sums: NamedArrays) -> Floats:
        """(D, 1 + H) sum_n <A_dh (A - sum_l eta_l T_l)>_n."""
        eta, A = self.observable.natural(*self._causes(params))
        return np.asarray(sums["A"] * A - sum(each * sums[name] for each, name in zip(eta, self._of_T, strict=True)))

    def _winners(self, params: NamedArrays, values: NDArray[Any]) -> Pair:
        """(n, D) W and V of the causes that win among the background and the latents whose values are not 0."""
        shape = (len(values), len(params["W"]))
        W, V = np.tile(params["W0"], (shape[0], 1)), np.tile(params["V0"], (shape[0], 1)) if "V0" in params else None
        for h in range(self.n_latents):
            wins = (values[:, h, None] != 0) & (params["W"][:, h] > W)
            np.copyto(W, np.broadcast_to(params["W"][:, h], shape), where=wins)
            if V is not None:
                np.copyto(V, np.broadcast_to(params["V"][:, h], shape), where=wins)
        return W, V

    def _inside(self, W: Floats, mean: Floats) -> Floats:
        """W brought inside what is legal, by a twentieth of the way from its bounds to the mean of the data."""
        low, high = self.observable.mean.low, self.observable.mean.high
        least = low + 0.05 * (mean - low) if np.isfinite(low) else low
        most = high - 0.05 * (high - mean) if np.isfinite(high) else high
        return np.clip(np.clip(W, least, most), low, high)


def _laid_out(pieces: Floats) -> Floats:
    """(m, P D') of (m, P, D), each piece padded with zeros to whole vectors."""
    m, n_pieces, n_dimensions = pieces.shape
    result = np.zeros((m, n_pieces, padded(n_dimensions)))
    result[:, :, :n_dimensions] = pieces
    return result.reshape(m, n_pieces * padded(n_dimensions))
