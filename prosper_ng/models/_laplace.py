"""The Gaussian of each row that explains it best, where latents are Laplace distributed; `laplace` has the formulas.

With q = N(nu, P⁻¹), P = G + diag(c), and over the observed entries G = W_oᵀ W_o / sigma² and b = W_oᵀ y / sigma², what
a row gives to the free energy is up to a constant

    F = b nu - nuᵀ G nu / 2 - tr(G P⁻¹) / 2 - log |P| / 2 - sum_h <|z_h|> / lambda_h,

which is concave in nu and the Cholesky factor of the covariance (Challis and Barber, JMLR 2013), so that it has one
maximum. There c_h = 2 N(0; nu_h, tau_h²) / lambda_h with tau_h² = (P⁻¹)_hh, so that a step towards this, which is one
along the natural gradient, and Newton's in nu share a factor. A step that lowers F is halved until it does not.
"""

from math import erf, exp, log, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.posterior import inner_product

Floats = NDArray[np.float64]

_ROOT_HALF, _ROOT_2_OVER_PI = sqrt(0.5), sqrt(2.0 / pi)
_LEAST_CURVATURE = 1e-11
"""Share of what else is known of a latent: less changes no digit of F, and leaves P too few digits for its factor."""
_CONVERGED, _ROUNDING = 1e-12, 1e-14
"""Gains at which a row is done: in nats, and as a share of F."""
_MOST_STEPS, _MOST_HALVINGS = 200, 40


class Fit(NamedTuple):
    """What was found of some rows."""

    nu: Floats
    """(n, H) means."""
    tau: Floats
    """(n, H) standard deviations."""
    c: Floats
    """(n, H) what the prior adds to the precision of q."""
    magnitude: Floats
    """(n, H) <|z_h|>."""
    explained: Floats
    """(n,) b nu - nuᵀ G nu / 2 - tr(G P⁻¹) / 2."""
    log_determinant: Floats
    """(n,) log |P|."""

    @classmethod
    def room(cls, n_rows: int, n_latents: int) -> "Fit":
        """Arrays to be filled; standard deviations of 0 mark rows of which nothing is known yet."""
        nu, tau, c, magnitude = np.zeros((4, n_rows, n_latents))
        return cls(nu, tau, c, magnitude, np.empty(n_rows), np.empty(n_rows))


@kernel(error_model="numpy")
def fit_rows(
    b: Any, gram: Any, elements: Any, observed: Any, rates: Any, correlated: bool, vary: bool, nu: Any, tau: Any,
    c: Any, magnitude: Any, explained: Any, log_determinant: Any,
) -> int:  # fmt: skip
    """Fill what is found of rows, from means and deviations (n, H) on; how many Gaussians were looked at.

    `elements` (D, H) and `observed` (n, D) make the gram matrix of rows that miss entries; (0, D) where none does. With
    `vary` off, no step is made.
    """
    H, most, n_looked = b.shape[1], _MOST_STEPS if vary else 0, 0
    own, L, inverse, work = np.empty((H, H)), np.empty((H, H)), np.empty((H, H)), np.empty((6, H))
    for n in range(b.shape[0]):
        G = gram
        if observed.shape[0] > 0:
            _fill_gram(elements, observed[n], own)
            G = own
        for h in range(H):
            if tau[n, h] == 0.0:
                tau[n, h] = 1.0 / sqrt(G[h, h] + rates[h] * rates[h])
        if correlated:
            n_looked += _climb(b[n], G, rates, most, nu[n], tau[n], c[n], L, inverse, work)
            log_determinant[n] = _factorize(G, c[n], L, inverse, tau[n])
        else:
            n_looked += _climb_by_coordinates(b[n], G, rates, most, nu[n], tau[n], work[0])
            log_determinant[n] = 0.0
        _product(G, nu[n], work[0])
        explained[n] = 0.0
        for h in range(H):
            variance = tau[n, h] * tau[n, h]
            magnitude[n, h] = _magnitude(nu[n, h], tau[n, h])
            explained[n] += nu[n, h] * (b[n, h] - 0.5 * work[0, h])
            if correlated:
                explained[n] -= 0.5 * (1.0 - c[n, h] * variance)
            else:
                explained[n] -= 0.5 * G[h, h] * variance
                log_determinant[n] -= log(variance)
    return n_looked


@kernel(error_model="numpy")
def add_covariances(
    nu: Any, tau: Any, c: Any, gram: Any, elements: Any, W: Any, observed: Any, correlated: bool, second: Any, y_z: Any,
    y_y: Any,
) -> None:  # fmt: skip
    """Add covariances to <z zᵀ>, packed, and what entries that were not observed are expected to add, (D, H) to <y zᵀ>
    and (D,) to <y²> but for the noise."""
    H = nu.shape[1]
    own, L, inverse, work = np.empty((H, H)), np.empty((H, H)), np.zeros((H, H)), np.empty((2, H))
    for n in range(nu.shape[0]):
        if correlated:
            G = gram
            if observed.shape[0] > 0:
                _fill_gram(elements, observed[n], own)
                G = own
            _factorize(G, c[n], L, inverse, work[0])
        else:
            for h in range(H):
                inverse[h, h] = tau[n, h]
        # The covariance is that of independent variables, of which the rows of the inverse factor are made.
        for i in range(H):
            place = 0
            for h in range(i + 1):
                for k in range(h + 1):
                    second[place + k] += inverse[i, h] * inverse[i, k]
                place += h + 1
        if observed.shape[0] > 0:
            for d in range(W.shape[0]):
                if not observed[n, d]:
                    _add_hidden(W[d], nu[n], inverse, work[0], work[1], y_z[d], y_y[d : d + 1])


@inner_kernel(error_model="numpy")
def _add_hidden(w: Any, nu: Any, inverse: Any, white: Any, column: Any, y_z: Any, y_y: Any) -> None:
    mean = inner_product(w, nu)
    for h in range(w.shape[0]):
        column[h] = 0.0
    for i in range(w.shape[0]):
        white[i] = inner_product(inverse[i, : i + 1], w[: i + 1])
        y_y[0] += white[i] * white[i]
        for h in range(i + 1):
            column[h] += inverse[i, h] * white[i]
    y_y[0] += mean * mean
    for h in range(w.shape[0]):
        y_z[h] += mean * nu[h] + column[h]


@inner_kernel(error_model="numpy")
def _magnitude(nu: float, tau: float) -> float:
    """<|z|> of a Gaussian."""
    x = _ROOT_HALF * nu / tau
    return tau * _ROOT_2_OVER_PI * exp(-x * x) + nu * erf(x)


@inner_kernel(error_model="numpy")
def _curvature(nu: float, tau: float, rate: float, own: float) -> float:
    """c_h, not so small that nothing keeps P from being singular; `own` is G_hh."""
    x = _ROOT_HALF * nu / tau
    return max(rate * _ROOT_2_OVER_PI * exp(-x * x) / tau, _LEAST_CURVATURE * (own + rate * rate))


@inner_kernel(error_model="numpy")
def _fill_gram(elements: Any, observed: Any, G: Any) -> None:
    H = G.shape[0]
    for h in range(H):
        for k in range(H):
            G[h, k] = 0.0
    for d in range(elements.shape[0]):
        if observed[d]:
            for h in range(H):
                for k in range(H):
                    G[h, k] += elements[d, h] * elements[d, k]


@inner_kernel(error_model="numpy")
def _factorize(G: Any, c: Any, L: Any, inverse: Any, tau: Any) -> float:
    """Fill lower triangles of the Cholesky factor of P = G + diag(c) and its inverse, and deviations; log |P|."""
    H, log_determinant = G.shape[0], 0.0
    for i in range(H):
        tau[i] = 0.0
        for j in range(i + 1):
            entry = G[i, j] - inner_product(L[i, :j], L[j, :j])
            if j < i:
                L[i, j] = entry / L[j, j]
        L[i, i] = sqrt(max(entry + c[i], 1e-16 * (G[i, i] + c[i])))
        log_determinant += 2.0 * log(L[i, i])
        for h in range(i):
            inverse[i, h] = 0.0
        for j in range(i):
            share = L[i, j] / L[i, i]
            for h in range(j + 1):
                inverse[i, h] -= share * inverse[j, h]
        inverse[i, i] = 1.0 / L[i, i]
        for h in range(i + 1):
            tau[h] += inverse[i, h] * inverse[i, h]
    for h in range(H):
        tau[h] = sqrt(tau[h])
    return log_determinant


@inner_kernel(error_model="numpy")
def _solve(L: Any, x: Any) -> None:
    """Replace x by P⁻¹ x: substitution loses less than a product with the inverse where P has small eigenvalues."""
    H = x.shape[0]
    for i in range(H):
        x[i] = (x[i] - inner_product(L[i, :i], x[:i])) / L[i, i]
    for i in range(H - 1, -1, -1):
        x[i] /= L[i, i]
        for h in range(i):
            x[h] -= L[i, h] * x[i]


@inner_kernel(error_model="numpy")
def _product(G: Any, x: Any, result: Any) -> None:
    for h in range(x.shape[0]):
        result[h] = inner_product(G[h], x)


@inner_kernel(error_model="numpy")
def _bound(b: Any, G: Any, rates: Any, nu: Any, c: Any, L: Any, inverse: Any, tau: Any, column: Any) -> float:
    """F of N(nu, (G + diag(c))⁻¹), whose factor and deviations are left behind."""
    result = -0.5 * _factorize(G, c, L, inverse, tau)
    _product(G, nu, column)
    for h in range(nu.shape[0]):
        result += nu[h] * (b[h] - 0.5 * column[h]) + 0.5 * c[h] * tau[h] * tau[h]
        result -= rates[h] * _magnitude(nu[h], tau[h])
    return result


@inner_kernel(error_model="numpy")
def _climb(b: Any, G: Any, rates: Any, most: int, nu: Any, tau: Any, c: Any, L: Any, inverse: Any, work: Any) -> int:
    """Steps of a row, with all latents together; how many Gaussians were looked at."""
    H = nu.shape[0]
    best, target, new_nu, new_c, column = work[0], work[1], work[2], work[3], work[4]
    for h in range(H):
        c[h] = _curvature(nu[h], tau[h], rates[h], G[h, h])
    F, n_looked = _bound(b, G, rates, nu, c, L, inverse, tau, column), 1
    for _ in range(most):
        for h in range(H):
            best[h] = b[h] + c[h] * nu[h] - rates[h] * erf(_ROOT_HALF * nu[h] / tau[h])
            target[h] = _curvature(nu[h], tau[h], rates[h], G[h, h])
        _solve(L, best)
        share, gained, enough = 1.0, 0.0, _CONVERGED + _ROUNDING * abs(F)
        for _ in range(_MOST_HALVINGS):
            for h in range(H):
                new_nu[h] = nu[h] + share * (best[h] - nu[h])
                new_c[h] = c[h] + share * (target[h] - c[h])
            gained = _bound(b, G, rates, new_nu, new_c, L, inverse, tau, column) - F
            n_looked += 1
            if gained >= -enough:
                break
            share *= 0.5
        if gained > 0.0:
            F += gained
            for h in range(H):
                nu[h], c[h] = new_nu[h], new_c[h]
        if not gained > enough:  # nor where it is no number
            break
    return n_looked


@inner_kernel(error_model="numpy")
def _climb_by_coordinates(b: Any, G: Any, rates: Any, most: int, nu: Any, tau: Any, left: Any) -> int:
    """Steps of a row, one latent after the other, each independent of the others in q; how many were looked at."""
    H, n_sweeps = nu.shape[0], 0
    _product(G, nu, left)
    for h in range(H):
        left[h] = b[h] - left[h]
    for _ in range(most):
        n_sweeps += 1
        gained, enough = 0.0, _CONVERGED
        for h in range(H):
            own, rate, pull = G[h, h], rates[h], left[h] + G[h, h] * nu[h]
            target = own + _curvature(nu[h], tau[h], rate, own)
            step = (left[h] - rate * erf(_ROOT_HALF * nu[h] / tau[h])) / target
            precision, F, share = 1.0 / (tau[h] * tau[h]), _bound_of_one(pull, own, rate, nu[h], tau[h]), 1.0
            for _ in range(_MOST_HALVINGS):
                new_nu = nu[h] + share * step
                new_tau = 1.0 / sqrt(precision + share * (target - precision))
                found = _bound_of_one(pull, own, rate, new_nu, new_tau)
                if found > F:
                    for k in range(H):
                        left[k] -= G[h, k] * (new_nu - nu[h])
                    nu[h], tau[h] = new_nu, new_tau
                    gained += found - F
                if found >= F - _CONVERGED - _ROUNDING * abs(F):
                    break
                share *= 0.5
            enough += _ROUNDING * abs(F)
        if not gained > enough:
            break
    return max(n_sweeps, 1)


@inner_kernel(error_model="numpy")
def _bound_of_one(pull: float, own: float, rate: float, nu: float, tau: float) -> float:
    """What of F depends on the mean and deviation of one latent, that of the others given."""
    return pull * nu - 0.5 * own * (nu * nu + tau * tau) + log(tau) - rate * _magnitude(nu, tau)
