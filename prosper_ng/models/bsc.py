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

from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._linear import LinearModel, Prepared, prepare
from prosper_ng.models.interface import Floats, Moments, MStep, ParameterSpec
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.special import bernoulli_entropy, bernoulli_log, gaussian_entropy, log_odds
from prosper_ng.numerics.truncated_prior import corrected_activity

SMALLEST_PI = 1e-10


@component
class BSC(LinearModel):
    """Binary latents that add up."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    data_mean: bool = False
    """Whether the data have a mean mu of their own."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of the dictionary element of a latent that no state uses."""

    @property
    def space(self) -> LatentSpace:
        """Binary latents."""
        return LatentSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, sigma, pi and, where it is on, mu."""
        shape = () if self.shared_pi else (self.n_latents,)
        pi = ParameterSpec(shape, SMALLEST_PI, 1 - SMALLEST_PI, "probability that a latent is active")
        return self._linear_parameters(n_observed) | {"pi": pi}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters at the scale of the data; pi = 1/H, at most 1/2."""
        pi = np.full(() if self.shared_pi else self.n_latents, 1 / max(self.n_latents, 2))
        return NamedArrays.of(**self._initial_linear(moments, rng), pi=pi)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Gram matrix and log odds."""
        pi = self.activity(params)
        return prepare(params, log_odds(pi)[:, None], float(np.sum(np.log1p(-pi))))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = self._maximize_linear(params, sums, step)
        if "pi" in step.learn:
            active = sums["counts"][:, 0] / sums["n"]
            pi = active.mean() if self.shared_pi else active
            if step.max_active is not None:
                pi = corrected_activity(pi, self.activity(params), step.max_active)
            new["pi"] = np.clip(pi, SMALLEST_PI, 1 - SMALLEST_PI)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n."""
        prior = bernoulli_log(sums["counts"][:, 0], sums["n"], self.activity(params))
        return float(np.sum(prior)) + self._expected_log_likelihood(params, sums)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h) + D/2 log(2 pi e sigma²)."""
        prior = float(np.sum(bernoulli_entropy(self.activity(params))))
        return prior + gaussian_entropy(float(params["sigma"]), len(params["W"]))

    def activity(self, params: NamedArrays) -> Floats:
        """(H,) pi of each latent."""
        return np.broadcast_to(params["pi"], (self.n_latents,))

    def sample(
        self, params: NamedArrays, n_rows: int, rng: np.random.Generator
    ) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = (rng.random((n_rows, self.n_latents)) < self.activity(params)).astype(np.int64)
        noise = params["sigma"] * rng.standard_normal((n_rows, len(params["W"])))
        return states @ params["W"].T + (params["mu"] if self.data_mean else 0.0) + noise, states
