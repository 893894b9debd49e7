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
    U: Floats, covariance: Floats, y: Floats, places: Any, noise_variance: float, mean: Floats, variances: Floats
) -> None:
    """Posterior mean (D,) of one patch by the values y (o,) that were observed at `places` (o,), and its variances.

    y is centered by m, the mean is that of x - m, and C0 is zero; `covariance` (D, D) is U'U / g, which nobody looks at
    where o > g. `variances` is (D,), or empty where nobody wants them: they take most of the time.
    """
    if len(places) <= len(U):
        _by_values(covariance, y, places, noise_variance, mean, variances)
    else:
        _by_patches(U, y, places, noise_variance, mean, variances)


@kernel(fastmath=True)
def _by_values(
    covariance: Floats, y: Floats, places: Any, noise_variance: float, mean: Floats, variances: Floats
) -> None:
    """By the covariance C_oo + s2 I of the values that were observed: E[x] = C_xo (C_oo + s2 I)^-1 y."""
    n = len(places)
    factor = np.empty((n, n + 1))
    for i in range(n):
        row = covariance[places[i]]
        for j in range(i, n):
            factor[i, j] = row[places[j]]
        factor[i, i] += noise_variance
        factor[i, n] = y[i]
    a = _solve(factor)
    mean[:] = 0.0
    for i in range(n):
        row = covariance[places[i]]
        for d in range(len(mean)):
            mean[d] += a[i] * row[d]
    if len(variances):
        R = covariance[places]
        _forward(factor[:, :n].T, R)
        for d in range(len(variances)):
            explained = 0.0
            for i in range(n):
                explained += R[i, d] * R[i, d]
            variances[d] = max(0.0, covariance[d, d] - explained)


@kernel(fastmath=True)
def _by_patches(U: Floats, y: Floats, places: Any, noise_variance: float, mean: Floats, variances: Floats) -> None:
    """By the coefficients of the patches of the group: x = m + U'a / sqrt(g) with a ~ N(0, I)."""
    g, n_values = U.shape
    scale = 1.0 / np.sqrt(g)
    observed = np.empty((g, len(places)))
    for r in range(g):
        for o in range(len(places)):
            observed[r, o] = U[r, places[o]] * scale
    factor = np.empty((g, g + 1))
    factor[:, :g] = observed @ observed.T
    factor[:, g] = observed @ y
    for r in range(g):
        factor[r, r] += noise_variance
    a = _solve(factor)
    mean[:] = 0.0
    for r in range(g):
        for d in range(n_values):
            mean[d] += scale * U[r, d] * a[r]
    if len(variances):
        R = U * scale
        _forward(factor[:, :g].T, R)
        variances[:] = 0.0
        for r in range(g):
            for d in range(n_values):
                variances[d] += noise_variance * R[r, d] * R[r, d]


@kernel(fastmath=True)
def _solve(factor: Floats) -> Any:
    """A^-1 y (n,) for the upper triangle of A, with y in the column right of it (n, n + 1); R with R'R = A takes its
    place.

    Four rows at a time, for these matrices are small and lie in the nearest cache.
    """
    n = len(factor)
    for i in range(n):
        row, together = factor[i, i:], i - i % 4
        for p in range(0, together, 4):
            f0, f1, f2, f3 = factor[p, i:], factor[p + 1, i:], factor[p + 2, i:], factor[p + 3, i:]
            s0, s1, s2, s3 = f0[0], f1[0], f2[0], f3[0]
            for j in range(len(row)):
                row[j] -= s0 * f0[j] + s1 * f1[j] + s2 * f2[j] + s3 * f3[j]
        for p in range(together, i):
            share = factor[p, i]
            for j in range(len(row)):
                row[j] -= share * factor[p, i + j]
        scale = 1.0 / np.sqrt(row[0])
        for j in range(len(row)):
            row[j] *= scale
    a = np.empty(n)
    for i in range(n - 1, -1, -1):
        left = factor[i, n]
        for j in range(i + 1, n):
            left -= factor[i, j] * a[j]
        a[i] = left / factor[i, i]
    return a


@kernel(fastmath=True)
def _forward(factor: Any, X: Floats) -> None:
    """Replace X (g, n) by L^-1 X for a lower triangle L."""
    for i in range(len(factor)):
        for j in range(i):
            for d in range(X.shape[1]):
                X[i, d] -= factor[i, j] * X[j, d]
        for d in range(X.shape[1]):
            X[i, d] /= factor[i, i]
