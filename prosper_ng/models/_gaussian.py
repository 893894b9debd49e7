"""Gaussian parts of a model: noise around W z, also for rows that miss some entries, and slabs, the amplitudes z.

A covariance goes by its factor: the standard deviations (D,), or the lower Cholesky factor (D, D).
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.models.interface import SCALE, SMALLEST_SCALE, Floats, MStep, ParameterSpec
from prosper_ng.numerics.cholesky import at_least, positive_definite
from prosper_ng.numerics.constraints import COVARIANCE, REAL, interval
from prosper_ng.numerics.linear import diagonal_of_packed, packed, times_symmetric, unpacked
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, Triangle, packed_size

SMALLEST_VARIANCE = 1e-200
UNUSED = 1e-12

# Shares of second moments, and of the variances of single slabs, below which variances are rounding errors.
_NARROWEST = 1e-12
_NARROWEST_NOISE = 1e-13
_NARROWEST_JOINT = 1e-6

_EPS = float(np.finfo(float).eps)
_LOG_2PI = float(np.log(2 * np.pi))


class Piece(NamedTuple):
    """Rows that see the same noise, K of the D entries."""

    rows: Any
    """Their numbers in the batch, or a slice."""
    known: NDArray[np.bool_]
    """(D,) the entries they have, all that they have in common where the noise is independent."""
    factor: Floats
    """(K,) or (K, K) factor of the covariance of these."""
    gain: Floats
    """(M, K) the noise of the other entries is expected at `gain` times that of the known ones."""
    remainder: Floats
    """(M, M) covariance of the noise of the other entries around that."""

    @property
    def is_whole(self) -> bool:
        """Whether the noise is that of all D entries."""
        return bool(self.known.all())


def pieces(factor: Floats, covariance: Floats, observed: Floats) -> Iterator[Piece]:
    """A batch cut into rows that see the same noise; `observed` (n, D), or (0, D) where nothing is missing.

    Independent noise is the same for all rows, whatever they miss; else rows with the same missing entries go together.
    The covariance (D, D) is needed for noise that is not independent.
    """
    whole = Piece(slice(None), np.ones(len(factor), bool), factor, np.empty((0, len(factor))), np.empty((0, 0)))
    if factor.ndim == 1 or len(observed) == 0:
        yield whole
        return
    distinct, group = np.unique(observed != 0, axis=0, return_inverse=True)
    for number, known in enumerate(distinct):
        rows = np.flatnonzero(group.ravel() == number)
        yield whole._replace(rows=rows) if known.all() else Piece(rows, known, *_condition(covariance, known))


def _condition(covariance: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Factor of the known entries; gain and remainder of the others."""
    across, rest = covariance[np.ix_(~known, known)], covariance[np.ix_(~known, ~known)]
    if not known.any():
        return np.empty((0, 0)), across, rest
    own = scipy.linalg.cholesky(covariance[np.ix_(known, known)], lower=True)
    whitened = whiten(own, across)
    gain = scipy.linalg.solve_triangular(own, whitened.T, lower=True, trans="T").T
    return own, gain, rest - whitened @ whitened.T


def whiten(factor: Floats, rows: Floats) -> Floats:
    """Rows (n, D) in units of the noise, in which it is independent and has unit variance."""
    if factor.ndim == 1:
        return rows / factor
    if rows.size == 0:
        return rows.copy()
    return np.ascontiguousarray(scipy.linalg.solve_triangular(factor, rows.T, lower=True).T)


def scales(factor: Floats) -> Floats:
    """(D,) numbers whose product is the root of the determinant of the covariance."""
    return factor if factor.ndim == 1 else np.diagonal(factor)


def entropies(factor: Floats) -> Floats:
    """(D,) numbers whose sum is the entropy in nats of a Gaussian with this factor; of each entry where independent."""
    return 0.5 * (_LOG_2PI + 1.0) + np.log(scales(factor))


def cholesky(covariance: Floats) -> Floats:
    """The lower Cholesky factor of a covariance, or of the nearest positive definite one."""
    return np.asarray(scipy.linalg.cholesky(positive_definite(covariance), lower=True))


def log_density(factor: Floats, whitened: Floats, observed: Floats) -> Floats:
    """(n,) log density of whitened rows, over the observed (n, D) entries, or all where (0, D) are given."""
    logs = 0.5 * _LOG_2PI + np.log(scales(factor))
    energy = 0.5 * np.einsum("nd,nd->n", whitened, whitened)
    return -energy - (observed @ logs if len(observed) else logs.sum())


def completed(
    piece: Piece, values: Floats, W: Floats, means: Floats, second: Floats, n_rows: int
) -> tuple[Floats, Floats]:
    """sum <y yᵀ> (D, D) and sum <y zᵀ> (D, H) over rows (n, D) with missing entries, which the noise correlates.

    means (n, H) are <z>, second (H, H) the sum of <z zᵀ>, n_rows how many rows count. Given z, a missing y is Gaussian
    around W z + gain (y - W z) of the known entries.
    """
    known = piece.known
    offset, slope = np.zeros_like(values), np.zeros_like(W)
    offset[:, known] = values[:, known]
    offset[:, ~known] = values[:, known] @ piece.gain.T
    slope[~known] = W[~known] - piece.gain @ W[known]
    crossed = offset.T @ means @ slope.T
    y_y = offset.T @ offset + crossed + crossed.T + slope @ second @ slope.T
    y_y[np.ix_(~known, ~known)] += n_rows * piece.remainder
    return y_y, offset.T @ means + slope @ second


class GaussianNoise:
    """The part of a model that concerns y ~ N(W z, Sigma), with the moments `y_y`, `y_sz`, `szsz` of y and z."""

    noise: Literal["scalar", "diagonal", "full"]

    def _noise_specs(self, n_observed: int) -> dict[str, ParameterSpec]:
        if self.noise == "full":
            shape: Shape = (n_observed, n_observed)
            return {"Sigma": ParameterSpec(shape, COVARIANCE, "covariance of the noise", "noise")}
        shape = (n_observed,) if self.noise == "diagonal" else ()
        return {"sigma": ParameterSpec(shape, SCALE, "standard deviation of the noise", "noise")}

    def _initial_noise(self, scales: Floats) -> dict[str, Floats]:
        """Independent noise of these standard deviations (D,), which are all the same for scalar noise."""
        if self.noise == "full":
            return {"Sigma": np.diag(scales**2)}
        return {"sigma": scales if self.noise == "diagonal" else scales[0]}

    def _noise_factor(self, params: NamedArrays) -> Floats:
        """(D,) standard deviations, or the (D, D) Cholesky factor of the covariance."""
        if self.noise == "full":
            return cholesky(params["Sigma"])
        return np.broadcast_to(params["sigma"], len(params["W"]))

    def _noise_statistics(self, n_observed: int) -> dict[str, Shape]:
        # Packed, since entries of a vector are summed apart: a product of two columns has units of its own.
        shapes: dict[str, Shape] = {"scalar": (), "diagonal": (n_observed,), "full": (packed_size(n_observed),)}
        return {"y_y": shapes[self.noise]}

    def _squares(self, values: Floats) -> Floats:
        """sum y yᵀ over rows (n, D), packed, or as much of it as the noise needs."""
        if self.noise == "full":
            return packed(values.T @ values)
        squares = np.einsum("nd,nd->d", values, values)
        return np.asarray(squares if self.noise == "diagonal" else squares.sum())

    def _maximize_noise(self, new: NamedArrays, sums: NamedArrays) -> None:
        """Set the covariance to the mean squared residual at the new W."""
        predicted = times_symmetric(new["W"], sums["szsz"])
        moment = self._residual_moment(new, sums, predicted) / float(sums["n"])
        least = self._least_noise(new, sums, predicted)
        if self.noise == "full":
            new["Sigma"] = at_least(moment, least)
        elif self.noise == "diagonal":
            new["sigma"] = np.sqrt(np.maximum(moment, least))
        else:
            new["sigma"] = np.sqrt(np.maximum(moment / len(least), least.mean()))

    def _least_noise(self, params: NamedArrays, sums: NamedArrays, predicted: Floats) -> Floats:
        """(D,) variances below which rounding, of residuals and of posterior slabs, leaves nothing to be learned."""
        W = params["W"]
        rounded = 4 * _EPS * np.abs(np.einsum("dh,dh->d", W, predicted)) / float(sums["n"])
        return np.maximum(np.maximum(_NARROWEST_NOISE * self._mean_squares(sums), rounded), SMALLEST_SCALE**2)

    def _mean_squares(self, sums: NamedArrays) -> Floats:
        """(D,) mean of y_d² over rows; over dimensions too for scalar noise, and where a dimension is always 0."""
        n_rows, D = float(sums["n"]), len(sums["y_sz"])
        own = self._own_squares(sums)
        overall = np.full(D, float(np.sum(own)) / (n_rows * D))
        return overall if self.noise == "scalar" else np.where(own > 0, own / n_rows, overall)

    def _own_squares(self, sums: NamedArrays) -> Floats:
        """(D,) sum of y_d², or () over all dimensions where the noise has one variance."""
        return diagonal_of_packed(sums["y_y"]) if self.noise == "full" else sums["y_y"]

    def _residual_moment(self, params: NamedArrays, sums: NamedArrays, predicted: Floats) -> Floats:
        """sum_n <(y - W z)(y - W z)ᵀ>_n, or as much of it as the noise needs; predicted (D, H) is W sum <z zᵀ>."""
        W, y_y, y_sz = params["W"], sums["y_y"], sums["y_sz"]
        if self.noise == "full":
            crossed = y_sz @ W.T
            return np.asarray(unpacked(y_y) - crossed - crossed.T + predicted @ W.T)
        parts = np.einsum("dh,dh->d", W, predicted - 2 * y_sz)
        return np.asarray(y_y + (parts if self.noise == "diagonal" else parts.sum()))

    def _expected_log_likelihood(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(y_n | z)>_n."""
        factor, predicted = self._noise_factor(params), times_symmetric(params["W"], sums["szsz"])
        moment = self._residual_moment(params, sums, predicted)
        constants = float(sums["n"]) * (0.5 * len(params["W"]) * _LOG_2PI + float(np.sum(np.log(scales(factor)))))
        if self.noise == "full":
            return -constants - 0.5 * float(np.trace(whiten(factor, whiten(factor, moment).T)))
        return -constants - 0.5 * float(np.sum(moment / params["sigma"] ** 2))

    def _largest_noise_energy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """How large the terms are of which the squared residual, in units of the noise, is the difference.

        The bound |<z_h z_k>|² <= <z_h²> <z_k²> spares a product of large matrices.
        """
        W, y_y = params["W"], self._own_squares(sums)
        predicted = (np.abs(W) @ np.sqrt(diagonal_of_packed(sums["szsz"]))) ** 2
        if self.noise != "full":
            together = y_y + (predicted if self.noise == "diagonal" else predicted.sum())
            return float(np.sum(together / params["sigma"] ** 2))
        factor = self._noise_factor(params)
        variances = np.einsum("de,de->d", factor, factor)
        # How much less each entry varies once all others are known: rounding grows by that.
        inflation = variances @ np.diagonal(scipy.linalg.cho_solve((factor, True), np.eye(len(W))))
        return float(inflation * np.sum((y_y + predicted) / variances))

    def _noise_entropy(self, params: NamedArrays) -> float:
        """½ log |2 pi e Sigma|."""
        return float(np.sum(entropies(self._noise_factor(params))))

    def _draw_noise(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> Floats:
        """(n, D) noise."""
        factor, white = self._noise_factor(params), rng.standard_normal((n_rows, len(params["W"])))
        return white * factor if factor.ndim == 1 else white @ factor.T


class GaussianSlabs:
    """The part of a model that concerns z ~ N(mu, Psi), with the moments `s`, `sz`, `szsz`, `z`, `zz`.

    Where slabs are independent, only those of active latents count; where Psi is full all do, by `z` and `zz`.
    """

    n_latents: int
    slab: Literal["diagonal", "full"]

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) W (s * z) for amplitudes of the latents (n, H), 0 where these are not active."""
        return np.asarray(values @ params["W"].T)

    def _slab_specs(self) -> dict[str, ParameterSpec]:
        H = self.n_latents
        means = {"mu": ParameterSpec((H,), REAL, "means of the slabs")}
        if self.slab == "full":
            return means | {"Psi": ParameterSpec((H, H), COVARIANCE, "covariance of the slabs")}
        return means | {"psi": ParameterSpec((H,), interval(SMALLEST_VARIANCE, np.inf), "variances of the slabs")}

    def _initial_slabs(self) -> dict[str, Floats]:
        """Mean and variance 1, no correlation."""
        H = self.n_latents
        return {"mu": np.ones(H)} | ({"Psi": np.eye(H)} if self.slab == "full" else {"psi": np.ones(H)})

    def _slab_statistics(self) -> dict[str, Shape]:
        H = self.n_latents
        shapes: dict[str, Shape] = {"s": (H,), "sz": (H,), "szsz": Triangle(H)}
        return shapes | ({"z": (H,), "zz": (H, H)} if self.slab == "full" else {})

    def _slab_variances(self, params: NamedArrays) -> Floats:
        """(H,)."""
        return np.diagonal(params["Psi"]) if self.slab == "full" else params["psi"]

    def _maximize_slabs(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        """Set the slabs to the moments of z; a slab that no state used stays as it is."""
        if self.slab == "full":
            self._maximize_joint_slabs(new, sums, step)
        else:
            self._maximize_single_slabs(new, sums, step)

    def _maximize_single_slabs(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        used = sums["s"] > UNUSED * sums["n"]
        n_active = np.where(used, sums["s"], 1.0)
        if "mu" in step.learn:
            new["mu"] = np.where(used, sums["sz"] / n_active, new["mu"])
        if "psi" in step.learn:
            # A difference of nearly equal numbers is not trusted below a share of them.
            least = np.minimum(_NARROWEST * diagonal_of_packed(sums["szsz"]) / n_active, new["psi"])
            least = np.maximum(least, SMALLEST_VARIANCE)
            new["psi"] = np.where(used, np.maximum(_deviation(new["mu"], sums) / n_active, least), new["psi"])

    def _maximize_joint_slabs(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        n_rows = float(sums["n"])
        if "mu" in step.learn:
            new["mu"] = sums["z"] / n_rows
        if "Psi" in step.learn:
            moment = _joint_deviation(new["mu"], sums) / n_rows
            least = np.maximum(_NARROWEST * np.diagonal(sums["zz"]) / n_rows, SMALLEST_VARIANCE)
            # What active slabs say about others comes by way of the inverse of Psi, at the cost of its condition.
            least = np.maximum(_NARROWEST_JOINT * np.diagonal(moment), least)
            new["Psi"] = at_least(moment, least, positive_definite(new["Psi"]))

    def _expected_log_slabs(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(z)>_n."""
        if self.slab == "full":
            factor = cholesky(params["Psi"])
            energy = whiten(factor, whiten(factor, _joint_deviation(params["mu"], sums)).T)
            return -float(sums["n"] * (entropies(factor) - 0.5).sum() + 0.5 * np.trace(energy))
        energies = _deviation(params["mu"], sums) / params["psi"]
        return -float(sums["s"] @ (entropies(np.sqrt(params["psi"])) - 0.5) + 0.5 * energies.sum())

    def _slab_entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """½ log |2 pi e Psi|, or the mean entropy of the active slabs."""
        if self.slab == "full":
            return float(entropies(cholesky(params["Psi"])).sum())
        return float(sums["s"] @ entropies(np.sqrt(params["psi"])) / sums["n"])

    def _largest_slab_energy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """How large the terms are of which the squared deviation, in units of the slabs, is the difference."""
        if self.slab == "full":
            lengths = np.sqrt(np.diagonal(sums["zz"]) + sums["n"] * params["mu"] ** 2)
            inverse = scipy.linalg.cho_solve((cholesky(params["Psi"]), True), np.eye(self.n_latents))
            return float(lengths @ np.abs(inverse) @ lengths)
        return float(np.sum((diagonal_of_packed(sums["szsz"]) + sums["s"] * params["mu"] ** 2) / params["psi"]))

    def _draw_slabs(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> Floats:
        """(n, H) amplitudes."""
        white = rng.standard_normal((n_rows, self.n_latents))
        if self.slab == "full":
            return params["mu"] + white @ cholesky(params["Psi"]).T
        return np.asarray(params["mu"] + white * np.sqrt(params["psi"]))


def _deviation(mu: Floats, sums: NamedArrays) -> Floats:
    """(H,) sum <s_h (z_h - mu_h)²>."""
    return diagonal_of_packed(sums["szsz"]) - 2 * mu * sums["sz"] + mu**2 * sums["s"]


def _joint_deviation(mu: Floats, sums: NamedArrays) -> Floats:
    """(H, H) sum <(z - mu)(z - mu)ᵀ> over all latents, active or not."""
    crossed = np.outer(mu, sums["z"] - 0.5 * sums["n"] * mu)
    return np.asarray(sums["zz"] - crossed - crossed.T)
