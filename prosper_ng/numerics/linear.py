"""Linear algebra that survives singular matrices."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Floats = NDArray[np.float64]


def solve_least_change(moment: Floats, right: Floats, old: Floats) -> Floats:
    """X (D, H) with X moment = right; where the equations leave X open, the X nearest to `old`.

    `moment` (H, H) is symmetric and positive semi-definite: a latent that no state used (a zero row), or latents that
    were only ever used together, keep the part of `old` that nothing was learned about.
    """
    scale = np.sqrt(np.diagonal(moment))
    # Rows that are zero, or subnormal, say nothing; rescaling makes "singular" independent of how active latents are.
    known = scale > 1e-150
    inverse_scale = np.where(known, 1.0 / np.where(known, scale, 1.0), 0.0)
    scaled = moment * inverse_scale[:, None] * inverse_scale
    residual = (right - old @ moment) * inverse_scale
    if known.all():
        try:
            factor = linalg.cho_factor(scaled, lower=True)
        except linalg.LinAlgError:
            pass
        else:
            if np.min(np.diagonal(factor[0])) > 1e-4:
                return old + linalg.cho_solve(factor, residual.T).T * inverse_scale
    eigenvalues, vectors = linalg.eigh(scaled)
    keep = eigenvalues > 1e-11 * max(eigenvalues[-1], 0.0)
    vectors = vectors[:, keep]
    return old + ((residual @ vectors) / eigenvalues[keep]) @ vectors.T * inverse_scale
