"""Ternary Sparse Coding: P(s_h = ±1) = pi_h / 2 each, y ~ N(W s + mu, sigma² I).

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary |
| pi | () or (H,) | probability that a latent is not 0, shared or one for each |
| sigma | () | standard deviation of the noise |
| mu | (D,) | data mean, where `data_mean` is on |

M-step: as in Binary Sparse Coding, with pi the mean of |s|. Exarchakis et al., LVA/ICA 2012. The sign of an element
and of its latent cannot be told apart: (W_h, s_h) and (-W_h, -s_h) are the same model.
"""

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import ActivityPrior
from prosper_ng.models.interface import Batch, Floats, Moments, MStep, ParameterSpec
from prosper_ng.models.linear.kernels import Prepared, Projected
from prosper_ng.models.linear.model import LinearModel, prepare
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.special import log_odds


@component
class TSC(ActivityPrior, LinearModel):
    """Latents of both signs that add up."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    data_mean: bool = False
    """Whether the data have a mean mu of their own."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of the dictionary element of a latent that no state uses."""

    @cached_property
    def space(self) -> LatentSpace:
        """Ternary latents."""
        return LatentSpace(self.n_latents, (0.0, -1.0, 1.0))

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, sigma, pi and, where it is on, mu."""
        return self._linear_parameters(n_observed) | {"pi": self._pi_spec()}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters at the scale of the data; pi = 1/H, at most 1/2."""
        return NamedArrays.of(**self._initial_linear(moments, rng), pi=self._initial_pi())

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Gram matrix and log odds."""
        pi = self.activity(params)
        odds = np.repeat((log_odds(pi) - np.log(2))[:, None], 2, axis=1)
        return prepare(params, odds, float(np.sum(np.log1p(-pi))))

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) |W_hᵀ(y - mu)| / |W_h| over the observed entries."""
        return np.abs(self._cosines(prepared, projected, batch))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = self._maximize_linear(params, sums, step)
        self._maximize_pi(new, params, sums["counts"].sum(axis=1) / sums["n"], step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n."""
        counts = sums["counts"].sum(axis=1)
        prior = self._expected_log_activity(params, counts, float(sums["n"])) - counts.sum() * np.log(2)
        return float(prior) + self._expected_log_likelihood(params, sums)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h (Hb(pi_h) + pi_h log 2) + D/2 log(2 pi e sigma²)."""
        signs = float(np.sum(self.activity(params))) * np.log(2)
        return self._activity_entropy(params) + signs + self._noise_entropy(params)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the alphabet indices (n, H), 1 for -1 and 2 for +1, of the states that made them."""
        active = self._draw_active(params, n_rows, rng)
        indices = active * rng.integers(1, 3, active.shape)
        return self._sample_given(params, indices, rng), indices
