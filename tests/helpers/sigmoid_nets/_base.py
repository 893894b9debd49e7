"""What the sigmoid belief nets of the tests share: s_h ~ Bernoulli(pi_h), y_d ~ Bernoulli(sigmoid((W s + b)_d))."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.interface import Batch, Codes, Floats, Moments, MStep, ParameterSpec
from prosper_ng.numerics.constraints import BINARY, REAL, interval
from prosper_ng.numerics.named_arrays import NamedArrays

SMALLEST = 1e-6


class Prepared(NamedTuple):
    """The parameters."""

    W: Floats
    b: Floats
    pi: Floats


class Projected(NamedTuple):
    """The rows, and which of their entries count."""

    values: Floats
    observed: Floats


class States(NamedTuple):
    """Weights and states (n, S, H) of a batch, the activation of each entry and its posterior mean, (n, S, D)."""

    weights: Floats
    s: Floats
    a: Floats
    y: Floats


class SigmoidNet:
    """The net but for its M-step."""

    n_latents: int
    support = BINARY

    @cached_property
    def space(self) -> LatentSpace:
        return LatentSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        return {
            "W": ParameterSpec((n_observed, self.n_latents), REAL, "weights", "dictionary"),
            "b": ParameterSpec((n_observed,), REAL, "biases"),
            "pi": ParameterSpec((self.n_latents,), interval(SMALLEST, 1 - SMALLEST), "prior probability", "activity"),
        }

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        W = rng.normal(0.0, 1.0, (len(moments.mean), self.n_latents))
        b = logit(np.clip(moments.mean, 0.02, 0.98)) - 0.15 * W.sum(axis=1)
        return NamedArrays.of(W=W, b=b, pi=np.full(self.n_latents, 0.3))

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        return Prepared(params["W"], params["b"], params["pi"])

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        observed = np.ones_like(batch.values) if batch.observed is None else batch.observed.astype(np.float64)
        return Projected(batch.values, observed)

    def activity(self, params: NamedArrays) -> Floats:
        return params["pi"]

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        s = self.space.decode(codes)
        return s @ np.log(prepared.pi) + (1 - s) @ np.log1p(-prepared.pi)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        a = self.space.decode(codes) @ prepared.W.T + prepared.b
        likely = projected.observed[:, None] * (projected.values[:, None] * a - np.logaddexp(0.0, a))
        return likely.sum(axis=2) + self.log_prior(prepared, codes)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, np.ndarray]:
        states = (rng.random((n_rows, self.n_latents)) < params["pi"]).astype(np.int64)
        p = expit(states @ params["W"].T + params["b"])
        return (rng.random(p.shape) < p).astype(np.float64), states

    def states(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> States:
        """What is expected of a batch; an entry that is missing is expected at its mean."""
        s = self.space.decode(codes).astype(np.float64)
        a = s @ prepared.W.T + prepared.b
        y = np.where(projected.observed[:, None] > 0, projected.values[:, None], expit(a))
        return States(weights, s, a, y)

    def add_counts(self, found: States, sums: NamedArrays) -> None:
        sums["n"] += np.count_nonzero(found.weights.any(axis=1))
        sums["counts"] += np.einsum("ns,nsh->h", found.weights, found.s)

    def maximize_pi(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        if "pi" in step.learn:
            new["pi"] = np.clip(sums["counts"] / sums["n"], SMALLEST, 1 - SMALLEST)
