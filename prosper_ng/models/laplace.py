"""Standard sparse coding: z_h ~ Laplace(0, lambda_h), y ~ N(W z, sigma²), with Gaussian posteriors.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary |
| lambda | (H,) | scale of each latent: the mean of its magnitude |
| sigma | () or (D,) | standard deviation of the noise, with `noise: scalar` or `diagonal` |

The posterior has no closed form. That of a row is approximated by the Gaussian q = N(nu, T) of highest free energy, for
which all integrals have one: with tau_h² = T_hh

    <|z_h|> = tau_h sqrt(2 / pi) exp(-nu_h² / 2 tau_h²) + nu_h erf(nu_h / (sqrt(2) tau_h)).

M-step: W = (sum y <z>ᵀ)(sum <z zᵀ>)⁻¹, lambda_h the mean of <|z_h|>, sigma² the mean squared residual. Right after it
the free energy is a sum of entropies (Velychko, Damm, Fischer and Lücke, AISTATS 2024, arXiv 2311.01888),

    F / N = mean H[q_n] - sum_h log(2 e lambda_h) - sum_d log(2 pi e sigma_d²) / 2.

With weights on the entropies of prior and noise (`annealing.prior_weight`, `noise_weight`) the objective is

    mean H[q_n] - prior_weight sum_h log(2 e lambda_h) - noise_weight sum_d log(2 pi e sigma_d²) / 2.

It is climbed by the same M-step, since each parameter is in one of the terms alone, and by posteriors for which log
prior and log likelihood count as often as their weights say: derived here, and checked by differences.

Values that were not observed are hidden as the latents are. The scale of a latent cannot be told from that of its
column: (c W_h, lambda_h / c) are the same model for any c, and so are (W_h, z_h) and (-W_h, -z_h).
"""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import NumericalError
from prosper_ng.latents.posterior import UNTEMPERED, Mask, Tempering
from prosper_ng.latents.real_space import RealSpace
from prosper_ng.models._gaussian import GaussianNoise, entropies, log_density
from prosper_ng.models._laplace import CONVERGED, Fit, add_covariances, fit_rows
from prosper_ng.models.interface import SCALE, SMALLEST_SCALE, Batch, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.numerics.constraints import REAL
from prosper_ng.numerics.linear import cross_moment, diagonal_of_packed, packed, solve_least_change, unpacked
from prosper_ng.numerics.named_arrays import NamedArrays, Shape, Triangle

_EPS = float(np.finfo(float).eps)
_SHARPEST, _LEAST_NOISE = 1e13, 1e-8
"""Variance of what a latent adds, in units of the noise, that leaves digits of its posterior; and the share of the
data's mean square that learned noise does not fall below, far from there."""


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    W: Floats
    """(D, H)."""
    scale: Floats
    """(D,) standard deviations of the noise."""
    elements: Floats
    """(D, H) W in units of the noise."""
    gram: Floats
    """(H, H) of these."""
    rates: Floats
    """(H,) 1 / lambda."""


class Projected(NamedTuple):
    """What depends on the rows but not on their posteriors."""

    b: Floats
    """(n, H) Wᵀ y in units of the noise."""
    zero: Floats
    """(n,) log p(y | z = 0) and the constants of the prior."""
    observed: NDArray[np.bool_]
    """(n, D) which entries were observed; (0, D) where all were."""


@component
class Laplace(GaussianNoise):
    """Sparse real-valued latents that add up."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    noise: Literal["scalar", "diagonal"] = "scalar"
    """Whether the noise has one variance, or one for each observed dimension."""

    support = REAL

    is_monotone = True
    """The M-step is the maximum of what the free energy is at these statistics."""
    identity: ClassVar[Identity] = "after M-step"
    """The maximum is in closed form."""
    flips_latents = True
    """Both signs are equally probable."""

    @cached_property
    def space(self) -> RealSpace:
        """Real numbers."""
        return RealSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, lambda and sigma."""
        return {
            "W": ParameterSpec((n_observed, self.n_latents), REAL, "dictionary", "dictionary"),
            "lambda": ParameterSpec((self.n_latents,), SCALE, "scales of the latents"),
            **self._noise_specs(n_observed),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Moments of data and latents; `szsz` is a packed triangle of <z zᵀ>, `y_sz` of <y zᵀ>."""
        H = self.n_latents
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "magnitude": (H,), "y_sz": (n_observed, H)}
        return shapes | {"szsz": Triangle(H)} | self._noise_statistics(n_observed)

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Elements at random, at the scale of the data; sigma their standard deviation, lambda 1."""
        scales = np.full(len(moments.mean), moments.scale) if self.noise == "scalar" else moments.scales
        W = moments.dictionary(self.n_latents, rng, scales)
        return NamedArrays.of(W=W, **{"lambda": np.ones(self.n_latents)}, **self._initial_noise(scales))

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """The Gram matrix; raises NumericalError where the noise is too small to compute with."""
        W, scale = params["W"], np.array(self._noise_factor(params))
        elements = W / scale[:, None]
        gram = elements.T @ elements
        if not np.max(np.diagonal(gram) * np.square(params["lambda"])) < _SHARPEST:
            raise NumericalError(
                "model laplace: the noise is less than a 3,000,000th of what W and lambda contribute, which leaves too "
                "few digits of the posterior; start with a larger sigma, or smaller W and lambda"
            )
        return Prepared(W, scale, elements, gram, 1.0 / params["lambda"])

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Inner products with the dictionary elements."""
        observed = np.empty((0, batch.values.shape[1]), bool)
        if batch.observed is not None and not batch.observed.all():
            observed = batch.observed
        whitened = batch.values / prepared.scale
        zero = log_density(prepared.scale, whitened, observed) + np.sum(np.log(0.5 * prepared.rates))
        return Projected(whitened @ prepared.elements, zero, observed)

    def fit_gaussians(
        self, prepared: Prepared, projected: Projected, batch: Batch, start: tuple[Floats, Floats], correlated: bool,
        tempering: Tempering = UNTEMPERED, vary: bool = True,
    ) -> "Gaussians":  # fmt: skip
        """The Gaussian of each row of highest free energy, as `tempering` weighs prior and likelihood."""
        n_rows, root = len(projected.b), np.sqrt(tempering.noise_weight)
        fit = Fit.room(n_rows, self.n_latents)
        fit.nu[...], fit.tau[...] = start
        n_looked = fit_rows(
            projected.b * tempering.noise_weight, prepared.gram * tempering.noise_weight, prepared.elements * root,
            projected.observed, prepared.rates * tempering.prior_weight, correlated, vary, *fit,
        )  # fmt: skip
        return Gaussians(self, prepared, projected, batch, fit, correlated, tempering, n_looked)

    def add_moments(self, found: "Gaussians", kept: NDArray[np.int64], sums: NamedArrays) -> None:
        """Add the statistics of rows that are kept, by their numbers."""
        prepared, (nu, tau, c, *_), D = found.prepared, (each[kept] for each in found.fit), len(found.prepared.W)
        observed, values = found.projected.observed, found.batch.values[kept]
        observed, weight, y_y = observed[kept] if len(observed) else observed, found.tempering.noise_weight, np.zeros(D)
        second = packed(nu.T @ nu)
        add_covariances(
            nu, tau, c, prepared.gram * weight, prepared.elements * np.sqrt(weight), prepared.W, observed,
            found.correlated, second, sums["y_sz"], y_y,
        )  # fmt: skip
        sums["n"] += len(kept)
        sums["magnitude"] += found.fit.magnitude[kept].sum(axis=0)
        sums["szsz"] += second
        sums["y_sz"] += cross_moment(values, nu)
        sums["y_y"] += self._squares(values)
        if len(observed):
            y_y += np.count_nonzero(~observed, axis=0) * prepared.scale**2
            sums["y_y"] += y_y if self.noise == "diagonal" else y_y.sum()
            sums["hidden_entropy"] += np.sum(~observed @ entropies(prepared.scale))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = params.copy()
        if "W" in step.learn:
            new["W"] = solve_least_change(unpacked(sums["szsz"]), sums["y_sz"], params["W"])
        if "lambda" in step.learn:
            new["lambda"] = np.maximum(sums["magnitude"] / sums["n"], SMALLEST_SCALE)
        if "sigma" in step.learn:
            self._maximize_noise(new, sums)
            if np.any(np.square(new["sigma"]) <= 1.001 * _LEAST_NOISE * self._mean_squares(sums)):
                step.notes.append(
                    "sigma is as small as it gets, a 10,000th of the root mean square of the data: they have hardly "
                    "any noise, or lie far from zero; then remove their mean"
                )
        return new

    def _least_noise(self, params: NamedArrays, sums: NamedArrays, predicted: Floats) -> Floats:
        least = super()._least_noise(params, sums, predicted)
        # No more than now, so that a step does not lower the free energy.
        return np.maximum(least, np.minimum(_LEAST_NOISE * self._mean_squares(sums), np.square(params["sigma"])))

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(z, y_n)>_n."""
        rates = 1.0 / params["lambda"]
        prior = float(sums["n"] * np.sum(np.log(0.5 * rates)) - sums["magnitude"] @ rates)
        return prior + self._expected_log_likelihood(params, sums)

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Posteriors end just below their maximum, the residual is a difference of large sums, and of sharp posteriors
        rounding leaves what they are wide."""
        squares = np.square(params["W"] / self._noise_factor(params)[:, None]).sum(axis=0)
        sharp = float(squares @ diagonal_of_packed(sums["szsz"]))
        n_values = float(sums["n"]) * (len(params["W"]) + self.n_latents)
        near = 10 * CONVERGED * float(sums["n"])
        return near + 256 * _EPS * (n_values + self._largest_noise_energy(params, sums) + sharp)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h log(2 e lambda_h), and that of the noise."""
        return float(np.sum(np.log(2 * np.e * params["lambda"]))) + self._noise_entropy(params)

    def headline(self, params: NamedArrays) -> dict[str, float]:
        """The noise, and as how many equal latents those count that contribute."""
        shares = np.sum(np.square(params["W"]), axis=0) * np.square(params["lambda"])
        n_used = float(np.sum(shares) ** 2 / max(np.sum(shares**2), SMALLEST_SCALE))
        return {"sigma" if self.noise == "scalar" else "sigma_mean": float(np.mean(params["sigma"])), "n_used": n_used}

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) W z for values (n, H) of the latents."""
        return np.asarray(values @ params["W"].T)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Rows (n, D) and the latents (n, H) that made them."""
        z = params["lambda"] * rng.laplace(size=(n_rows, self.n_latents))
        return self.superimpose(params, z) + self._draw_noise(params, n_rows, rng), z


class Gaussians:
    """The Gaussians that were found of some rows."""

    n_accepted = 0

    def __init__(
        self, model: Laplace, prepared: Prepared, projected: Projected, batch: Batch, fit: Fit, correlated: bool,
        tempering: Tempering, n_looked: int,
    ) -> None:  # fmt: skip
        """What was found, and of what; free energies are those of the model, whatever the tempering."""
        self.model, self.prepared, self.projected, self.batch, self.fit = model, prepared, projected, batch, fit
        self.correlated, self.tempering, self.n_evaluated = correlated, tempering, n_looked
        self.entropy = 0.5 * (model.n_latents * np.log(2 * np.pi * np.e) - fit.log_determinant)
        prior = np.sum(fit.magnitude * prepared.rates, axis=1)
        self.free_energy = projected.zero + fit.explained / tempering.noise_weight - prior + self.entropy

    @property
    def nu(self) -> Floats:
        """(n, H) means."""
        return self.fit.nu

    @property
    def tau(self) -> Floats:
        """(n, H) standard deviations."""
        return self.fit.tau

    @property
    def n_bytes(self) -> int:
        """Of means, deviations and what goes with them."""
        return sum(each.nbytes for each in self.fit)

    def accumulate(self, kept: Mask | None, sums: NamedArrays) -> None:
        """Add the moments of the rows that are kept."""
        self.model.add_moments(self, np.flatnonzero(np.ones(len(self.nu), bool) if kept is None else kept), sums)

    def reconstruct(self) -> Floats:
        """(n, D) posterior predictive mean W nu, rounded in the same way whatever rows are beside it."""
        return np.einsum("nh,dh->nd", self.nu, self.prepared.W)
