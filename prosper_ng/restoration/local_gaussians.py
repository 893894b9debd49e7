"""Kernels for the posterior of the patches of a group under the Gaussian that belongs to it.

A group of g patches u_1..u_g of the pilot, D values each, defines x ~ N(m, U'U / g + C0): their mean m, their
covariance by the centered patches U (g, D), and a covariance C0 that all groups share. Of the same patches of the image
y = x + noise of variance s2 is known. With P = (s2 I + C0)^-1, the Cholesky factor L of g I + U P U' and R = L^-1 U P

    (s2 I + C0 + U'U / g)^-1 = P - R'R,

so that nothing larger than g by g is factorized.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

Floats = NDArray[np.float64]


@kernel(fastmath=True)
def complete_posterior(
    U: Floats, Y: Floats, noise_variance: float, precision: Floats, means: Floats, variances: Floats
) -> None:
    """Posterior means (g, D) and variances (D,) of patches without gaps; U and Y (g, D) are centered by m.

    `precision` (D, D) is P. Means are those of x - m; the variances are the same for all patches.
    """
    g, n_values = U.shape
    R = U @ precision
    _forward(np.linalg.cholesky(R @ U.T + g * np.eye(g)), R)
    residuals = Y @ precision
    residuals -= (Y @ R.T) @ R
    for t in range(g):
        for d in range(n_values):
            means[t, d] = Y[t, d] - noise_variance * residuals[t, d]
    for d in range(n_values):
        explained = 0.0
        for r in range(g):
            explained += R[r, d] * R[r, d]
        variances[d] = max(0.0, noise_variance - noise_variance**2 * (precision[d, d] - explained))


@kernel(fastmath=True)
def posterior_with_gaps(
    U: Floats, y: Floats, places: Any, noise_variance: float, mean: Floats, variances: Floats
) -> None:
    """Posterior mean (D,) of one patch by the values y (o,) that were observed at `places` (o,), and its variances.

    y is centered by m, the mean is that of x - m, and C0 is zero: x = m + U'a / sqrt(g) with a ~ N(0, I). `variances`
    is (D,), or empty where nobody wants them: they take most of the time.
    """
    g, n_values = U.shape
    scale = 1.0 / np.sqrt(g)
    observed = np.empty((g, len(places)))
    for r in range(g):
        for o in range(len(places)):
            observed[r, o] = U[r, places[o]] * scale
    factor = np.linalg.cholesky(observed @ observed.T + noise_variance * np.eye(g))
    a = (observed @ y).reshape(g, 1)
    _forward(factor, a)
    _backward(factor, a)
    mean[:] = 0.0
    for r in range(g):
        for d in range(n_values):
            mean[d] += scale * U[r, d] * a[r, 0]
    if len(variances):
        R = U * scale
        _forward(factor, R)
        variances[:] = 0.0
        for r in range(g):
            for d in range(n_values):
                variances[d] += noise_variance * R[r, d] * R[r, d]


@kernel(fastmath=True)
def _forward(factor: Floats, X: Floats) -> None:
    """Replace X (g, n) by L^-1 X for a lower triangle L."""
    for i in range(len(factor)):
        for j in range(i):
            for d in range(X.shape[1]):
                X[i, d] -= factor[i, j] * X[j, d]
        for d in range(X.shape[1]):
            X[i, d] /= factor[i, i]


@kernel(fastmath=True)
def _backward(factor: Floats, X: Floats) -> None:
    """Replace X (g, n) by L'^-1 X for a lower triangle L."""
    for i in range(len(factor) - 1, -1, -1):
        for j in range(i + 1, len(factor)):
            for d in range(X.shape[1]):
                X[i, d] -= factor[j, i] * X[j, d]
        for d in range(X.shape[1]):
            X[i, d] /= factor[i, i]
