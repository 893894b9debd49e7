"""The prior that most models share: each latent is active with probability pi, one for all or one for each."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import LatentSpace, Layout, room_for_active, unpack
from prosper_ng.models.interface import Codes, Floats, MStep, ParameterSpec
from prosper_ng.numerics.constraints import interval
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.special import bernoulli_entropy, bernoulli_log
from prosper_ng.numerics.truncated_prior import corrected_activity

SMALLEST_PI = 1e-10

_PI = interval(SMALLEST_PI, 1 - SMALLEST_PI)


class ActivityPrior:
    """The part of a model that concerns which latents are active."""

    n_latents: int
    shared_pi: bool

    def activity(self, params: NamedArrays) -> Floats:
        """(H,) pi of each latent."""
        return np.broadcast_to(params["pi"], (self.n_latents,))

    def _draw_active(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(n, H) 1 where a latent is active, else 0."""
        return (rng.random((n_rows, self.n_latents)) < self.activity(params)).astype(np.int64)

    def _pi_spec(self) -> ParameterSpec:
        shape = () if self.shared_pi else (self.n_latents,)
        return ParameterSpec(shape, _PI, "probability that a latent is active", "activity")

    def _initial_pi(self) -> Floats:
        """1/H, at most 1/2."""
        return np.full(() if self.shared_pi else self.n_latents, 1 / max(self.n_latents, 2))

    def _maximize_pi(self, new: NamedArrays, params: NamedArrays, active: Floats, step: MStep) -> None:
        """Set pi to the mean activity (H,), corrected for what a preselection leaves out where that is asked for."""
        if "pi" not in step.learn:
            return
        pi = np.full(self.n_latents, active.mean()) if self.shared_pi else active
        if step.max_active is not None:
            pi = corrected_activity(pi, self.activity(params), step.max_active)
        new["pi"] = np.clip(pi[0] if self.shared_pi else pi, SMALLEST_PI, 1 - SMALLEST_PI)

    def _expected_log_activity(self, params: NamedArrays, counts: Floats, n_rows: float) -> float:
        """sum_n <log p(which latents are active)>_n, from the counts (H,) of active states."""
        return float(np.sum(bernoulli_log(counts, n_rows, self.activity(params))))

    def _activity_entropy(self, params: NamedArrays) -> float:
        """sum_h Hb(pi_h) in nats."""
        return float(np.sum(bernoulli_entropy(self.activity(params))))


class BinaryLatents(ActivityPrior):
    """Latents that are active or not, each for itself.

    What the model prepares has `log_odds` (H,) and `log_prior_zero`; what it projects has `singletons` (n, H).
    """

    @cached_property
    def space(self) -> LatentSpace:
        """Binary latents."""
        return LatentSpace(self.n_latents)

    def log_joint_of_singletons(self, prepared: Any, projected: Any) -> Floats:
        """(n, H, 1) log joint of each latent alone, up to a constant of the row."""
        return np.asarray(projected.singletons[:, :, None])

    def log_prior(self, prepared: Any, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        result = np.empty(codes.shape[:2])
        log_prior_of_states(prepared.log_odds[:, None], prepared.log_prior_zero, codes, self.space.layout, result)
        return result


@kernel
def log_prior_of_states(log_odds: Any, log_prior_zero: float, codes: Any, layout: Layout, result: Any) -> None:
    """Fill (n, S) with the log priors of codes (n, S, words)."""
    latents, indices = room_for_active(layout.n_latents)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            k = unpack(codes[n, s], layout, latents, indices)
            total = log_prior_zero
            for i in range(k):
                total += log_odds[latents[i], indices[i] - 1]
            result[n, s] = total
