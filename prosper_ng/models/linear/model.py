"""What the models with linear superposition share: y ~ N(W s + mu, sigma² I), s from any finite alphabet.

With the Gram matrix G = WᵀW / sigma² and b = Wᵀ(y - mu) / sigma² the log joint is
log p(s, y) = log p(0, y) + sum_i [s_i b_i - s_i² G_ii / 2 + log p(s_i) - log p(0)] - sum_{j<i} s_i s_j G_ij,
so a state with k active latents costs k lookups in a table and k (k - 1) / 2 in G, whatever D and H are. Rows with
missing entries have no common G: the residual of a state is formed over the observed entries, which costs k D. Learning
treats what is missing as hidden: given s, y_d is Gaussian around (W s + mu)_d with variance sigma², and its moments
complete the sums (EM over the missing entries), so that the M-step stays the same.

With a data mean, the sums over y are sums over y - c with a center c that stays as it is. Of data that are far from
zero, sums about zero would lose what the data differ by; about c they lose nothing, wherever the data lie.
"""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.moments import add_moments, mean_states
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.latents.posterior import Tempering
from prosper_ng.models._activity import log_prior_of_states
from prosper_ng.models.interface import (
    SCALE,
    SMALLEST_SCALE,
    Batch,
    Codes,
    Floats,
    Identity,
    Moments,
    MStep,
    ParameterSpec,
)
from prosper_ng.models.linear.kernels import (
    Prepared,
    Projected,
    add_missing_moments,
    centered,
    log_joint_of_incomplete,
    log_joint_of_states,
)
from prosper_ng.models.linear.neighbors import fill_neighbors
from prosper_ng.models.linear.preselection import LinearPosterior
from prosper_ng.numerics.constraints import REAL
from prosper_ng.numerics.linear import cross_moment, diagonal_of_packed, solve_least_change, times_symmetric, unpacked
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, Triangle
from prosper_ng.numerics.special import gaussian_entropy

_EPS = float(np.finfo(float).eps)


def prepare(params: NamedArrays, log_odds: Floats, log_prior_zero: float) -> Prepared:
    """The Gram matrix and the prior at these parameters."""
    W = params["W"]
    nothing = np.zeros(len(W))
    mu, center = params.get("mu", nothing), params.get("center", nothing)
    precision = float(params["sigma"]) ** -2
    return Prepared(W, mu, center, W.T @ W * precision, precision, log_odds, log_prior_zero)


def project(prepared: Prepared, batch: Batch, alphabet: Floats) -> Projected:
    """Zero state and singletons for rows (n, D): one matrix product."""
    residual = batch.values - prepared.mu
    n_observed: Any = batch.values.shape[1]
    missing = np.zeros((0, n_observed), bool)
    squares = np.diagonal(prepared.gram)
    if batch.observed is not None and not batch.observed.all():
        missing, n_observed = ~batch.observed, np.count_nonzero(batch.observed, axis=1)
        residual = np.where(missing, 0.0, residual)
        squares = batch.observed @ prepared.W**2 * prepared.precision
    singletons, phi = (residual @ (prepared.W * prepared.precision))[:, :, None], alphabet[1:]
    if len(phi) > 1 or phi[0] != 1:
        singletons = singletons * phi
    singletons -= 0.5 * phi**2 * squares[..., None] - prepared.log_odds
    log_normalizer = 0.5 * n_observed * (np.log(2 * np.pi) - np.log(prepared.precision))
    energy = 0.5 * prepared.precision * np.einsum("nd,nd->n", residual, residual)
    return Projected(singletons, prepared.log_prior_zero - log_normalizer - energy, residual[: len(missing)], missing)


class LinearModel:
    """The part of BSC, TSC and DSC that does not depend on the prior."""

    n_latents: int
    space: Any
    data_mean: bool
    unused: Literal["keep", "redraw"]
    support = REAL

    is_monotone = True
    """The M-step is the maximum of what the free energy is at these statistics."""
    identity: ClassVar[Identity] = "after M-step"
    """The maximum is in closed form."""

    def _linear_parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        specs = {
            "W": ParameterSpec((n_observed, self.n_latents), REAL, "dictionary", "dictionary"),
            "sigma": ParameterSpec((), SCALE, "standard deviation of the noise", "noise"),
        }
        if self.data_mean:
            specs["mu"] = ParameterSpec((n_observed,), REAL, "data mean")
            specs["center"] = ParameterSpec((n_observed,), REAL, "what data are measured from", constant=True)
        return specs

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Moments of the states and of the data with them; `s_s` is a packed triangle."""
        shapes: dict[str, Shape] = {
            "n": (),
            "hidden_entropy": (),
            "y_y": (),
            "counts": (self.n_latents, self.space.n_values - 1),
            "y_s": (n_observed, self.n_latents),
            "s_s": Triangle(self.n_latents),
        }
        return shapes | ({"y": (n_observed,)} if self.data_mean else {})

    def _initial_linear(self, moments: Moments, rng: np.random.Generator) -> dict[str, Any]:
        """W around the data mean, or around 0 where that is a parameter; sigma: the data's standard deviation."""
        if not self.data_mean:
            return {"W": moments.dictionary(self.n_latents, rng), "sigma": moments.scale}
        W = moments.spread * moments.directions(self.n_latents, rng)
        return {"W": W, "sigma": moments.spread, "mu": moments.mean, "center": moments.center}

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """The zero state and all singletons of each row."""
        return project(prepared, batch, self.space.values)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included."""
        space, result = self.space, np.empty(codes.shape[:2])
        if len(projected.missing):
            log_joint_of_incomplete(
                projected.zero, projected.residual, projected.missing, np.ascontiguousarray(prepared.W.T),
                prepared.precision, prepared.log_odds, codes, space.values, space.layout, result,
            )  # fmt: skip
            return result
        log_joint_of_states(
            projected.zero, projected.singletons, prepared.gram, codes, space.values, space.layout, result
        )  # fmt: skip
        return result

    def log_joint_of_singletons(self, prepared: Prepared, projected: Projected) -> Floats:
        """(n, H, K - 1) relative to the zero state."""
        return projected.singletons

    def _matches(self, prepared: Prepared, projected: Projected, batch: Batch) -> tuple[Floats, Floats]:
        """(n, H) W_hᵀ(y - mu) and (n, H), or (1, H) where nothing is missing, |W_h|²; over the observed entries."""
        if len(projected.missing):
            return projected.residual @ prepared.W, ~projected.missing @ prepared.W**2
        return (batch.values - prepared.mu) @ prepared.W, np.sum(prepared.W**2, axis=0, keepdims=True)

    def _cosines(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) W_hᵀ(y - mu) / |W_h| over the observed entries, 0 where W_h has none."""
        products, squares = self._matches(prepared, projected, batch)
        return products / np.sqrt(np.where(squares > 0, squares, 1.0))

    def log_joint_of_neighbors(self, prepared: Prepared, projected: Projected, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of the states one change away from the parents."""
        space, found = self.space, Neighbors.unknown(self.space, neighborhood)
        fill_neighbors(
            neighborhood, projected.singletons, prepared.gram, prepared.precision, np.ascontiguousarray(prepared.W.T),
            np.ascontiguousarray(prepared.W), projected.missing, space.values, space.layout, found,
        )  # fmt: skip
        return found

    def preselect(
        self, prepared: Prepared, projected: Projected, batch: Batch, chosen: Preselected, tempering: Tempering
    ) -> LinearPosterior:
        """The posterior over the states of each row's candidates, by its marginals."""
        return LinearPosterior(self.space.values, prepared, projected, batch, chosen, tempering)

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        space, result = self.space, np.empty(codes.shape[:2])
        log_prior_of_states(prepared.log_odds, prepared.log_prior_zero, codes, space.layout, result)
        return result

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the moments of a batch to the sums."""
        space = self.space
        used = np.asarray(weights.any(axis=1))
        values = centered(prepared, batch)
        values = values if used.all() else values * used[:, None]
        means = np.empty((len(values), self.n_latents))
        add_moments(codes, weights, space.values, space.layout, means, sums["counts"], sums["s_s"])
        sums["n"] += np.count_nonzero(used)
        sums["y_y"] += np.vdot(values, values)
        sums["y_s"] += cross_moment(values, means)
        if self.data_mean:
            sums["y"] += values.sum(axis=0)
        if len(projected.missing):
            self._accumulate_missing(prepared, projected, codes, weights, sums)

    def _accumulate_missing(
        self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the moments of the missing entries, which are hidden."""
        space, variance = self.space, 1.0 / prepared.precision
        y = sums["y"] if self.data_mean else np.zeros(len(prepared.W))
        n_missing = add_missing_moments(
            projected.missing, np.ascontiguousarray(prepared.W.T), prepared.mu - prepared.center, variance, codes,
            weights, space.values, space.layout, y, sums["y_y"].reshape(1), sums["y_s"],
        )  # fmt: skip
        sums["hidden_entropy"] += n_missing * 0.5 * np.log(2 * np.pi * np.e * variance)

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean W <s> + mu."""
        return mean_states(self.space, codes, weights) @ prepared.W.T + prepared.mu

    def _maximize_linear(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """W, mu and sigma: the maximum of the expected log likelihood over what is learned."""
        new = params.copy()
        first, second = self._mean_states(sums), unpacked(sums["s_s"])
        means = [name for name in ("W", "mu") if name in params and name in step.learn]
        if means == ["W", "mu"]:
            # The data mean is the weight of one more latent that is always 1.
            moment = np.block([[second, first[:, None]], [first[None, :], np.array([[sums["n"]]])]])
            right = np.column_stack([sums["y_s"], sums["y"]])
            solution = solve_least_change(moment, right, np.column_stack([params["W"], self._offset(params)]))
            new["W"], new["mu"] = solution[:, :-1], params["center"] + solution[:, -1]
        elif means == ["W"]:
            offset = np.outer(self._offset(params), first) if self.data_mean else 0.0
            new["W"] = solve_least_change(second, sums["y_s"] - offset, params["W"])
        elif means == ["mu"]:
            new["mu"] = params["center"] + (sums["y"] - params["W"] @ first) / sums["n"]
        if "sigma" in step.learn:
            n_values = float(sums["n"]) * len(params["W"])
            # Below this the squared residual is the rounding error of a difference of large numbers, or that of mu.
            rounding = 4 * _EPS * float(sums["y_y"]) / n_values
            if self.data_mean:
                rounding = max(rounding, float(np.mean((_EPS * new["mu"]) ** 2)))
            variance = max(self._squared_residual(new, sums) / n_values, rounding)
            new["sigma"] = max(np.sqrt(variance), SMALLEST_SCALE)
        if "W" in step.learn:
            self._treat_unused(new, sums, step)
        return new

    def _treat_unused(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        unused = np.flatnonzero(sums["counts"].sum(axis=1) == 0)
        squares = float(sums["y_y"])
        if self.data_mean:
            squares = max(squares - float(sums["y"] @ sums["y"] / sums["n"]), 4 * _EPS * squares)
        scale = np.sqrt(squares / (sums["n"] * len(new["W"])))
        if len(unused) and self.unused == "redraw" and step.rng is not None:
            new["W"][:, unused] = scale * step.rng.standard_normal((len(new["W"]), len(unused)))
            step.notes.append(f"{len(unused)} latents that no state used were drawn anew")
        elif len(unused):
            step.notes.append(f"{len(unused)} latents that no state used keep their dictionary elements")

    def _offset(self, params: NamedArrays) -> Floats:
        """(D,) the data mean about the center."""
        return np.asarray(params["mu"] - params["center"])

    def _mean_states(self, sums: NamedArrays) -> Floats:
        """sum <s> (H,)."""
        return np.asarray(sums["counts"] @ self.space.values[1:])

    def _squared_residual(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <|y_n - W s - mu|²>_n."""
        W = params["W"]
        result = float(sums["y_y"] + np.vdot(W, times_symmetric(W, sums["s_s"]) - 2 * sums["y_s"]))
        if self.data_mean:
            mu = self._offset(params)
            result += float(sums["n"] * (mu @ mu) - 2 * mu @ (sums["y"] - W @ self._mean_states(sums)))
        return result

    def _expected_log_likelihood(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(y_n | s)>_n."""
        sigma = float(params["sigma"])
        n_values = float(sums["n"]) * len(params["W"])
        return (
            -n_values * (0.5 * np.log(2 * np.pi) + np.log(sigma))
            - 0.5 * self._squared_residual(params, sums) / sigma**2
        )

    def _noise_entropy(self, params: NamedArrays) -> float:
        """D/2 log(2 pi e sigma²)."""
        return gaussian_entropy(float(params["sigma"]), len(params["W"]))

    def _sample_given(self, params: NamedArrays, indices: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """Rows (n, D) for states given as alphabet indices (n, H)."""
        noise = params["sigma"] * rng.standard_normal((len(indices), len(params["W"])))
        return self.superimpose(params, self.space.values[indices]) + noise

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) W s + mu for values s (n, H) of the latents."""
        return np.asarray(values @ params["W"].T + (params["mu"] if self.data_mean else 0.0))

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """The residual is a difference of sums as large as sum yᵀy and as what large elements that cancel add up to.

        The bound |<s_h s_k>|² <= <s_h²> <s_k²> spares a product of large matrices.
        """
        n_values = float(sums["n"]) * len(params["W"])
        predicted, sigma = np.abs(params["W"]) @ np.sqrt(diagonal_of_packed(sums["s_s"])), float(params["sigma"])
        squares = float(sums["y_y"] + predicted @ predicted)
        if not self.data_mean:
            return 256 * _EPS * (n_values + squares / sigma**2)
        offset, resolution = self._offset(params), _EPS * np.abs(params["mu"])
        squares += float(sums["n"] * (offset @ offset))
        # mu itself has a last digit, which may be coarse beside the noise: half of it is lost in an M-step.
        return 256 * _EPS * (n_values + squares / sigma**2) + float(sums["n"] * (resolution @ resolution)) / sigma**2
