"""What the sums over rows say of the factors of each component, and the best parameters given these.

Sums are over coordinates zeta = origin + root z of the factors, one pair (origin, root) for each component, so that
they mean the same whenever they were taken. Here z has the units of the prior again, z ~ N(0, I).
"""

from typing import NamedTuple

import numpy as np

from prosper_ng.models.interface import Floats
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.sharing import row_sums

_ROUNDED = 1e6 * float(np.finfo(float).eps)
"""Share of second moments below which too few digits of a variance are left."""


class Analyzers(NamedTuple):
    """Parameters by components, values from the center and in units."""

    W: Floats
    """(C, D)."""
    A: Floats
    """(C, F, D)."""
    Psi: Floats
    """(C, D)."""
    origin: Floats
    """(C, F)."""
    root: Floats
    """(C, F, F) lower triangles with a positive diagonal."""


class FactorMoments(NamedTuple):
    """Sums over rows, weighted."""

    n: Floats
    """(C, 1)."""
    y: Floats
    """(C, D)."""
    y_y: Floats
    """(C, D), or (C, 1) over all entries."""
    z: Floats
    """(C, F)."""
    z_z: Floats
    """(C, F, F)."""
    y_z: Floats
    """(C, F, D)."""

    def about(self, origin: Floats, root: Floats) -> "FactorMoments":
        """The same with root⁻¹ (z - origin) in the place of z."""
        inverse, n = np.linalg.inv(root), self.n[:, :, None]
        crossed = self.z[:, :, None] * origin[:, None]
        centered = self.z_z - crossed - crossed.swapaxes(1, 2) + n * origin[:, :, None] * origin[:, None]
        return self._replace(
            z=np.einsum("cfg,cg->cf", inverse, self.z - self.n * origin),
            z_z=inverse @ centered @ inverse.swapaxes(1, 2),
            y_z=inverse @ (self.y_z - origin[:, :, None] * self.y[:, None]),
        )

    def residual(self, W: Floats, A: Floats) -> Floats:
        """sum <(y - W - A z)²>, as `y_y`."""
        crossed = np.sum(A * (self.y_z - W[:, None] * self.z[:, :, None]), axis=1)
        explained = np.sum(A * (self.z_z @ A), axis=1)
        return np.maximum(self.y_y + self._by_noise(W * (self.n * W - 2 * self.y) - 2 * crossed + explained), 0.0)

    def _by_noise(self, parts: Floats) -> Floats:
        return parts if self.y_y.shape == parts.shape else parts.sum(axis=1, keepdims=True)


def root_of(frame: Floats) -> Floats:
    """(C, F, F) lower triangles of which frame (C, F, F) holds the logarithms on the diagonal."""
    return np.tril(frame, -1) + np.exp(np.diagonal(frame, axis1=1, axis2=2))[:, None] * np.eye(frame.shape[1])


def frame_of(root: Floats) -> Floats:
    """The inverse of `root_of`."""
    return np.tril(root, -1) + np.log(np.diagonal(root, axis1=1, axis2=2))[:, None] * np.eye(root.shape[1])


def moments_of(sums: NamedArrays, known: Analyzers) -> FactorMoments:
    """What the sums come to in units of the prior."""
    y_y = sums["y_y"].reshape(len(sums["y"]), -1)
    found = FactorMoments(sums["counts"][:, None], sums["y"], y_y, sums["z"], sums["z_z"], sums["y_z"])
    return found.about(known.origin, known.root)


def best(sums: NamedArrays, old: Analyzers, learns_W: bool, learns_A: bool) -> tuple[Analyzers, Floats]:
    """W and A of the highest expected log joint, together with mean and covariance of the factors, which become 0 and
    I; and the mean squared residual of these, (C, D), or (C, 1) over all entries.

    All components must have rows. Where the factors of all rows are so far from 0 that rounding leaves little of their
    covariance, W moves as if they were no more than N(0, I), and A waits: soon they are nearer. Else statistics would
    have no digits for ever.
    """
    moments, A, scale = moments_of(sums, old), old.A, np.tile(np.eye(old.root.shape[1]), (len(old.root), 1, 1))
    n, shift = moments.n, moments.z / moments.n if learns_W else np.zeros_like(moments.z)
    covariance = moments.z_z / n[:, :, None] - shift[:, :, None] * shift[:, None]
    told = np.linalg.eigvalsh(covariance)[:, 0] > _ROUNDED * np.trace(moments.z_z, axis1=1, axis2=2) / n[:, 0]
    shift[~told] = 0.0
    W = (moments.y - np.sum(A * (moments.z - n * shift)[:, :, None], axis=1)) / n if learns_W else old.W
    if learns_A:
        scale[told] = np.linalg.cholesky(covariance[told])
    moments = moments.about(shift, scale)
    if learns_A:
        A = np.where(told[:, None, None], (moments.y_z - W[:, None] * moments.z[:, :, None]) / n[:, :, None], A)
    origin = old.origin + np.einsum("cfg,cg->cf", old.root, shift)
    squares = moments.residual(W, A) / (moments.n * (W.shape[1] / moments.y_y.shape[1]))
    return Analyzers(W, A, old.Psi, origin, old.root @ scale), squares


def largest_energies(sums: NamedArrays, known: Analyzers) -> Floats:
    """(C,) how large the terms are of which residuals and squares of factors, in units of noise and prior, are the
    differences."""
    n = sums["counts"][:, None]
    lengths = np.sqrt(np.diagonal(sums["z_z"], axis1=1, axis2=2)) + np.sqrt(n) * np.abs(known.origin)
    lengths = np.einsum("cfg,cg->cf", np.abs(np.linalg.inv(known.root)), lengths)
    y = np.sqrt(sums["y_y"].reshape(len(n), -1))
    parts = np.sqrt(n) * np.abs(known.W) + np.einsum("cf,cfd->cd", lengths, np.abs(known.A))
    return row_sums(np.square(y + parts) / known.Psi) + row_sums(np.square(lengths))
