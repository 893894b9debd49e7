"""Noisy-OR: s_h ~ Bernoulli(pi_h), p(y_d = 1 | s) = 1 - (1 - l_d) prod_h (1 - W_dh)^s_h for y_d in {0, 1}.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary: probability that a latent that is active switches an entry on |
| pi | () or (H,) | probability that a latent is active, shared or one for each |
| leak | (D,) | l, probability that an entry is on without a cause, where `leak` is on; else 1e-12 |

Each active latent tries each entry: z_dh ~ Bernoulli(W_dh), and y_d is on where any of them succeeds or the leak does.
So E[z_dh | y_d = 1, s] = W_dh / p_d(s), and 0 where y_d = 0. M-step: W = hits / tries, the share of its tries that a
latent succeeded in; leak likewise; pi the mean activity. The z are hidden besides the states: the expected log joint
is that of s and z, a bound of the free energy that touches it at the parameters of the E-step, so F never falls.
Missing entries count in neither. Šingliar and Hauskrecht, JMLR 2006; Guiraud, Drefs and Lücke, GECCO 2018.

What is off costs a sum over the active latents, which one matrix product gives for all latents; so a state costs k
times the number of entries that are on. p is made as p <- p + (1 - p) W_dh from the leak on: a sum of positive terms,
right to the last digits also where p is small, which 1 - prod (1 - W) is not.
"""

from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.models._activity import BinaryLatents
from prosper_ng.models._noisy_or import add_predictions, add_reasons, fill_log_joint, fill_neighbors
from prosper_ng.models.interface import Batch, Codes, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.numerics.constraints import BINARY, interval
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.special import bernoulli_entropy, log_odds

_LEAST = 1e-9
"""Nothing is learned below: W = 0 would stay 0, and W = 1 would forbid rows."""
_LEAST_LEAK = 1e-12
"""Keeps the log joint of a state that explains an entry by nothing finite, and the product of 16 probabilities."""
_UNUSED = 1e-12
_PROBABILITY = interval(_LEAST, 1 - _LEAST)


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    elements: Floats
    """(H, D) W transposed, so that the entries of a latent lie side by side."""
    leak: Floats
    """(D,) l."""
    log_off: Floats
    """(D, H) log(1 - W)."""
    log_alone: Floats
    """(D, H) log p(y_d = 1) where one latent alone is active."""
    log_odds: Floats
    """(H,) log p(s_h = 1) - log p(s_h = 0)."""
    log_prior_zero: float
    """log p(s = 0)."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    on: Floats
    """(n, D) 1 where an entry is on, else 0."""
    constant: Floats
    """(n,) log p(s = 0) plus what the leak leaves off."""
    linear: Floats
    """(n, H) what each active latent adds to the log joint by its prior and by the entries that are off."""
    singletons: Floats
    """(n, H) log joint of each latent alone, less `constant`."""


@component
class NoisyOR(BinaryLatents):
    """Binary latents, each of which can switch on entries of binary data."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    leak: bool = False
    """Whether entries can be on without a cause, each with a probability that is learned."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""

    support = BINARY
    is_monotone = True
    """The M-step is the maximum of a bound of the free energy that touches it."""
    identity: ClassVar[Identity] = "after M-step"
    """Both halves of that bound are in closed form."""

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, pi and, where it is on, leak."""
        W = ParameterSpec(
            (n_observed, self.n_latents), _PROBABILITY, "dictionary: probability to switch on", "dictionary"
        )
        leak = ParameterSpec((n_observed,), interval(_LEAST_LEAK, 1 - _LEAST), "probability to be on without a latent")
        return {"W": W, "pi": self._pi_spec()} | ({"leak": leak} if self.leak else {})

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """How often each latent was active, tried each entry and succeeded; how often the leak did."""
        return {
            "n": (),
            "hidden_entropy": (),
            "counts": (self.n_latents,),
            "tries": (n_observed, self.n_latents),
            "hits": (n_observed, self.n_latents),
            "n_observed": (n_observed,),
            "leaks": (n_observed,),
        }

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """W around the data mean, away from 0 and 1; pi: 1/H, at most 1/2; leak: a tenth of the mean, at most 0.05."""
        W = np.clip(moments.dictionary(self.n_latents, rng), 0.05, 0.95)
        leak = {"leak": np.clip(0.1 * moments.mean, _LEAST_LEAK, 0.05)} if self.leak else {}
        return NamedArrays.of(W=W, pi=self._initial_pi(), **leak)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Logarithms of W and log odds."""
        W, pi, leak = params["W"], self.activity(params), self._leak(params)
        log_alone = np.log(leak[:, None] + (1 - leak[:, None]) * W)
        log_prior_zero = float(np.sum(np.log1p(-pi)))
        return Prepared(np.ascontiguousarray(W.T), leak, np.log1p(-W), log_alone, log_odds(pi), log_prior_zero)

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """What is on, and what the entries that are off come to: two matrix products."""
        on = (batch.values > 0.5).astype(np.float64)
        off = (1.0 if batch.observed is None else batch.observed.astype(np.float64)) - on
        constant = prepared.log_prior_zero + off @ np.log1p(-prepared.leak)
        linear = off @ prepared.log_off + prepared.log_odds
        return Projected(on, constant, linear, linear + on @ prepared.log_alone)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y)."""
        result = np.empty(codes.shape[:2])
        fill_log_joint(
            projected.constant, projected.linear, projected.on, prepared.elements, prepared.leak, codes, result
        )
        return result

    def log_joint_of_neighbors(self, prepared: Prepared, projected: Projected, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of the states one change away from the parents."""
        found = Neighbors.unknown(self.space, neighborhood)
        fill_neighbors(
            neighborhood, projected.constant, projected.linear, projected.on, prepared.elements, prepared.leak, found
        )
        return found

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add tries and hits of a batch, and the entropy of who it was that succeeded."""
        elements, leak, on = prepared.elements, prepared.leak, projected.on
        used = weights.any(axis=1)
        means, reasons, leaks = np.zeros((len(on), self.n_latents)), np.zeros(elements.shape), np.zeros(len(leak))
        log_on = add_reasons(on, elements, leak, codes, weights, means, reasons, leaks)
        hits, leaks = (reasons * elements).T, leaks * leak
        observed = np.ones(on.shape) if batch.observed is None else batch.observed.astype(np.float64)
        sums["n"] += np.count_nonzero(used)
        sums["counts"] += means.sum(axis=0)
        sums["tries"] += observed.T @ means
        sums["hits"] += hits
        sums["n_observed"] += used @ observed
        sums["leaks"] += leaks
        of_z = np.sum(_log_tries(hits, on.T @ means, np.ascontiguousarray(elements.T), prepared.log_off))
        sums["hidden_entropy"] += log_on - of_z - np.sum(_log_tries(leaks, used @ on, leak, np.log1p(-leak)))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint; what was never tried keeps its value."""
        new = params.copy()
        shares = ("W", "hits", "tries", _LEAST), ("leak", "leaks", "n_observed", _LEAST_LEAK)
        for name, successes, attempts, least in shares:
            if name in params and name in step.learn:
                share = np.divide(sums[successes], sums[attempts], out=params[name].copy(), where=sums[attempts] > 0)
                new[name] = np.clip(share, least, 1 - _LEAST)
        self._maximize_pi(new, params, sums["counts"] / sums["n"], step)
        n_unused = np.count_nonzero(sums["counts"] <= _UNUSED * sums["n"])
        if n_unused and "W" in step.learn:
            step.notes.append(f"{n_unused} latents that no state used keep their dictionary elements")
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, z, y_n)>_n, z who it was that switched the entries on."""
        prior = self._expected_log_activity(params, sums["counts"], float(sums["n"]))
        return prior + float(np.sum(self._log_hits(params, sums)) + np.sum(self._log_leaks(params, sums)))

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """All terms of the expected log joint are of one sign, but hidden entropies as large are taken from them."""
        largest = float(np.sum(np.abs(self._log_hits(params, sums))) + np.sum(np.abs(self._log_leaks(params, sums))))
        return 256 * float(np.finfo(float).eps) * (float(sums["n"]) + largest)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h) + (1/n) sum_dh tries_dh Hb(W_dh) + (1/n) sum_d n_d Hb(l_d).

        What the M-step could not choose freely, a fixed leak or a W at its bound, enters by its cross entropy.
        """
        W, leak = params["W"], self._leak(params)
        is_free = (W > _LEAST) & (W < 1 - _LEAST)
        of_W = np.where(is_free, sums["tries"] * bernoulli_entropy(W), -self._log_hits(params, sums))
        is_free = (leak > _LEAST_LEAK) & (leak < 1 - _LEAST)
        of_leak = np.where(is_free, sums["n_observed"] * bernoulli_entropy(leak), -self._log_leaks(params, sums))
        return self._activity_entropy(params) + float((np.sum(of_W) + np.sum(of_leak)) / sums["n"])

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive probability that an entry is on."""
        result = np.zeros((len(codes), len(prepared.leak)))
        add_predictions(prepared.elements, prepared.leak, codes, weights, result)
        return result

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) of 0 and 1, and the binary states (n, H) that made them."""
        states = (rng.random((n_rows, self.n_latents)) < self.activity(params)).astype(np.int64)
        is_on = rng.random((n_rows, len(params["W"]))) < self.superimpose(params, states)
        return is_on.astype(np.float64), states

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) probabilities that an entry is on, for values (n, H) of the latents."""
        return np.asarray(-np.expm1(values @ np.log1p(-params["W"]).T + np.log1p(-self._leak(params))))

    def _leak(self, params: NamedArrays) -> Floats:
        """(D,) l, learned or fixed."""
        return params["leak"] if self.leak else np.full(len(params["W"]), _LEAST_LEAK)

    def _log_hits(self, params: NamedArrays, sums: NamedArrays) -> Floats:
        """(D, H) sum_n <log p(z_dh | s_h)>_n."""
        return _log_tries(sums["hits"], sums["tries"], params["W"], np.log1p(-params["W"]))

    def _log_leaks(self, params: NamedArrays, sums: NamedArrays) -> Floats:
        """(D,) the same of the leak."""
        leak = self._leak(params)
        return _log_tries(sums["leaks"], sums["n_observed"], leak, np.log1p(-leak))


def _log_tries(hits: Floats, tries: Floats, p: Floats, log_off: Floats) -> Floats:
    """Log probability of so many successes in so many tries."""
    return np.asarray(hits * np.log(p) + (tries - hits) * log_off)
