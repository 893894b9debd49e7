"""The Gaussian of each row that explains it best, where latents are Laplace distributed; `laplace` has the formulas.

With q = N(nu, P⁻¹), P = G + diag(c), and over the observed entries G = W_oᵀ W_o / sigma² and b = W_oᵀ y / sigma², what
a row gives to the free energy is up to a constant

    F = b nu - nuᵀ G nu / 2 - tr(G P⁻¹) / 2 - log |P| / 2 - sum_h <|z_h|> / lambda_h,

which is concave in nu and the Cholesky factor of the covariance (Challis and Barber, JMLR 2013), so that it has one
maximum. There c_h = 2 N(0; nu_h, tau_h²) / lambda_h with tau_h² = (P⁻¹)_hh, so that a step towards this, which is one
along the natural gradient, and Newton's in nu share an inverse. A step that lowers F is halved until it does not.
"""

from math import erf, exp, log, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel

Floats = NDArray[np.float64]

_ROOT_HALF, _ROOT_2_OVER_PI = sqrt(0.5), sqrt(2.0 / pi)
_LEAST_CURVATURE = 1e-8
"""Share of what else is known of a latent: less changes no digit of F, and leaves P too few digits for its inverse."""
_CONVERGED = 1e-12
"""Gain, as a share of F, at which a row is done."""
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
    own, P, work = np.empty((H, H)), np.empty((H, H)), np.empty((6, H))
    for n in range(b.shape[0]):
        G = gram
        if observed.shape[0] > 0:
            _fill_gram(elements, observed[n], own)
            G = own
        for h in range(H):
            if tau[n, h] == 0.0:
                tau[n, h] = 1.0 / sqrt(G[h, h] + rates[h] * rates[h])
        if correlated:
            n_looked += _climb(b[n], G, rates, most, nu[n], tau[n], c[n], P, work)
            log_determinant[n] = _inverse(G, c[n], P, work[0])
        else:
            n_looked += _climb_by_coordinates(b[n], G, rates, most, nu[n], tau[n], work[0])
            log_determinant[n] = _inverse_of_diagonal(G, tau[n], c[n], P)
        _product(G, nu[n], work[0])
        explained[n] = 0.0
        for h in range(H):
            tau[n, h] = sqrt(P[h, h])
            magnitude[n, h] = _magnitude(nu[n, h], tau[n, h])
            explained[n] += nu[n, h] * (b[n, h] - 0.5 * work[0, h]) - 0.5 * (1.0 - c[n, h] * P[h, h])
    return n_looked


@kernel(error_model="numpy")
def add_covariances(
    nu: Any, tau: Any, c: Any, gram: Any, elements: Any, W: Any, observed: Any, correlated: bool, second: Any, y_z: Any,
    y_y: Any,
) -> None:  # fmt: skip
    """Add <z zᵀ> less that of the means, packed, and what entries that were not observed are expected to add, (D, H) to
    <y zᵀ> and (D,) to <y²> but for the noise."""
    H, place = nu.shape[1], 0
    own, P, work = np.empty((H, H)), np.empty((H, H)), np.empty((2, H))
    for n in range(nu.shape[0]):
        G = gram
        if observed.shape[0] > 0:
            _fill_gram(elements, observed[n], own)
            G = own
        if correlated:
            _inverse(G, c[n], P, work[0])
        else:
            _inverse_of_diagonal(G, tau[n], c[n], P)
        place = 0
        for h in range(H):
            for k in range(h + 1):
                second[place + k] += P[h, k]
            place += h + 1
        if observed.shape[0] > 0:
            for d in range(W.shape[0]):
                if not observed[n, d]:
                    _add_hidden(W[d], nu[n], P, work[0], y_z[d], y_y[d : d + 1])


@inner_kernel(error_model="numpy")
def _add_hidden(w: Any, nu: Any, P: Any, column: Any, y_z: Any, y_y: Any) -> None:
    mean = 0.0
    for h in range(w.shape[0]):
        mean += w[h] * nu[h]
    _product(P, w, column)
    y_y[0] += mean * mean
    for h in range(w.shape[0]):
        y_z[h] += mean * nu[h] + column[h]
        y_y[0] += w[h] * column[h]


@inner_kernel(error_model="numpy")
def _inverse_of_diagonal(G: Any, tau: Any, c: Any, P: Any) -> float:
    """The same as `_inverse` for latents that are independent in q, whose c is found here."""
    log_determinant = 0.0
    for h in range(tau.shape[0]):
        for k in range(h):
            P[h, k] = 0.0
        P[h, h] = tau[h] * tau[h]
        c[h] = 1.0 / P[h, h] - G[h, h]
        log_determinant -= log(P[h, h])
    return log_determinant


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
def _inverse(G: Any, c: Any, P: Any, column: Any) -> float:
    """Fill the lower triangle of P with the inverse of G + diag(c), pivot by pivot in place; log |G + diag(c)|."""
    H, log_determinant = G.shape[0], 0.0
    for h in range(H):
        for k in range(h):
            P[h, k] = G[h, k]
        P[h, h] = G[h, h] + c[h]
    for k in range(H):
        pivot = P[k, k]
        log_determinant += log(pivot)
        for j in range(k):
            column[j] = P[k, j]
        column[k] = 0.0
        for j in range(k + 1, H):
            column[j] = P[j, k]
        for i in range(H):
            share = column[i] / pivot
            for j in range(i + 1):
                P[i, j] -= share * column[j]
        for j in range(k):
            P[k, j] = column[j] / pivot
        for j in range(k + 1, H):
            P[j, k] = column[j] / pivot
        P[k, k] = -1.0 / pivot
    for h in range(H):
        for k in range(h + 1):
            P[h, k] = -P[h, k]
    return log_determinant


@inner_kernel(error_model="numpy")
def _product(G: Any, x: Any, result: Any) -> None:
    """G x of a symmetric G, of which the lower triangle is looked at."""
    for h in range(x.shape[0]):
        total = G[h, h] * x[h]
        for k in range(h):
            total += G[h, k] * x[k]
            result[k] += G[h, k] * x[h]
        result[h] = total


@inner_kernel(error_model="numpy")
def _bound(b: Any, G: Any, rates: Any, nu: Any, c: Any, P: Any, tau: Any, Gnu: Any, column: Any) -> float:
    """F of N(nu, (G + diag(c))⁻¹), whose covariance, deviations and G nu are left behind."""
    log_determinant = _inverse(G, c, P, column)
    _product(G, nu, Gnu)
    result = -0.5 * log_determinant
    for h in range(nu.shape[0]):
        tau[h] = sqrt(P[h, h])
        result += nu[h] * (b[h] - 0.5 * Gnu[h]) + 0.5 * c[h] * P[h, h] - rates[h] * _magnitude(nu[h], tau[h])
    return result


@inner_kernel(error_model="numpy")
def _climb(b: Any, G: Any, rates: Any, most: int, nu: Any, tau: Any, c: Any, P: Any, work: Any) -> int:
    """Steps of a row, with all latents together; how many Gaussians were looked at."""
    H = nu.shape[0]
    step, target, new_nu, new_c, Gnu, column = work[0], work[1], work[2], work[3], work[4], work[5]
    for h in range(H):
        c[h] = _curvature(nu[h], tau[h], rates[h], G[h, h])
    F, n_looked = _bound(b, G, rates, nu, c, P, tau, Gnu, column), 1
    for _ in range(most):
        for h in range(H):
            column[h] = b[h] - Gnu[h] - rates[h] * erf(_ROOT_HALF * nu[h] / tau[h])
            target[h] = _curvature(nu[h], tau[h], rates[h], G[h, h])
        _product(P, column, step)
        share, gained = 1.0, 0.0
        for _ in range(_MOST_HALVINGS):
            for h in range(H):
                new_nu[h] = nu[h] + share * step[h]
                new_c[h] = c[h] + share * (target[h] - c[h])
            found = _bound(b, G, rates, new_nu, new_c, P, tau, Gnu, column)
            n_looked += 1
            gained = found - F
            if gained >= -_CONVERGED * (1.0 + abs(F)):
                break
            share *= 0.5
        if gained > 0.0:
            F = found
            for h in range(H):
                nu[h], c[h] = new_nu[h], new_c[h]
        if not gained > _CONVERGED * (1.0 + abs(F)):  # nor where it is no number
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
        gained, scale = 0.0, 1.0
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
                if found >= F - _CONVERGED * (1.0 + abs(F)):
                    break
                share *= 0.5
            scale += abs(F)
        if not gained > _CONVERGED * scale:
            break
    return max(n_sweeps, 1)


@inner_kernel(error_model="numpy")
def _bound_of_one(pull: float, own: float, rate: float, nu: float, tau: float) -> float:
    """What of F depends on the mean and deviation of one latent, that of the others given."""
    return pull * nu - 0.5 * own * (nu * nu + tau * tau) + log(tau) - rate * _magnitude(nu, tau)
