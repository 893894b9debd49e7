"""Mixtures of factor analyzers: c ~ pi, z ~ N(0, I), y ~ N(W_c + A_c z, Psi_c) with a diagonal Psi_c.

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, C) | mean of each component |
| A | (D, C, F) | loadings: A_c A_cᵀ is what the entries of a component vary by together |
| Psi | (D, C) or (C,) | variance of the noise, of each entry or one for all entries |
| sigma | () | standard deviation of all noise, in the place of Psi with `noise: shared` |
| pi | (C,) | probability of each component; none with `equal_weights` |

One component is factor analysis, or probabilistic principal components with `noise: scalar` (Ghahramani and Hinton
1996; Tipping and Bishop 1999). Costs are linear in D, and covariances (D, D) are never formed (`_mfa.py`).

The M-step is that of a larger model, in which the factors of a component have any mean m and covariance R Rᵀ (parameter
expansion: Liu, Rubin and Wu 1998), since W and A in the units of N(0, I) say the same. With sums over q_nc,

    W = <y>,    m = <z>,    R Rᵀ = <(z - m)(z - m)ᵀ>,    A = <(y - W)(z - m)ᵀ> R⁻ᵀ,    Psi = <(y - W - A R⁻¹ (z - m))²>

is the exact maximum. What sums are taken of must not change from sweep to sweep, so m and R stay with the parameters as
constants, `origin` and `frame`, on which no posterior depends. Given them

    F / N = -H[pi] - sum_c N_c / N (log |2 pi e Psi_c| + log |2 pi e R_c R_cᵀ|) / 2 + entropies of q

right after an M-step. Entries that were not observed are hidden as the factors are.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import NumericalError
from prosper_ng.models._components import LEAST_SHARE, ComponentPrior
from prosper_ng.models._mfa import Prepared, Projected, add_means, add_moments, fill_log_joint
from prosper_ng.models._mfa_moments import (
    Analyzers,
    best,
    frame_of,
    largest_energies,
    moments_of,
    root_of,
)
from prosper_ng.models._mixture import laid_out
from prosper_ng.models._mixture_start import first_components
from prosper_ng.models.interface import SCALE, Batch, Codes, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.models.slab.moments import plain
from prosper_ng.numerics.constraints import POSITIVE, REAL, interval
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.sharing import of_all, own_among, row_sums, total
from prosper_ng.numerics.vectors import aligned
from prosper_ng.observables.normal import Normal

_LEAST_SPREAD = 1e-3
"""Standard deviations of noise, in units of those of the data: a component of few rows would learn 0."""
_LOADED = 0.3
"""Standard deviations by factors, in units of those of noise, to start from."""
_NEAR_0 = interval(-np.inf, np.inf, typical=(-0.5, 0.5))
_EPS = float(np.finfo(float).eps)
_LOG_2PI = float(np.log(2 * np.pi))


@component
class Mfa(ComponentPrior):
    """Components of which each row is one, in each of which entries vary together by a few factors."""

    n_components: Annotated[int, Gt(0)]
    """C, the number of components."""
    n_factors: Annotated[int, Gt(0)] = 5
    """F, the directions in which the rows of a component vary beyond noise."""
    noise: Literal["shared", "scalar", "diagonal"] = "diagonal"
    """Whether the noise of a component has one variance, or one for each entry; or is the same in all, sigma."""
    equal_weights: bool = False
    """Whether all components are equally probable."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of a component that no row belongs to."""

    support = REAL

    is_monotone = True
    """The M-step is the maximum."""
    identity: ClassVar[Identity] = "after M-step"
    """Of a maximum that is known."""
    weighs_rows = True
    """All statistics are sums over rows, each as often as it counts."""
    axes_by_value: ClassVar[Mapping[str, int]] = MappingProxyType({"W": 1, "A": 1, "Psi": -1, "origin": 0, "frame": 0})
    """Of the parameters that each component has for itself."""

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, A, Psi or sigma, pi; and what values and factors are measured from and in."""
        D, C, F = n_observed, self.n_components, self.n_factors
        if self.noise == "shared":
            noise = {"sigma": ParameterSpec((), SCALE, "standard deviation of the noise", "noise")}
        else:
            noise = {"Psi": ParameterSpec((D, C) if self._own_units else (C,), Normal.second, "variance of the noise")}
        unit: Shape = (D,) if self._own_units else ()
        return {
            "W": ParameterSpec((D, C), REAL, "mean of each component", "dictionary"),
            "A": ParameterSpec((D, C, F), REAL, "loadings of the factors of each component"),
            **noise,
            **self._pi_spec(),
            "center": ParameterSpec((D,), REAL, "what data are measured from", constant=True),
            "unit": ParameterSpec(unit, POSITIVE, "what data are measured in", constant=True),
            "origin": ParameterSpec((C, F), _NEAR_0, "what factors are measured from", constant=True),
            "frame": ParameterSpec((C, F, F), _NEAR_0, "what factors are measured in", constant=True),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """How many rows each component has, and moments of these and of the factors."""
        C, F = self.n_components, self.n_factors
        squares: Shape = (C, n_observed) if self._own_units else (C,)
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "counts": (C,), "y": (C, n_observed)}
        return shapes | {"y_y": squares, "y_z": (C, F, n_observed), "z": (C, F), "z_z": (C, F, F)}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Rows that are far from each other, by greedy k-means++; what they leave unexplained is the noise, and factors
        in random directions are small beside it."""
        W, squares = first_components(moments, self.n_components, REAL, self._own_units, rng)
        squares = np.maximum(squares, Normal.second.low)
        spread = moments.spreads if self._own_units else moments.spread
        n_observed, C, F = len(squares), self.n_components, self.n_factors
        directions = _LOADED * rng.standard_normal((n_observed, C, F)) * np.sqrt(squares / F)[:, None, None]
        Psi = np.tile(squares if self._own_units else np.mean(squares), (C, 1))
        return NamedArrays.of(
            W=W.T, A=directions, **{self._noise_name: self._noise_of(Psi)}, **self._initial_pi(),
            center=moments.centers, unit=2.0 ** np.round(np.log2(spread)),
            origin=np.zeros((C, F)), frame=np.zeros((C, F, F)),
        )  # fmt: skip

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Tables by components; raises NumericalError where the noise is too small to compute with."""
        W, A, Psi, origin, root = self._scaled(params)
        (center, unit), log_pi = self._measure(params), np.log(self.activity(params))
        with np.errstate(over="ignore", invalid="ignore"):
            M = np.eye(self.n_factors) + (A / Psi[:, None]) @ A.swapaxes(1, 2)
        if not np.isfinite(M).all():
            raise NumericalError("model mfa: A² / Psi leaves double precision; start with a larger Psi, or a smaller A")
        L = np.linalg.cholesky(M)
        inverse, logs = np.linalg.inv(L), -0.5 * (_LOG_2PI + np.log(Psi)) - np.log(unit)
        information = np.sum(np.log(np.diagonal(L, axis1=1, axis2=2)), axis=1)
        entropies = 0.5 * self.n_factors * (_LOG_2PI + 1) + self._log_root(root)
        entropies = np.stack([entropies, entropies - information])
        back = np.ascontiguousarray(inverse.swapaxes(1, 2))
        directions = (inverse @ (A / Psi[:, None])).reshape(-1, len(center))
        spread = root @ back
        means, halves, logs_laid_out, directions = (laid_out(each[None]) for each in (W, 0.5 / Psi, logs, directions))
        return Prepared(
            center, unit, log_pi, log_pi + logs.sum(axis=1) - information, means, halves, logs_laid_out, directions,
            np.ascontiguousarray(A.swapaxes(1, 2)), origin, root, spread, back, entropies,
            spread @ spread.swapaxes(1, 2), 0.5 - logs,
        )  # fmt: skip

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Values from the center, in units."""
        values, seen = (batch.values - prepared.center) / prepared.unit, batch.observed
        if seen is None or seen.all():
            complete = np.ones(len(values), bool)
            return Projected(laid_out(values[None]), np.empty((0, values.shape[1]), bool), complete)
        return Projected(laid_out(np.where(seen, values, 0.0)[None]), seen, np.asarray(seen.all(axis=1)))

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(c, y), constants included."""
        result, constants = np.empty(codes.shape[:2]), (prepared.constants, prepared.log_pi)
        fill_log_joint(*projected, *_tables(prepared), *constants, _scratch(prepared), plain(codes), result)
        return result

    def likeness(self, prepared: Prepared, values: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        """(m, k) minus half the squared distances of the means of others (k,) in units of what components (m,) make.

        So it tells where the rows of a component reach. By what others make of these rows, wide components would be
        near to all, and the neighborhoods much the same.
        """
        P, W, own = prepared.halves[values], prepared.means[others], prepared.means[values]
        found = 2 * (P * own) @ W.T - P @ np.square(W).T - np.sum(P * own * own, axis=1)[:, None]
        for f in range(self.n_factors):
            directions = prepared.directions[values * self.n_factors + f]
            found += 0.5 * np.square(directions @ W.T - np.sum(directions * own, axis=1)[:, None])
        return np.asarray(found)

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the moments of a batch."""
        y_y, y_z = sums["y_y"].reshape(self.n_components, -1), sums["y_z"].reshape(-1, len(prepared.center))
        sums["n"] += batch.number_of(weights.any(axis=1))
        sums["hidden_entropy"] += add_moments(
            *projected, *_tables(prepared), prepared.origin, prepared.root, prepared.spread, prepared.entropies,
            prepared.covariances, prepared.gap_entropies, plain(codes), plain(batch.weighed(weights)),
            _scratch(prepared), sums["counts"], sums["y"], y_y, y_z, sums["z"], sums["z_z"],
        )  # fmt: skip

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The best parameters; a component without rows keeps its values, or is drawn anew."""
        new = params.copy()
        self._maximize_pi(new, sums, step)
        known = np.flatnonzero(sums["counts"] > LEAST_SHARE * sums["n"])
        old = Analyzers(*(each[known] for each in self._scaled(params)))
        own = NamedArrays.of(**{name: sums[name][known] for name in ("counts", "y", "y_y", "y_z", "z", "z_z")})
        found, squares = best(own, old, "W" in step.learn, "A" in step.learn)
        center, unit = self._measure(params)
        if "W" in step.learn:
            new["W"][:, known] = (found.W * unit + center).T
            new["origin"][known] = found.origin
        if "A" in step.learn:
            new["A"][:, known] = (found.A * unit).transpose(2, 0, 1)
            new["frame"][known] = frame_of(found.root)
        if self._noise_name in step.learn:
            Psi, whose = self._Psi(params), known
            if self.noise == "shared":
                squares, whose = self._mean_of_known(squares, own["counts"], known, len(Psi)), np.arange(len(Psi))
            least = np.minimum(_LEAST_SPREAD**2, Psi[whose] / unit**2)
            Psi[whose] = np.maximum(np.maximum(squares, least) * unit**2, Normal.second.low)
            new[self._noise_name] = self._noise_of(Psi)
        self._redraw(new, sums, step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(c, z, y_n)>_n."""
        noise, factors = self._costs(params, sums, self._scaled(params))
        return self._expected_log_pi(params, sums) - total(row_sums(noise) + factors)

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Costs are differences of sums as large as their parts."""
        known, n = self._scaled(params), sums["counts"][:, None]
        logs = n * (np.abs(np.log(known.Psi)) + np.abs(np.log(self._measure(params)[1])) + 1.0)
        # Means have a last digit, which may be coarse beside the noise.
        digits = np.square(_EPS * params["W"].T / self._measure(params)[1]) / known.Psi
        return total(256 * _EPS * (row_sums(logs) + largest_energies(sums, known)) + row_sums(n * digits))

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """H[pi], and the entropies of noise and factors of each component, in proportion to the rows that it has.

        Noise that the M-step could not choose freely, since it is at a bound, enters by its cross entropy.
        """
        known, n, unit = self._scaled(params), sums["counts"], self._measure(params)[1]
        of_noise = n[:, None] * (0.5 * (_LOG_2PI + 1 + np.log(known.Psi)) + np.log(unit))
        is_free, costs = known.Psi > _LEAST_SPREAD**2 * (1 + 1e-9), self._costs(params, sums, known)[0]
        if not self._own_units:
            of_noise, is_free, costs = row_sums(of_noise)[:, None], is_free[:, :1], row_sums(costs)[:, None]
        factors = n * (0.5 * self.n_factors * (_LOG_2PI + 1) + self._log_root(known.root))
        found = total(row_sums(np.where(is_free, of_noise, costs)) + factors)
        return self._entropy_of_pi(params) + found / float(sums["n"])

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean <W_c + A_c z>, in missing entries by what the observed ones tell."""
        result = np.zeros((len(codes), len(prepared.center)))
        add_means(
            *projected, *_tables(prepared), prepared.back, plain(codes), plain(weights), _scratch(prepared), result
        )
        return result * prepared.unit + weights.sum(axis=1, keepdims=True) * prepared.center

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the components (n, 1) that made them."""
        c = self._draw_components(params, n_rows, rng)
        return self._drawn(params, c, rng), c[:, None]

    def headline(self, params: NamedArrays) -> dict[str, float]:
        """The noise, and as how many equal components those that are used count."""
        column = {"shared": "sigma", "scalar": "Psi_mean"}.get(self.noise)
        noise = {} if column is None else {column: float(params[self._noise_name].mean())}
        return noise | self._n_effective(params)

    @property
    def _noise_name(self) -> str:
        return "sigma" if self.noise == "shared" else "Psi"

    @property
    def _own_units(self) -> bool:
        """Whether each entry has noise of its own, so that columns may be in other units."""
        return self.noise == "diagonal"

    def _noise_of(self, Psi: Floats) -> Floats:
        """Psi or sigma of variances (C, D), or (C, 1)."""
        if self.noise == "shared":
            return np.sqrt(Psi[0, 0])
        return Psi.T if self._own_units else Psi[:, 0]

    def _Psi(self, params: NamedArrays) -> Floats:
        """(C, D) variances of the noise."""
        shape = params["W"].shape
        if self.noise == "shared":
            return np.full(shape[::-1], np.square(params["sigma"]))
        return np.array(np.broadcast_to(params["Psi"], shape).T, order="C")

    def _measure(self, params: NamedArrays) -> tuple[Floats, Floats]:
        """(D,) what values are measured from, and in; near the components where learning is over and both are gone."""
        W = params["W"]
        if "center" in params:
            return params["center"], np.broadcast_to(params["unit"], (len(W),))
        noise = np.sqrt(self._Psi(params).mean(axis=0))
        return W.mean(axis=1), np.broadcast_to(2.0 ** np.round(np.log2(noise)), (len(W),))

    def _scaled(self, params: NamedArrays) -> Analyzers:
        """All parameters by components."""
        (center, unit), C, F = self._measure(params), self.n_components, self.n_factors
        W, A = (params["W"].T - center) / unit, params["A"].transpose(1, 2, 0) / unit
        Psi = self._Psi(params) / np.square(unit)
        origin, frame = params.get("origin", np.zeros((C, F))), params.get("frame", np.zeros((C, F, F)))
        return Analyzers(W, A, Psi, origin, root_of(frame))

    def _mean_of_known(self, squares: Floats, counts: Floats, known: NDArray[np.int64], n_own: int) -> Floats:
        """(1, 1) the mean of squares (m, 1) over the rows of components that have any."""
        found = np.zeros((n_own, 2))
        found[known] = np.stack([counts * squares[:, 0], counts], axis=1)
        square, n_rows = of_all(found).sum(axis=0)
        return np.array([[square / n_rows]])

    def _costs(self, params: NamedArrays, sums: NamedArrays, known: Analyzers) -> tuple[Floats, Floats]:
        """(C, D) minus sum <log p(y_d | c, z)>, and (C,) minus sum <log p(z)>, of z as it is taken to statistics.

        With scalar noise the first is shared evenly among the entries.
        """
        n, moments = sums["counts"], moments_of(sums, known)
        squares = moments.residual(known.W, known.A)
        logs = 0.5 * (_LOG_2PI + np.log(known.Psi)) + np.log(self._measure(params)[1])
        share = squares.shape[1] / known.W.shape[1]
        factors = n * (0.5 * self.n_factors * _LOG_2PI + self._log_root(known.root))
        factors += 0.5 * np.trace(moments.z_z, axis1=1, axis2=2)
        return n[:, None] * logs + 0.5 * share * squares / known.Psi, factors

    def _log_root(self, root: Floats) -> Floats:
        """(C,) logarithms of determinants."""
        return np.asarray(np.sum(np.log(np.diagonal(root, axis1=1, axis2=2)), axis=1))

    def _drawn(self, params: NamedArrays, c: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """(n, D) rows of components (n,)."""
        z = rng.standard_normal((len(c), self.n_factors))
        noise = np.sqrt(self._Psi(params)[c]) * rng.standard_normal((len(c), len(params["W"])))
        return np.asarray(params["W"].T[c] + np.einsum("nf,dnf->nd", z, params["A"][:, c]) + noise)

    def _redraw(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        """Put components without rows where others have theirs."""
        unused, donors = self._unused_and_donors(sums, step)
        if len(unused) and step.rng is not None:
            given = self._of_components(new, donors)
            drawn = 0.5 * (given["W"] + self._drawn(given, np.arange(len(donors)), step.rng).T)
            chosen, places = own_among(unused, new["W"].shape[1])
            new["W"][:, places], new["A"][:, places] = drawn[:, chosen], given["A"][:, chosen]
            if self.noise != "shared":
                new["Psi"][..., places] = given["Psi"][..., chosen]


def _tables(prepared: Prepared) -> tuple[Floats, ...]:
    """What kernels compare rows with."""
    return prepared.means, prepared.halves, prepared.logs, prepared.directions, prepared.loadings


def _scratch(prepared: Prepared) -> Floats:
    """What kernels work with."""
    return aligned(2, prepared.means.shape[1])
