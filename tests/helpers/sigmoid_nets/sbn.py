"""A sigmoid belief net with an M-step in closed form, which maximizes a lower bound of the free energy.

log(1 + e^a) has curvature of 1/4 at most (Böhning and Lindsay, 1988): with t = a + 4 (y - sigmoid(a)) at the parameters
of the E-step, log p(y | a') is at least a constant + t a' / 4 - a'² / 8, and equal at a' = a.
"""

from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt
from scipy.special import expit

from prosper_ng.components import component
from prosper_ng.models.interface import Batch, Codes, Floats, Identity, MStep
from prosper_ng.numerics.linear import solve_least_change
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.special import bernoulli_entropy, bernoulli_log
from tests.helpers.sigmoid_nets._base import Prepared, Projected, SigmoidNet


@component
class SBN(SigmoidNet):
    """Its free energy is known, and never falls."""

    n_latents: Annotated[int, Gt(0)]
    """H."""
    couples_latents: bool = False
    """Whether it says that its latents depend on each other, as those of a net with more layers do."""

    is_monotone = True
    identity: ClassVar[Identity] = "at convergence"

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        k = self.n_latents + 1
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "constant": (), "noise_entropy": ()}
        return shapes | {"counts": (self.n_latents,), "t_s": (n_observed, k), "s_s": (k, k)}

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        found = self.states(prepared, projected, codes, weights)
        self.add_counts(found, sums)
        p = expit(found.a)
        t = found.a + 4 * (found.y - p)
        extended = np.concatenate([found.s, np.ones((*found.s.shape[:2], 1))], axis=2)
        sums["t_s"] += np.einsum("ns,nsd,nsh->dh", weights, t, extended, optimize=True)
        sums["s_s"] += np.einsum("ns,nsg,nsh->gh", weights, extended, extended, optimize=True)
        constants = found.a * p - np.logaddexp(0.0, found.a) - found.a**2 / 8
        sums["constant"] += np.einsum("ns,nsd->", weights, constants)
        sums["noise_entropy"] += np.einsum("ns,nsd->", weights, bernoulli_entropy(p))
        missing = 1.0 - projected.observed
        sums["hidden_entropy"] += np.einsum("ns,nd,nsd->", weights, missing, bernoulli_entropy(p), optimize=True)

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        new = params.copy()
        self.maximize_pi(new, sums, step)
        if {"W", "b"} <= step.learn:
            solution = solve_least_change(sums["s_s"], sums["t_s"], np.column_stack([params["W"], params["b"]]))
            new["W"], new["b"] = solution[:, :-1], solution[:, -1]
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        U = np.column_stack([params["W"], params["b"]])
        bound = np.vdot(sums["t_s"], U) / 4 - np.vdot(U, U @ sums["s_s"]) / 8
        prior = np.sum(bernoulli_log(sums["counts"], float(sums["n"]), params["pi"]))
        return float(bound + sums["constant"] + prior)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        return float(np.sum(bernoulli_entropy(params["pi"])) + sums["noise_entropy"] / sums["n"])
