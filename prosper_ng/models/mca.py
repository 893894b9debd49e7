"""Maximal Causes Analysis: s_h ~ Bernoulli(pi_h), y ~ N(max_h s_h W_h, sigma² I) with W >= 0.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary, not negative |
| pi | () or (H,) | probability that a latent is active, shared or one for each |
| sigma | () | standard deviation of the noise |

M-step: W_dh = sum <A_dh> y_d / sum <A_dh>, A_dh = 1 where h wins entry d, else 0; pi the mean activity; sigma² the mean
squared residual with the winners held fixed. Soft: W_dh += sum <A_dh (y_d - Wbar_d)> / sum <A_dh S_d>, A_dh the
derivative of the power mean Wbar_d, S_d = sum_h A_dh. Lücke and Sahani, JMLR 2008; Puertas, Bornschein and Lücke, NIPS
2010.
"""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.models.interface import Batch, Floats
from prosper_ng.models.maximum.kernels import Prepared, Projected
from prosper_ng.models.maximum.model import MaximumModel


@component
class MCA(MaximumModel):
    """Binary latents of which the largest shows in each entry."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    superposition: Literal["hard", "soft"] = "hard"
    """The maximum, or a power mean that comes near to it as temperature falls, with exponent 21 at 1."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of the dictionary element of a latent that no state uses."""
    order: Literal["free", "kept"] = "free"
    """Whether the order of the magnitudes of an entry may change, or stays as it is, for the last sweeps."""

    _least_temperature = 1.05
    _least_W = 0.0

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) minus what each latent alone adds to the row: -sum_d |max(W_dh, y_d) - y_d|."""
        added = [
            (projected.observed * np.maximum(element - projected.values, 0.0)).sum(axis=1)
            for element in prepared.elements
        ]
        return -np.stack(added, axis=1)
