"""Mixtures of factor analyzers beside their plain definition, and what is known of them."""

import numpy as np
from scipy import stats

from prosper_ng.models.mfa import Mfa
from prosper_ng.testing import ModelCase, parametrize_with_checks


def gaussian(model, params, c):
    """The mean (D,) and covariance (D, D) of component c."""
    A = params["A"][:, c]
    Psi = np.broadcast_to(params["Psi"][c] if model.noise == "scalar" else params["Psi"][:, c], len(A))
    return params["W"][:, c], A @ A.T + np.diag(Psi)


def prior(model, params, states):
    """(S,) log p(c)."""
    pi = np.full(model.n_components, 1 / model.n_components) if model.equal_weights else params["pi"]
    return np.log(pi / pi.sum())[states[:, 0].astype(int)]


def log_joint(model, params, values, states, observed):
    """(n, S) log p(c, y)."""
    found = np.tile(prior(model, params, states), (len(values), 1))
    for s, c in enumerate(states[:, 0].astype(int)):
        mean, covariance = gaussian(model, params, c)
        for n, seen in enumerate(observed):
            if seen.any():
                own = covariance[np.ix_(seen, seen)]
                found[n, s] += stats.multivariate_normal.logpdf(values[n, seen], mean[seen], own)
    return found


def case(**options):
    return ModelCase(lambda n: Mfa(n_components=n, **options), log_joint, prior)


CASES = {
    "mfa-diagonal": case(n_factors=2, unused="redraw"),
    "mfa-scalar": case(n_factors=3, noise="scalar", equal_weights=True),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()
