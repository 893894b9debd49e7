"""Latents that are real numbers, which no one can list."""

import numpy as np
from numpy.typing import NDArray


class RealSpace:
    """H real numbers; what models of finitely many states say of theirs that has a meaning here."""

    state_type = np.float64

    def __init__(self, n_latents: int) -> None:
        """`n_latents` is H."""
        self.n_latents = n_latents
        self.values: NDArray[np.float64] = np.empty(0)
        """No alphabet."""
