"""Mixtures of factor analyzers beside their plain definition, and what is known of them."""

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA, FactorAnalysis

import prosper_ng
from prosper_ng.errors import NumericalError
from prosper_ng.latents.index_space import NO_STATE
from prosper_ng.models.interface import MStep, learnable
from prosper_ng.models.mfa import Mfa
from prosper_ng.testing import ModelCase, parametrize_with_checks, random_parameters
from prosper_ng.testing.problems import batch_of_observed, exact, statistics, target_of


def gaussian(model, params, c):
    """The mean (D,) and covariance (D, D) of component c."""
    A = params["A"][:, c]
    Psi = np.square(params["sigma"]) if model.noise == "shared" else params["Psi"][..., c]
    return params["W"][:, c], A @ A.T + Psi * np.eye(len(A))


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
    "mfa-shared": case(n_factors=2, noise="shared", unused="redraw"),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


def rows_of(C, D, F, n_rows, distance=2.0, rank=None):
    """Rows of components that lie apart, in a space of that rank, and are longer in some directions than in others."""
    rng = np.random.default_rng(0)
    W, A, c = distance * rng.normal(size=(C, D)), rng.normal(size=(C, D, F)), rng.integers(C, size=n_rows)
    if rank is not None:
        W = W[:, :rank] @ rng.normal(size=(rank, D))
    return W[c] + np.einsum("nf,ndf->nd", rng.normal(size=(n_rows, F)), A[c]) + 0.5 * rng.normal(size=(n_rows, D))


def learned(values, n_sweeps=30, estep="exhaustive", training=None, **options):
    """A learned model, by default of three components with two factors; options of the model, and of learning."""
    fields = {"n_components": 3, "n_factors": 2} | {
        name: options.pop(name) for name in list(options) if name in Mfa.__dataclass_fields__
    }
    settled = {"n_sweeps": n_sweeps} | (training or {})
    return prosper_ng.learn(values, Mfa(**fields), estep=estep, training=settled, progress=False, **options)


def energies(*args, **options):
    return learned(*args, **options).history["free_energy"]


ONE = rows_of(1, 6, 2, 3000) * np.linspace(0.5, 2.0, 6) + 7.0
"""The noise of its columns differs."""
SEVERAL = rows_of(3, 6, 2, 900)


def test_one_component_with_one_variance_is_probabilistic_pca():
    found = energies(ONE, n_components=1, noise="scalar")[-1]
    expected = PCA(n_components=2, svd_solver="full").fit(ONE).score(ONE)
    assert found == pytest.approx(expected, abs=1e-6)
    assert found >= expected  # that of PCA has covariances over N - 1


def test_components_that_share_their_noise_have_one_variance_if_they_are_one():
    scalar, shared = (energies(ONE, n_components=1, noise=noise) for noise in ("scalar", "shared"))
    np.testing.assert_allclose(shared, scalar, atol=1e-12)


def test_noise_that_all_components_share_is_found():
    found = learned(SEVERAL, noise="shared")
    assert found.params["sigma"] == pytest.approx(0.5, rel=0.05)


def test_one_component_is_factor_analysis():
    found = energies(ONE, n_sweeps=200, n_components=1)[-1]
    expected = FactorAnalysis(n_components=2, tol=1e-13, max_iter=10_000, svd_method="lapack").fit(ONE).score(ONE)
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("noise", ["diagonal", "scalar", "shared"])
def test_the_entropy_gap_is_closed_by_every_m_step(noise):
    assert learned(SEVERAL, noise=noise).history["entropy_gap"] == pytest.approx(0, abs=1e-12)


def test_some_components_of_each_row_are_as_good_as_all():
    values = rows_of(20, 12, 2, 3000, distance=3.0)
    whole = learned(values, n_sweeps=40, n_components=20)
    some = learned(values, n_sweeps=40, n_components=20, estep={"kind": "clusters", "n_near": 6})
    again = learned(values, n_sweeps=1, n_components=20, start=some)  # all components weighed once
    assert again.history["free_energy"][0] == pytest.approx(whole.history["free_energy"][-1], rel=0.02)
    assert some.history["n_evaluated"][-1] < 0.8 * whole.history["n_evaluated"][-1]


def test_columns_in_other_units_change_the_free_energy_by_the_jacobian():
    units = 10.0 ** np.array([-6, 6, 0, -3, 4, -1])
    assert energies(SEVERAL * units) + np.log(units).sum() == pytest.approx(energies(SEVERAL), abs=1e-9)


@pytest.mark.parametrize("noise", ["diagonal", "scalar", "shared"])
def test_an_offset_changes_nothing(noise):
    values = np.round(SEVERAL * 1024) / 1024
    offset = 1e6 * np.array([1, -1, 2, 0, 1, -3])
    assert energies(values + offset, noise=noise) == pytest.approx(energies(values, noise=noise), abs=1e-8)


@pytest.mark.parametrize("noise", ["diagonal", "scalar", "shared"])
@pytest.mark.parametrize("n_parts", [1, 4])
def test_with_gaps_and_in_parts_the_free_energy_only_rises(noise, n_parts):
    values = SEVERAL.copy()
    values[:, 1:][np.random.default_rng(1).random((900, 5)) < 0.35] = np.nan
    training = {"updates_per_sweep": n_parts, "block_rows": 64}
    found = energies(values, noise=noise, missing=True, training=training)
    assert (np.diff(found) > -1e-9).all()
    assert found[-1] > found[0] + 1


@pytest.mark.parametrize("estep", ["exhaustive", "clusters"])
def test_any_number_of_ranks_learns_the_same_bits(estep):
    training = {"updates_per_sweep": 2, "block_rows": 64}
    one, other = (learned(SEVERAL, 10, estep, training, n_jobs=n_jobs) for n_jobs in (1, 3))
    for name, values in one.params.items():
        assert values.tobytes() == other.params[name].tobytes(), name


def test_a_start_far_from_all_rows_leaves_digits():
    """Factors of 10^9, far from what they vary by, would leave none."""
    found = learned(SEVERAL, n_sweeps=80, start={"W": np.full((6, 3), 1e9)})
    again = energies(SEVERAL, n_sweeps=1, start=found)[0]  # factors are measured from 0 again
    assert found.history["free_energy"][-1] == pytest.approx(again, abs=1e-3)
    assert again > energies(SEVERAL, n_components=1)[-1]


def conditional_mean(model, params, row):
    """(D,) E[y | what was observed], from the joint mixture of Gaussians."""
    known, means, logs = ~np.isnan(row), [], np.log(params["pi"])
    for c in range(model.n_components):
        mean, covariance = gaussian(model, params, c)
        own = covariance[np.ix_(known, known)]
        of_factors = params["A"][:, c] @ params["A"][:, c].T  # what is observed is predicted without its noise
        gain = np.linalg.solve(own, row[known] - mean[known])
        means.append(mean + of_factors[:, known] @ gain)
        logs[c] += stats.multivariate_normal.logpdf(row[known], mean[known], own)
    weights = np.exp(logs - logs.max())
    return weights @ np.array(means) / weights.sum()


@pytest.mark.parametrize("noise", ["diagonal", "scalar", "shared"])
def test_gaps_are_filled_with_their_mean_given_what_was_observed(noise):
    rng = np.random.default_rng(3)
    model = Mfa(n_components=3, n_factors=2, noise=noise)
    params = random_parameters(model, 5, rng)
    values = model.sample(params, 30, rng)[0]
    observed = rng.random(values.shape) < 0.6
    observed[:, 0], observed[:5] = True, True
    target, codes, posterior = exact(model, params, values, observed)
    found = model.reconstruct(target.prepared, target.projected, codes, posterior.weights)
    for row, own in zip(np.where(observed, values, np.nan), found, strict=True):
        assert own == pytest.approx(conditional_mean(model, params, row), rel=1e-9)


@pytest.mark.parametrize("noise", ["diagonal", "scalar", "shared"])
def test_samples_have_the_means_and_covariances_of_their_components(noise):
    rng = np.random.default_rng(0)
    model = Mfa(n_components=2, n_factors=2, noise=noise)
    params = random_parameters(model, 3, rng)
    values, states = model.sample(params, 100_000, rng)
    for c in range(2):
        mean, covariance = gaussian(model, params, c)
        own = values[states[:, 0] == c]
        assert own.mean(axis=0) == pytest.approx(mean, abs=0.05)
        assert np.cov(own.T) == pytest.approx(covariance, abs=0.05 * covariance.max())


def test_components_are_near_whose_means_they_reach():
    model = Mfa(n_components=4, n_factors=2)
    params = random_parameters(model, 5, np.random.default_rng(2))
    found = model.likeness(model.prepare(params), np.arange(3), np.arange(4))
    for (c, other), value in np.ndenumerate(found):
        mean, covariance = gaussian(model, params, c)
        expected = stats.multivariate_normal.logpdf(params["W"][:, other], mean, covariance)
        expected -= stats.multivariate_normal.logpdf(mean, mean, covariance)
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_no_state_has_no_probability_and_adds_nothing():
    model, rng = Mfa(n_components=3, n_factors=2), np.random.default_rng(4)
    params = random_parameters(model, 5, rng)
    values = model.sample(params, 7, rng)[0]
    observed = np.arange(7)[:, None] * np.ones(5) < 4
    for seen in (None, observed):
        target = target_of(model, params, batch_of_observed(values, seen))
        codes = np.full((7, 2, 1), NO_STATE)
        codes[:, 0] = 1
        log_joint = target.log_joint(codes)
        assert (log_joint[:, 1] == -np.inf).all()
        weights = np.repeat([[1.0, 0.0]], 7, axis=0)
        alone = statistics(target, np.ascontiguousarray(codes[:, :1]), weights[:, :1])
        assert statistics(target, codes, weights).buffer.tobytes() == alone.buffer.tobytes()


def test_what_statistics_are_taken_of_is_seen_in_no_posterior():
    model, rng = Mfa(n_components=3, n_factors=2), np.random.default_rng(5)
    params = random_parameters(model, 5, rng)
    values = model.sample(params, 200, rng)[0]
    other = params.copy()
    other["origin"], other["frame"] = 0.0, 0.0
    names = frozenset(learnable(model.parameters(5)))
    new = [model.maximize(each, exact(model, each, values).sums, MStep(names)) for each in (params, other)]
    for name in sorted(names - {"A"}):
        assert new[0][name] == pytest.approx(new[1][name], rel=1e-9), name
    for c in range(3):
        assert gaussian(model, new[0], c)[1] == pytest.approx(gaussian(model, new[1], c)[1], rel=1e-8)


def test_a_component_without_rows_keeps_its_values_or_is_drawn_anew():
    values, start = SEVERAL[:200], {"W": np.column_stack([*SEVERAL[:2], np.full(6, 1e3)])}
    kept, redrawn = (learned(values, n_sweeps=1, start=start, unused=unused) for unused in ("keep", "redraw"))
    assert (kept.params["W"][:, 2] == 1e3).all()
    assert (np.abs(redrawn.params["W"][:, 2]) < 30).all()


def test_numbers_beyond_double_precision_are_named():
    with pytest.raises(NumericalError, match="model mfa: A² / Psi leaves double precision; start with a larger Psi"):
        learned(SEVERAL, start={"A": np.full((6, 3, 2), 1e130), "Psi": np.full((6, 3), 1e-150)})


@pytest.mark.slow
def test_many_components_are_learned_from_a_few_of_each_row():
    values = rows_of(1000, 20, 3, 20_000, distance=5.0, rank=4)
    whole = energies(values, 10, n_components=1000, n_factors=3)
    some = learned(values, 10, "clusters", n_components=1000, n_factors=3)
    assert some.history["free_energy"][-1] == pytest.approx(whole[-1], rel=0.02)
    assert some.history["n_evaluated"][-1] < 0.06 * 1000


@pytest.mark.parametrize(("n_factors", "n_said"), [(4, 1), (3, 0)])
def test_factors_as_many_as_columns_are_doubtful(n_factors, n_said, recwarn):
    rows = np.random.default_rng(0).standard_normal((60, 4))
    prosper_ng.learn(rows, Mfa(n_components=2, n_factors=n_factors), training={"n_sweeps": 1}, progress=False)
    assert sum("4 factors explain rows of 4 values: " in str(each.message) for each in recwarn) == n_said
