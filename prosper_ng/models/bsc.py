"""Binary Sparse Coding: s_h ~ Bernoulli(pi_h), y ~ N(W s + mu, sigma² I).

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary |
| pi | () or (H,) | probability that a latent is active, shared or one for each |
| sigma | () | standard deviation of the noise |
| mu | (D,) | data mean, where `data_mean` is on |

M-step: W = (sum y<s>ᵀ)(sum <s sᵀ>)⁻¹, with mu as the weight of a latent that is always on; pi the mean activity;
sigma² the mean squared residual at the new W. Haft, Hofmann and Tresp (2004); Henniges et al., LVA/ICA 2010.
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
class BSC(ActivityPrior, LinearModel):
    """Binary latents that add up."""

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
        """Binary latents."""
        return LatentSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, sigma, pi and, where it is on, mu."""
        return self._linear_parameters(n_observed) | {"pi": self._pi_spec()}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters at the scale of the data; pi = 1/H, at most 1/2."""
        return NamedArrays.of(**self._initial_linear(moments, rng), pi=self._initial_pi())

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Gram matrix and log odds."""
        pi = self.activity(params)
        return prepare(params, log_odds(pi)[:, None], float(np.sum(np.log1p(-pi))))

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) W_hᵀ(y - mu) / |W_h| over observed entries, the selection function of Lücke and Eggert (JMLR 2010)."""
        return self._cosines(prepared, projected, batch)

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = self._maximize_linear(params, sums, step)
        self._maximize_pi(new, params, sums["counts"][:, 0] / sums["n"], step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n."""
        prior = self._expected_log_activity(params, sums["counts"][:, 0], float(sums["n"]))
        return prior + self._expected_log_likelihood(params, sums)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h) + D/2 log(2 pi e sigma²)."""
        return self._activity_entropy(params) + self._noise_entropy(params)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = self._draw_active(params, n_rows, rng)
        return self._sample_given(params, states, rng), states
