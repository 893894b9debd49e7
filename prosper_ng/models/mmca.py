"""Maximum Magnitude Causes Analysis: s_h ~ Bernoulli(pi_h), y_d ~ N(W_dh, sigma²) with h = argmax |s_h W_dh|.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary, of either sign |
| pi | () or (H,) | probability that a latent is active, shared or one for each |
| sigma | () | standard deviation of the noise |

M-step: W_dh = sum <A_dh> y_d / sum <A_dh>, A_dh = 1 where h wins entry d, else 0; pi the mean activity; sigma² the mean
squared residual with the winners held fixed. Soft: W_dh += sum <A_dh (y_d - Wbar_d)> / sum <A_dh S_d>, A_dh the
derivative of the power mean Wbar_d, S_d = sum_h A_dh. Bornschein, Henniges and Lücke, PLoS Computational Biology 2013.
"""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.models.interface import Batch, Floats
from prosper_ng.models.maximum.kernels import Prepared, Projected
from prosper_ng.models.maximum.model import MaximumModel


@component
class MMCA(MaximumModel):
    """Binary latents of which the one of largest magnitude shows in each entry."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    superposition: Literal["hard", "soft"] = "hard"
    """The maximum, or a signed power mean that comes near to it as temperature falls, with exponent 6 at 1."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of the dictionary element of a latent that no state uses."""
    order: Literal["free", "kept"] = "free"
    """Whether the order of the magnitudes of an entry may change, or stays as it is, for the last sweeps."""

    _least_temperature = 1.2
    _least_W = -np.inf

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) minus the squared distance of each latent alone to the row: -|W_h - y|²."""
        distances = [
            (projected.observed * (projected.values - element) ** 2).sum(axis=1) for element in prepared.elements
        ]
        return -np.stack(distances, axis=1)
