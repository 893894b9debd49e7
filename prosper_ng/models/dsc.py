"""Discrete Sparse Coding: P(s_h = phi_k) = pi_k, y ~ N(W s + mu, sigma² I), for any finite alphabet phi with 0.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary |
| pi | (K,) or (H, K) | probabilities of the values: 0 first, then the others as configured; they count in proportion |
| sigma | () | standard deviation of the noise |
| mu | (D,) | data mean, where `data_mean` is on |

M-step: as in Binary Sparse Coding, with pi_k the mean of [s_h = phi_k]. Exarchakis and Lücke, Neural Computation 2017.
"""

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import SMALLEST_PI
from prosper_ng.models.interface import Batch, Floats, Moments, MStep, ParameterSpec
from prosper_ng.models.linear.kernels import Prepared, Projected
from prosper_ng.models.linear.model import LinearModel, prepare
from prosper_ng.numerics.constraints import Simplex
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.truncated_prior import corrected_activity


@component
class DSC(LinearModel):
    """Latents with values from any finite alphabet that add up."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    values: tuple[float, ...]
    """The alphabet: distinct numbers, 0 among them."""
    shared_pi: bool = True
    """One distribution over the values for all latents instead of one for each."""
    data_mean: bool = False
    """Whether the data have a mean mu of their own."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of the dictionary element of a latent that no state uses."""

    def __post_init__(self) -> None:
        """Raise ValueError for values that are no alphabet."""
        if 0 not in self.values or len(set(self.values)) != len(self.values) or not 2 <= len(self.values) <= 64:
            raise ValueError(f"values must be 2 to 64 distinct numbers with 0 among them, got {list(self.values)}")

    @cached_property
    def space(self) -> LatentSpace:
        """The alphabet with 0 first."""
        return LatentSpace(self.n_latents, (0.0, *(value for value in self.values if value != 0)))

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, sigma, pi and, where it is on, mu."""
        shape = (len(self.values),) if self.shared_pi else (self.n_latents, len(self.values))
        pi = ParameterSpec(shape, Simplex(SMALLEST_PI), "probabilities of the values, 0 first", "activity")
        return self._linear_parameters(n_observed) | {"pi": pi}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters at the scale of the data; a latent is active with probability 1/H, its values equally likely.

        Where values are larger than 2, W is so much smaller that their largest stays within twice that scale: from a W
        at the scale of the data only the smallest value is of use, and the others would die out.
        """
        active = 1 / max(self.n_latents, 2)
        n_nonzero = len(self.values) - 1
        pi = np.array([1 - active] + [active / n_nonzero] * n_nonzero)
        if not self.shared_pi:
            pi = np.tile(pi, (self.n_latents, 1))
        linear = self._initial_linear(moments, rng)
        linear["W"] = linear["W"] / max(1.0, float(np.abs(self.space.values).max()) / 2)
        return NamedArrays.of(**linear, pi=pi)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Gram matrix and log odds."""
        log_pi = np.log(self._probabilities(params))
        return prepare(params, log_pi[:, 1:] - log_pi[:, :1], float(np.sum(log_pi[:, 0])))

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) minus the squared residual of the best value of each latent alone, up to a constant of the row.

        Over the observed entries.
        """
        phi = self.space.values[1:]
        b, squares = self._matches(prepared, projected, batch)
        return np.asarray((2 * b[:, :, None] * phi - squares[:, :, None] * phi**2).max(axis=2))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = self._maximize_linear(params, sums, step)
        if "pi" in step.learn:
            shares = sums["counts"] / sums["n"]
            if self.shared_pi:
                shares = np.tile(shares.mean(axis=0), (self.n_latents, 1))
            if step.max_active is not None:
                active = shares.sum(axis=1)
                corrected = np.minimum(corrected_activity(active, self.activity(params), step.max_active), 1.0)
                shares = shares * (corrected / np.maximum(active, SMALLEST_PI))[:, None]
            pi = np.maximum(np.column_stack([1 - shares.sum(axis=1), shares]), SMALLEST_PI)
            pi /= pi.sum(axis=1, keepdims=True)
            new["pi"] = np.maximum(pi[0] if self.shared_pi else pi, SMALLEST_PI)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n."""
        off = sums["n"] - sums["counts"].sum(axis=1)
        counts = np.column_stack([off, sums["counts"]])
        prior = float(np.sum(counts * np.log(self._probabilities(params))))
        return prior + self._expected_log_likelihood(params, sums)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h H[pi_h] + D/2 log(2 pi e sigma²)."""
        pi = self._probabilities(params)
        return float(-np.sum(pi * np.log(pi))) + self._noise_entropy(params)

    def activity(self, params: NamedArrays) -> Floats:
        """(H,) probability that each latent is not 0."""
        return 1.0 - self._probabilities(params)[:, 0]

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the alphabet indices (n, H) of the states that made them."""
        edges = np.cumsum(self._probabilities(params), axis=1)[:, :-1]
        indices = (rng.random((n_rows, self.n_latents))[:, :, None] >= edges).sum(axis=2)
        return self._sample_given(params, indices, rng), indices

    def _probabilities(self, params: NamedArrays) -> Floats:
        """(H, K) probabilities of each latent, which sum to one."""
        pi = np.broadcast_to(params["pi"], (self.n_latents, len(self.values)))
        return pi / pi.sum(axis=1, keepdims=True)
