"""Sigmoid belief nets of one or two layers: p(y_d = 1 | s) = sigmoid((W s + b)_d) for y_d in {0, 1}.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H1) | dictionary: what an active latent adds to the log odds of each entry |
| b | (D,) | biases: the log odds of entries where no latent is active |
| M | (H1, H2) | what an active latent of the top layer adds to the log odds of each one below |
| c | (H1,) | biases of the lower layer |
| pi | (H,) or (H2,) | probability that a latent is active; of the top layer where there are two |

One layer: s_h ~ Bernoulli(pi_h). Two: s = (s1, s2), s2 ~ Bernoulli(pi), s1_h ~ Bernoulli(sigmoid((M s2 + c)_h)), and y
sees s1 alone. Neal, Artificial Intelligence 1992; Saul, Jaakkola and Jordan, JAIR 1996.

log(1 + exp(a)) has a curvature of 1/4 at most (Böhning and Lindsay, 1988). So with the pseudo-target
t = a + 4 (y - sigmoid(a)) at the parameters of the E-step, log p(y | a') is at least a constant + t a' / 4 - a'² / 8
for all a', and equal at a' = a. M-step: [W b] goes `relaxation` times as far as to the maximum of this bound,
(sum <t (s, 1)ᵀ>)(sum <(s, 1)(s, 1)ᵀ>)⁻¹, and [M c] likewise with s1 for y; a quadratic bound does not fall up to twice
as far. pi is the mean activity. A missing entry has t = a. The weights stay within ±50, since those of data that can be
told apart without error grow without end.
"""

from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import scipy
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.latents.moments import add_moments
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import SMALLEST_PI
from prosper_ng.models._sbn import add_predictions, add_targets, fill_log_joint, fill_log_prior, fill_neighbors
from prosper_ng.models.interface import Batch, Codes, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.numerics.constraints import BINARY, REAL, interval
from prosper_ng.numerics.linear import diagonal_of_packed, packed, times_symmetric, unpacked
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, Triangle, packed_size
from prosper_ng.numerics.quadratic_bounds import climb
from prosper_ng.numerics.special import bernoulli_entropy, bernoulli_log, log_odds
from prosper_ng.numerics.truncated_prior import corrected_activity

_LARGEST = 50.0
"""In magnitude, of a weight: log odds that no data can tell from certainty."""
_PI = interval(SMALLEST_PI, 1 - SMALLEST_PI)
_UNUSED = 1e-12
_SPREAD = 2.0
"""Standard deviation of the first weights."""


class Prepared(NamedTuple):
    """What depends on the parameters only, as kernels take it."""

    elements: Floats
    """(H1, D) W transposed, so that the entries of a latent lie side by side."""
    bias: Floats
    """(D,) b."""
    tops: Floats
    """(H2, H1) M transposed."""
    top_bias: Floats
    """(H1,) c; not used where there is one layer."""
    log_odds: Floats
    """(H,) log p(s_h = 1) - log p(s_h = 0); 0 where the top layer decides."""
    log_prior_zero: float
    """log p(s = 0) of the latents without parents."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    signs: Floats
    """(n, D) 1 where an entry is on, -1 where it is off, 0 where it was not observed."""


class _Layer(NamedTuple):
    """The names of what belongs to a layer: weights and biases, and their statistics."""

    weights: str
    bias: str
    targets: str
    moments: str


_LOWER, _TOP = _Layer("W", "b", "t_s", "s_s"), _Layer("M", "c", "t_top", "s_top")


@component
class SBN:
    """Binary latents whose weighted sum gives the log odds of binary data."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents, those of all layers."""
    n_top: Annotated[int, Ge(0)] = 0
    """H2, how many of them are a second layer, which decides how probable the others are; 0 for a single layer."""
    relaxation: Annotated[float, Gt(0), Lt(2)] = 1.9
    """How far weights and biases go, in steps to the maximum of the bound; above 1 takes fewer sweeps."""

    support = BINARY
    is_monotone = True
    """The M-step never lowers a bound of the free energy that touches it."""
    identity: ClassVar[Identity] = "at convergence"
    """Where the bound cannot be raised any more, the slope in W and b is zero."""
    flips_latents = True
    """A latent for its opposite: -W_h, b + W_h and 1 - pi_h make the same data."""

    def __post_init__(self) -> None:
        """Raise ValueError where no latents are left for the lower layer."""
        if self.n_top >= self.n_latents:
            raise ValueError(
                f"n_top, how many of the latents are a second layer, must be below n_latents, which is "
                f"{self.n_latents}, not {self.n_top}"
            )

    @property
    def couples_latents(self) -> bool:
        """Where there are two layers."""
        return self.n_top > 0

    @cached_property
    def space(self) -> LatentSpace:
        """Binary latents, the lower layer first."""
        return LatentSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, b and pi; with two layers M and c."""
        H1, H2 = self._n_lower, self.n_top
        bounded = interval(-_LARGEST, _LARGEST, typical=(-3.0, 3.0))
        W = ParameterSpec((n_observed, H1), bounded, "dictionary: log odds that a latent adds", "dictionary")
        found = {"W": W, "b": ParameterSpec((n_observed,), REAL, "biases of the data")}
        if H2:
            found["M"] = ParameterSpec((H1, H2), bounded, "weights of the top layer")
            found["c"] = ParameterSpec((H1,), REAL, "biases of the lower layer")
        pi = ParameterSpec((self._n_roots,), _PI, "probability that a latent without parents is active", "activity")
        return found | {"pi": pi}

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Pseudo-targets with states, states with states, a 1 after the last latent; what the bound holds besides."""
        H1, H2 = self._n_lower, self.n_top
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "noise_entropy": (), "constant": ()}
        shapes |= {"t_s": (n_observed, H1 + 1), "s_s": Triangle(H1 + 1)}
        return shapes | ({"t_top": (H1, H2 + 1), "s_top": Triangle(H2 + 1)} if H2 else {})

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """pi = 1/H, at most 1/2; weights that make of an entry what it seldom is; biases such that means are kept.

        So all latents stand for what is there, none for what is not there: where W may have either sign at first, much
        fewer starts find all causes.
        """
        H1, mean = self._n_lower, np.clip(moments.mean, 0.02, 0.98)
        W = _SPREAD * moments.directions(H1, rng)
        if not len(moments.elements):  # which else are noise of a quarter
            W = np.where(mean > 0.5, -4.0, 4.0)[:, None] * np.abs(W)
        W = np.clip(W, -_LARGEST, _LARGEST)
        active = 1 / max(H1, 2)
        found = {"W": W, "b": log_odds(mean) - active * W.sum(axis=1)}
        if self.n_top:
            M, of_top = np.abs(rng.standard_normal((H1, self.n_top))), 1 / max(self.n_top, 2)
            found |= {"M": M, "c": log_odds(active) - of_top * M.sum(axis=1)}
        return NamedArrays.of(**found, pi=np.full(self._n_roots, 1 / max(self._n_roots, 2)))

    def activity(self, params: NamedArrays) -> Floats:
        """(H,) pi; of the lower of two layers about its mean, as if what the top layer adds were normal.

        E[sigmoid(x)] is about sigmoid(mean / sqrt(1 + pi variance / 8)), pi the number.
        """
        pi = params["pi"]
        if not self.n_top:
            return pi
        mean, variance = params["M"] @ pi + params["c"], params["M"] ** 2 @ (pi * (1 - pi))
        lower = scipy.special.expit(mean / np.sqrt(1 + np.pi * variance / 8))
        return np.concatenate([lower, pi])

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Transposed weights and log odds."""
        pi, H1 = params["pi"], self._n_lower
        elements = np.ascontiguousarray(params["W"].T)
        log_prior_zero = float(np.sum(np.log1p(-pi)))
        if not self.n_top:
            none = np.zeros((0, H1))
            return Prepared(elements, params["b"], none, np.zeros(H1), log_odds(pi), log_prior_zero)
        odds = np.concatenate([np.zeros(H1), log_odds(pi)])
        return Prepared(
            elements, params["b"], np.ascontiguousarray(params["M"].T), params["c"], odds, log_prior_zero
        )  # fmt: skip

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """The rows as signs."""
        signs = np.where(batch.values > 0.5, 1.0, -1.0)
        return Projected(signs if batch.observed is None else np.where(batch.observed, signs, 0.0))

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y)."""
        result = np.empty(codes.shape[:2])
        fill_log_joint(prepared, projected.signs, codes, result)
        return result

    def log_joint_of_singletons(self, prepared: Prepared, projected: Projected) -> Floats:
        """(n, H, 1) up to a constant of the row: two matrix products."""
        signs, a = projected.signs, prepared.bias + prepared.elements
        likelihood = (signs > 0) @ a.T - np.abs(signs) @ np.logaddexp(0.0, a).T
        if not self.n_top:
            return (likelihood + prepared.log_odds)[:, :, None]
        of_none = (signs > 0) @ prepared.bias - np.abs(signs) @ np.logaddexp(0.0, prepared.bias)
        c, H1 = prepared.top_bias, self._n_lower
        off = np.logaddexp(0.0, c).sum() - np.logaddexp(0.0, c + prepared.tops).sum(axis=1)
        tops = np.broadcast_to(prepared.log_odds[H1:] + off, (len(signs), self.n_top))
        return np.concatenate([likelihood - of_none[:, None] + c, tops], axis=1)[:, :, None]

    def log_joint_of_neighbors(self, prepared: Prepared, projected: Projected, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of the states one change away from the parents."""
        found = Neighbors.unknown(self.space, neighborhood)
        fill_neighbors(neighborhood, prepared, projected.signs, found)
        return found

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        result = np.empty(codes.shape[:2])
        fill_log_prior(prepared, codes, result)
        return result

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the bound at these parameters: the sums of its linear and quadratic terms, and its constant."""
        H1, H = self._n_lower, self.n_latents
        n = float(np.count_nonzero(weights.any(axis=1)))
        means, counts, second = np.empty((len(codes), H)), np.zeros((H, 1)), np.zeros(packed_size(H))
        add_moments(codes, weights, self.space.values, self.space.layout, means, counts, second)
        targets, of_lower = np.zeros((H1 + 1, len(prepared.bias))), np.zeros((self.n_top + 1, H1))
        entropy, squares = add_targets(prepared, projected.signs, codes, weights, targets, of_lower)
        sums["n"] += n
        sums["noise_entropy"] += entropy
        sums["constant"] -= entropy + squares / 8
        sums["t_s"] += targets.T
        sums["s_s"] += np.concatenate([second[: packed_size(H1)], counts[:H1, 0], [n]])
        if self.n_top:
            of_top = packed(np.ascontiguousarray(unpacked(second)[H1:, H1:]))
            sums["t_top"] += of_lower.T
            sums["s_top"] += np.concatenate([of_top, counts[H1:, 0], [n]])

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """Parameters of a higher bound; what no state used keeps its weights."""
        new = params.copy()
        for layer in self._layers:
            learned = layer.weights in step.learn, layer.bias in step.learn
            if any(learned):
                old = np.column_stack([params[layer.weights], params[layer.bias]])
                found = climb(old, sums[layer.targets], sums[layer.moments], learned, self.relaxation, _LARGEST)
                new[layer.weights], new[layer.bias] = found[:, :-1], found[:, -1]
                step.notes.extend(_notes(layer, new, sums, learned[0]))
        if "pi" in step.learn:
            pi = self._root_counts(sums) / sums["n"]
            if step.max_active is not None and not self.n_top:
                pi = corrected_activity(pi, params["pi"], step.max_active)
            new["pi"] = np.clip(pi, SMALLEST_PI, 1 - SMALLEST_PI)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n, bounded from below as the module says."""
        total = float(sums["constant"]) + self._log_prior_of_roots(params, sums)
        for layer in self._layers:
            U = np.column_stack([params[layer.weights], params[layer.bias]])
            total += float(np.vdot(sums[layer.targets], U) / 4)
            total -= float(np.vdot(U, times_symmetric(U, sums[layer.moments])) / 8)
        return total

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Of the terms that the bound is the difference of; |<s_g s_h>|² <= <s_g²> <s_h²> spares a large product."""
        largest = abs(float(sums["constant"])) + abs(self._log_prior_of_roots(params, sums))
        for layer in self._layers:
            U = np.abs(np.column_stack([params[layer.weights], params[layer.bias]]))
            largest += float(np.vdot(np.abs(sums[layer.targets]), U) / 4)
            largest += float(np.sum((U @ np.sqrt(diagonal_of_packed(sums[layer.moments]))) ** 2) / 8)
        return 256 * float(np.finfo(float).eps) * (float(sums["n"]) + largest)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h) + (1/n) sum <Hb(sigmoid(a_d))>, of the lower of two layers as of the data."""
        return float(np.sum(bernoulli_entropy(params["pi"])) + sums["noise_entropy"] / sums["n"])

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive probability that an entry is on."""
        result = np.zeros((len(codes), len(prepared.bias)))
        add_predictions(prepared, codes, weights, result)
        return result

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) of 0 and 1, and the binary states (n, H) that made them, the lower layer first."""
        states = (rng.random((n_rows, self._n_roots)) < params["pi"]).astype(np.int64)
        if self.n_top:
            p = scipy.special.expit(states @ params["M"].T + params["c"])
            states = np.concatenate([(rng.random(p.shape) < p).astype(np.int64), states], axis=1)
        is_on = rng.random((n_rows, len(params["b"]))) < self.superimpose(params, states)
        return is_on.astype(np.float64), states

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) probabilities that an entry is on, for values (n, H) of the latents."""
        return np.asarray(scipy.special.expit(values[:, : self._n_lower] @ params["W"].T + params["b"]))

    @property
    def _n_lower(self) -> int:
        """H1, how many latents the data see."""
        return self.n_latents - self.n_top

    @property
    def _n_roots(self) -> int:
        """How many latents have no parents."""
        return self.n_top or self.n_latents

    @property
    def _layers(self) -> tuple[_Layer, ...]:
        return (_LOWER, _TOP) if self.n_top else (_LOWER,)

    def _root_counts(self, sums: NamedArrays) -> Floats:
        """sum <s_h> of the latents without parents."""
        return diagonal_of_packed(sums[self._layers[-1].moments])[:-1]

    def _log_prior_of_roots(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p> of the latents without parents."""
        return float(np.sum(bernoulli_log(self._root_counts(sums), float(sums["n"]), params["pi"])))


def _notes(layer: _Layer, params: NamedArrays, sums: NamedArrays, learned: bool) -> list[str]:
    """What users should hear of weights that were learned."""
    counts = diagonal_of_packed(sums[layer.moments])[:-1]
    n_unused = np.count_nonzero(counts <= _UNUSED * sums["n"])
    n_bound = np.count_nonzero(np.abs(params[layer.weights]) >= _LARGEST)
    notes = []
    if n_unused:
        notes.append(f"{n_unused} latents that no state used keep their weights in {layer.weights}")
    if n_bound:
        notes.append(f"{n_bound} weights in {layer.weights} have reached {_LARGEST:g} in magnitude, the most there is")
    return notes if learned else []
