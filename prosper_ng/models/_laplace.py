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
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    load,
    load_row,
    minus_product,
    plus_product,
    store,
    store_row,
    sum_of_lanes,
    times,
)

Floats = NDArray[np.float64]

_ROOT_HALF, _ROOT_2_OVER_PI = sqrt(0.5), sqrt(2.0 / pi)
_LEAST_CURVATURE = 1e-11
"""Share of what else is known of a latent: less changes no digit of F, and leaves P too few digits for its factor."""
CONVERGED, _ROUNDING = 1e-10, 1e-14
"""What a row may be below its maximum: in nats, and as a share of F."""
_MOST_STEPS, _MOST_HALVINGS = 200, 40
_STRIPE = 2 * LANES
"""Columns that are worked on together."""


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
    width = -(-H // _STRIPE) * _STRIPE
    G, U, R, work = np.zeros((H, width)), np.zeros((H, width)), np.zeros((H, width)), np.zeros((7, width))
    G[:, :H] = gram
    for n in range(b.shape[0]):
        if observed.shape[0] > 0:
            _fill_gram(elements, observed[n], G)
        for h in range(H):
            if tau[n, h] == 0.0:
                tau[n, h] = 1.0 / sqrt(G[h, h] + rates[h] * rates[h])
        if correlated:
            n_looked += _climb(b[n], G, rates, most, nu[n], tau[n], c[n], U, R, work)
            log_determinant[n] = _factorize(G, c[n], U, R, work[0])
            for h in range(H):
                tau[n, h] = sqrt(work[0, h])
        else:
            n_looked += _climb_by_coordinates(b[n], G, rates, most, nu[n], tau[n], work[0], work[1])
            log_determinant[n] = 0.0
        _set_product(G, nu[n], work[0], work[1])
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
    width = -(-H // _STRIPE) * _STRIPE
    G, U, R, work = np.zeros((H, width)), np.zeros((H, width)), np.zeros((H, width)), np.zeros((2, width))
    G[:, :H] = gram
    total = np.zeros((H, width))
    for n in range(nu.shape[0]):
        if correlated:
            if observed.shape[0] > 0:
                _fill_gram(elements, observed[n], G)
            _factorize(G, c[n], U, R, work[0])
        else:
            for h in range(H):
                R[h, h] = tau[n, h]
        # The covariance is that of independent variables, of which the rows of R are made.
        for i in range(H):
            for h in range(i + 1):
                share = all_lanes(R[i, h])
                for j in range(0, h + 1, LANES):
                    store(total, h, j, plus_product(load(total, h, j), share, load(R, i, j)))
        if observed.shape[0] > 0:
            for d in range(W.shape[0]):
                if not observed[n, d]:
                    _add_hidden(W[d], nu[n], R, work[0], work[1], y_z[d], y_y[d : d + 1])
    place = 0
    for h in range(H):
        second[place : place + h + 1] += total[h, : h + 1]
        place += h + 1


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
    H = elements.shape[1]
    for h in range(H):
        for k in range(H):
            G[h, k] = 0.0
    for d in range(elements.shape[0]):
        if observed[d]:
            for h in range(H):
                for k in range(H):
                    G[h, k] += elements[d, h] * elements[d, k]


@inner_kernel(error_model="numpy")
def _factorize(G: Any, c: Any, U: Any, R: Any, variances: Any) -> float:
    """Fill P = Uᵀ U, G + diag(c) with U upper triangular, and R = U⁻ᵀ, by one elimination; (H,) variances; log |P|.

    Of U, what is left of the diagonal within a stripe is anything; of R, what is right of it is 0.
    """
    H, width, log_determinant = G.shape[0], G.shape[1], 0.0
    for j in range(0, width, LANES):
        store_row(variances, j, all_lanes(0.0))
    for i in range(H):
        first = i - i % _STRIPE
        end = first + _STRIPE
        for j in range(first, width, LANES):
            store(U, i, j, load(G, i, j))
        for j in range(0, end, LANES):
            store(R, i, j, all_lanes(0.0))
        U[i, i] += c[i]
        R[i, i] = 1.0
        for j in range(first, width, _STRIPE):
            _subtract_rows(i, 0, U, U, j)
        for j in range(0, end, _STRIPE):
            _subtract_rows(i, j, U, R, j)
        pivot = sqrt(max(U[i, i], 1e-16 * (G[i, i] + c[i])))
        log_determinant += 2.0 * log(pivot)
        inverse = all_lanes(1.0 / pivot)
        for j in range(first, width, LANES):
            store(U, i, j, times(load(U, i, j), inverse))
        U[i, i] = pivot
        for j in range(0, end, LANES):
            entry = times(load(R, i, j), inverse)
            store(R, i, j, entry)
            store_row(variances, j, plus_product(load_row(variances, j), entry, entry))
    return log_determinant


@inner_kernel(error_model="numpy")
def _subtract_rows(i: int, first: int, U: Any, A: Any, j: int) -> None:
    """Subtract U_ki times row k of A, k from `first` to i, from its row i, in the stripe of columns from j on.

    Two vectors at a time take as long as one, since each sum is a chain of operations.
    """
    one, two = load(A, i, j), load(A, i, j + LANES)
    for k in range(first, i):
        share = all_lanes(U[k, i])
        one = minus_product(one, share, load(A, k, j))
        two = minus_product(two, share, load(A, k, j + LANES))
    store(A, i, j, one)
    store(A, i, j + LANES, two)


@inner_kernel(error_model="numpy")
def _solve(U: Any, x: Any) -> None:
    """Replace x by P⁻¹ x: substitution loses less than a product with the inverse where P has small eigenvalues."""
    H, width = U.shape
    for i in range(H):
        x[i] /= U[i, i]
        end = i - i % LANES + LANES
        for j in range(i + 1, min(end, H)):
            x[j] -= U[i, j] * x[i]
        share = all_lanes(x[i])
        for j in range(end, width, LANES):
            store_row(x, j, minus_product(load_row(x, j), share, load(U, i, j)))
    for i in range(H - 1, -1, -1):
        end, rest = i - i % LANES + LANES, all_lanes(0.0)
        for j in range(end, width, LANES):
            rest = plus_product(rest, load_row(x, j), load(U, i, j))
        x[i] -= sum_of_lanes(rest)
        for j in range(i + 1, min(end, H)):
            x[i] -= U[i, j] * x[j]
        x[i] /= U[i, i]


@inner_kernel(error_model="numpy")
def _set_product(G: Any, x: Any, result: Any, whole: Any) -> None:
    """G x (H,) for x (H,), which is copied to the whole vectors of `whole`."""
    for h in range(x.shape[0]):
        whole[h] = x[h]
    for h in range(x.shape[0]):
        total = all_lanes(0.0)
        for j in range(0, G.shape[1], LANES):
            total = plus_product(total, load(G, h, j), load_row(whole, j))
        result[h] = sum_of_lanes(total)


@inner_kernel(error_model="numpy")
def _bound(b: Any, G: Any, rates: Any, nu: Any, c: Any, U: Any, R: Any, tau: Any, work: Any) -> float:
    """F of N(nu, (G + diag(c))⁻¹), whose factor and deviations are left behind."""
    result = -0.5 * _factorize(G, c, U, R, tau)
    _set_product(G, nu, work[0], work[1])
    for h in range(nu.shape[0]):
        result += nu[h] * (b[h] - 0.5 * work[0, h]) + 0.5 * c[h] * tau[h]
        tau[h] = sqrt(tau[h])
        result -= rates[h] * _magnitude(nu[h], tau[h])
    return result


@inner_kernel(error_model="numpy")
def _climb(b: Any, G: Any, rates: Any, most: int, nu: Any, tau: Any, c: Any, U: Any, R: Any, work: Any) -> int:
    """Steps of a row, with all latents together; how many Gaussians were looked at."""
    H = nu.shape[0]
    best, target, new_nu, new_c, deviations = work[0], work[1], work[2, :H], work[3, :H], work[4]
    for h in range(H):
        c[h] = _curvature(nu[h], tau[h], rates[h], G[h, h])
    F, n_looked, before = _bound(b, G, rates, nu, c, U, R, deviations, work[5:]), 1, 0.0
    for _ in range(most):
        for h in range(H):
            best[h] = b[h] + c[h] * nu[h] - rates[h] * erf(_ROOT_HALF * nu[h] / deviations[h])
            target[h] = _curvature(nu[h], deviations[h], rates[h], G[h, h])
        _solve(U, best)
        share, gained, enough = 1.0, 0.0, CONVERGED + _ROUNDING * abs(F)
        for _ in range(_MOST_HALVINGS):
            for h in range(H):
                new_nu[h] = nu[h] + share * (best[h] - nu[h])
                new_c[h] = c[h] + share * (target[h] - c[h])
            gained = _bound(b, G, rates, new_nu, new_c, U, R, deviations, work[5:]) - F
            n_looked += 1
            if gained >= -enough:
                break
            share *= 0.5
        if gained > 0.0:
            F += gained
            for h in range(H):
                nu[h], c[h] = new_nu[h], new_c[h]
        # Gains fall by a factor, which tells what is still to come.
        rest = gained * gained / max(before - gained, _ROUNDING) if before > 0.0 else gained
        if not (gained > 0.0 and rest > enough):  # nor where it is no number
            break
        before = gained
    return n_looked


@inner_kernel(error_model="numpy")
def _climb_by_coordinates(b: Any, G: Any, rates: Any, most: int, nu: Any, tau: Any, left: Any, whole: Any) -> int:
    """Steps of a row, one latent after the other, each independent of the others in q; how many were looked at."""
    H, n_sweeps = nu.shape[0], 0
    _set_product(G, nu, left, whole)
    for h in range(H):
        left[h] = b[h] - left[h]
    for _ in range(most):
        n_sweeps += 1
        gained, enough = 0.0, CONVERGED
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
                if found >= F - CONVERGED - _ROUNDING * abs(F):
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
