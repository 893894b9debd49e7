"""Laplace latents with Gaussian posteriors, beside integrals, a general optimizer and FastICA."""

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats
from sklearn.decomposition import FastICA

import prosper_ng
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.gaussian import Gaussian
from prosper_ng.latents.posterior import UNTEMPERED, Tempering
from prosper_ng.models.interface import Batch, MStep
from prosper_ng.models.laplace import Laplace
from prosper_ng.numerics.linear import unpacked
from prosper_ng.numerics.matching import recovered
from prosper_ng.numerics.named_arrays import NamedArrays
from scripts.bench.laplace import ANNEALED, rows_of

D, H = 5, 3
LEARN_ALL = MStep(frozenset({"W", "lambda", "sigma"}))
NOISE = pytest.mark.parametrize("noise", ["scalar", "diagonal"])
COVARIANCE = pytest.mark.parametrize("covariance", ["full", "diagonal"])
MISSING = pytest.mark.parametrize("missing", [0.0, 0.3])


def problem(noise="scalar", n_rows=40, missing=0.0, seed=0, n_latents=H):
    """A model, parameters, and rows drawn from it."""
    rng, model = np.random.default_rng(seed), Laplace(n_latents=n_latents, noise=noise)
    sigma = 0.4 if noise == "scalar" else rng.uniform(0.3, 0.9, D)
    scales = rng.uniform(0.5, 2.0, n_latents)
    params = NamedArrays.of(W=rng.normal(size=(D, n_latents)), **{"lambda": scales}, sigma=sigma)
    observed = rng.random((n_rows, D)) >= missing
    values = np.where(observed, model.sample(params, n_rows, rng)[0], 0.0)
    return model, params, Batch(np.arange(n_rows), values, observed if missing else None)


def fitted(model, params, batch, correlated=True, tempering=UNTEMPERED):
    """The posteriors of all rows."""
    start = (np.zeros((len(batch.values), model.n_latents)),) * 2
    prepared = model.prepare(params)
    return model.fit_gaussians(prepared, model.project(prepared, batch), batch, start, correlated, tempering)


def sums_of(model, found):
    sums = NamedArrays(model.statistics(D))
    found.accumulate(None, sums)
    return sums


def seen(params, batch, n):
    """W and the noise of the observed entries of a row, in units of which it is independent."""
    known = np.ones(D, bool) if batch.observed is None else batch.observed[n]
    sigma = np.broadcast_to(params["sigma"], D)[known]
    return params["W"][known], sigma, batch.values[n, known]


def bound(params, batch, n, mean, factor, weights=(1.0, 1.0)):
    """H[q] + <log p(z, y)> of q = N(mean, factor factorᵀ) by what is known of Gaussians, written down plainly."""
    W, sigma, y = seen(params, batch, n)
    T, rates = factor @ factor.T, 1 / params["lambda"]
    tau = np.sqrt(np.diag(T))
    magnitude = tau * np.sqrt(2 / np.pi) * np.exp(-0.5 * (mean / tau) ** 2) + mean * special.erf(
        mean / tau / np.sqrt(2)
    )
    likelihood = stats.norm.logpdf(y, W @ mean, sigma).sum() - 0.5 * np.sum(((W @ T) * W).sum(1) / sigma**2)
    entropy = 0.5 * len(mean) * np.log(2 * np.pi * np.e) + np.log(np.abs(np.diag(factor))).sum()
    return entropy + weights[1] * likelihood + weights[0] * np.sum(np.log(0.5 * rates) - rates * magnitude)


def best_of_all(params, batch, n, correlated, weights=(1.0, 1.0)):
    """The largest of these, by a general optimizer, and the mean of that q."""
    lower = np.tril_indices(H) if correlated else np.diag_indices(H)

    def loss(x):
        factor = np.zeros((H, H))
        factor[lower] = x[H:]
        return -bound(params, batch, n, x[:H], factor, weights)

    first = np.zeros(H + len(lower[0]))
    first[H:] = (0.3 * np.eye(H))[lower]
    found = optimize.minimize(loss, first, method="BFGS", options={"gtol": 1e-8, "maxiter": 10_000})
    return -found.fun, found.x[:H]


@NOISE
@MISSING
@pytest.mark.parametrize("correlated", [True, False])
def test_posteriors_are_the_best_gaussians(noise, missing, correlated):
    model, params, batch = problem(noise, 8, missing)
    found = fitted(model, params, batch, correlated)
    for n in range(8):
        energy, mean = best_of_all(params, batch, n, correlated)
        assert found.free_energy[n] == pytest.approx(energy, abs=1e-7)
        assert found.nu[n] == pytest.approx(mean, abs=1e-3)


@pytest.mark.parametrize("weights", [(0.4, 1.0), (1.0, 0.3), (0.5, 0.2), (3.0, 2.0)])
def test_weights_change_what_the_best_gaussian_is_and_not_what_it_is_worth(weights):
    model, params, batch = problem(n_rows=4)
    found = fitted(model, params, batch, True, Tempering(prior_weight=weights[0], noise_weight=weights[1]))
    plain = fitted(model, params, batch)
    assert (found.free_energy < plain.free_energy - 1e-3).all()
    for n in range(4):
        assert found.nu[n] == pytest.approx(best_of_all(params, batch, n, True, weights)[1], abs=1e-3)


@MISSING
def test_free_energies_are_below_log_p_and_not_far_by_integration(missing):
    model, params, batch = problem(n_rows=6, missing=missing, n_latents=1)
    found, scale = fitted(model, params, batch), float(params["lambda"][0])
    for n in range(6):
        W, sigma, y = seen(params, batch, n)

        def density(z, W=W, sigma=sigma, y=y):
            return np.exp(stats.norm.logpdf(y, W[:, 0] * z, sigma).sum()) * stats.laplace.pdf(z, scale=scale)

        edges = [-np.inf, 0.0, *sorted({0.0, float(found.nu[n, 0])} - {0.0}), np.inf]
        parts = zip(sorted(edges), sorted(edges)[1:], strict=False)
        exact = np.log(sum(integrate.quad(density, low, high, epsabs=1e-13)[0] for low, high in parts))
        assert exact - 0.2 < found.free_energy[n] < exact + 1e-9


@NOISE
@MISSING
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.6, 0.3)])
@pytest.mark.parametrize("correlated", [True, False])
def test_statistics_tell_the_free_energy_and_the_m_step_is_a_maximum(noise, missing, weights, correlated):
    model, params, batch = problem(noise, 60, missing)
    found = fitted(model, params, batch, correlated, Tempering(prior_weight=weights[0], noise_weight=weights[1]))
    sums = sums_of(model, found)
    total = model.expected_log_joint(params, sums) + found.entropy.sum() + sums["hidden_entropy"]
    assert total == pytest.approx(found.free_energy.sum(), rel=1e-12)
    new = model.maximize(params, sums, LEARN_ALL)
    expected = model.expected_log_joint(new, sums)
    assert expected / 60 == pytest.approx(-model.entropy(new, sums), abs=1e-10)
    for name, values in new.items():
        for step in (1e-4, -1e-4):
            for place in np.ndindex(values.shape):
                other = new.copy()
                other[name][place] += step
                assert model.expected_log_joint(other, sums) < expected


@pytest.mark.parametrize("correlated", [True, False])
def test_moments_are_those_of_the_posteriors(correlated):
    model, params, batch = problem(n_rows=20, missing=0.3)
    found = fitted(model, params, batch, correlated)
    second, y_z, y_y = np.zeros((H, H)), np.zeros((D, H)), 0.0
    for n in range(20):
        W, sigma, _ = seen(params, batch, n)
        P = W.T @ (W / sigma[:, None] ** 2) + np.diag(found.fit.c[n])
        T = np.linalg.inv(P) if correlated else np.diag(found.tau[n] ** 2)
        assert found.tau[n] == pytest.approx(np.sqrt(np.diag(T)), rel=1e-9)
        zz = T + np.outer(found.nu[n], found.nu[n])
        second += zz
        expected = np.where(batch.observed[n], batch.values[n], params["W"] @ found.nu[n])
        hidden = np.where(batch.observed[n], 0.0, 1.0)[:, None] * (params["W"] @ T)
        y_z += np.outer(expected, found.nu[n]) + hidden
        y_y += expected @ expected + np.sum(hidden * params["W"]) + (~batch.observed[n]).sum() * params["sigma"] ** 2
    sums = sums_of(model, found)
    np.testing.assert_allclose(unpacked(sums["szsz"]), second, rtol=1e-9)
    np.testing.assert_allclose(sums["y_sz"], y_z, rtol=1e-9, atol=1e-9)
    assert sums["y_y"] == pytest.approx(y_y, rel=1e-9)


def test_samples_have_the_moments_of_the_model():
    model, params, _ = problem("diagonal")
    values, z = model.sample(params, 100_000, np.random.default_rng(1))
    assert np.abs(z).mean(axis=0) == pytest.approx(params["lambda"], rel=0.02)
    expected = 2 * params["W"] @ np.diag(params["lambda"] ** 2) @ params["W"].T + np.diag(params["sigma"] ** 2)
    np.testing.assert_allclose(np.cov(values.T), expected, rtol=0.05, atol=0.3)


def test_real_numbers_get_gaussians_and_nothing_else():
    assert Auto().resolved(Laplace(n_latents=2)).reason == (
        "gaussian, because the latents of model laplace are real numbers"
    )
    for estep, model in (("search", "laplace"), ("gaussian", "bsc")):
        with pytest.raises(UserError, match=f"estep {estep} cannot serve model {model}, which lacks"):
            learned(estep=estep, model={"kind": model, "n_latents": 3})


W_TRUE, ROWS = rows_of(0)


def learned(values=ROWS, n_sweeps=20, model=None, estep="gaussian", n_jobs=1, **training):
    options = {"missing": bool(np.isnan(values).any()), "n_jobs": n_jobs, "progress": False, "seed": 3}
    model = model or Laplace(n_latents=8)
    return prosper_ng.learn(values, model, estep=estep, training={"n_sweeps": n_sweeps} | training, **options)


def with_gaps(values):
    return np.where(np.random.default_rng(1).random(values.shape) < 0.2, np.nan, values)


@NOISE
@COVARIANCE
@pytest.mark.parametrize("gaps", [False, True])
def test_the_free_energy_only_rises_and_is_a_sum_of_entropies(noise, covariance, gaps):
    values, estep = with_gaps(ROWS) if gaps else ROWS, Gaussian(covariance=covariance)
    found = learned(values, estep=estep, model=Laplace(n_latents=8, noise=noise), updates_per_sweep=3)
    assert np.abs(found.history["entropy_gap"]).max() < 1e-10
    assert (np.diff(found.history["free_energy"]) > -1e-9).all()
    assert found.history["free_energy"][-1] > found.history["free_energy"][0] + 1


def test_correlated_posteriors_are_worth_something():
    full, diagonal = (learned(estep=Gaussian(covariance=each)) for each in ("full", "diagonal"))
    assert full.history["free_energy"][-1] > diagonal.history["free_energy"][-1] + 0.1


def test_weights_on_entropies_end_no_run_and_leave_the_identity():
    found = learned(annealing=ANNEALED, n_sweeps=30, updates_per_sweep=2)
    assert np.abs(found.history["entropy_gap"]).max() < 1e-10
    assert found.history["settled"].tolist() == [0.0] * 21 + [1.0] * 9
    assert (np.diff(found.history["free_energy"])[21:] > -1e-9).all()


@COVARIANCE
def test_any_number_of_threads_learns_and_says_the_same_bits(covariance):
    options = {"estep": Gaussian(covariance=covariance), "updates_per_sweep": 2, "block_rows": 64}
    one, other = (learned(with_gaps(ROWS), 5, n_jobs=n_jobs, **options) for n_jobs in (1, 3))
    assert one.params.buffer.tobytes() == other.params.buffer.tobytes()
    whole, some = one.posterior(ROWS), one.posterior(ROWS[3:40], n_jobs=2)
    for name in ("means", "deviations", "free_energy"):
        assert getattr(whole, name)[3:40].tobytes() == getattr(some, name).tobytes()


def test_what_is_said_of_rows_are_means_and_deviations(tmp_path):
    found = learned(with_gaps(ROWS), n_sweeps=60, annealing=ANNEALED)
    said = found.posterior(ROWS)
    assert said.states.shape == (800, 0, 8)
    assert said.deviations.shape == said.means.shape == (800, 8)
    assert set(said.to_xarray()) >= {"means", "deviations", "free_energy"}
    filled = found.reconstruct(with_gaps(ROWS), missing=True).filled
    is_gap = np.isnan(with_gaps(ROWS))
    assert np.mean((filled - ROWS)[is_gap] ** 2) < 0.5 * np.mean(ROWS[is_gap] ** 2)
    assert found.reconstruct(ROWS).prediction == pytest.approx(said.means @ found.params["W"].T)
    values, z = found.sample(5)
    assert (values.shape, z.shape, z.dtype) == ((5, 12), (5, 8), np.float64)
    found.save(tmp_path / "laplace.h5")
    assert prosper_ng.load(tmp_path / "laplace.h5").posterior(ROWS[:9]).means.tobytes() == said.means[:9].tobytes()
    with pytest.raises(UserError, match="estep gaussian lists none: what it finds of a row is its best at once"):
        found.posterior(ROWS, adaptive=True)


@COVARIANCE
@pytest.mark.parametrize(
    "values",
    [
        ROWS[:1],
        np.tile(ROWS[:1], (30, 1)),
        np.zeros((20, 3)),
        ROWS + 1e6,
        ROWS * 1e-80,
        ROWS * 1e120,
        np.outer(ROWS[:, 0], np.ones(5)),
        np.column_stack([ROWS, np.ones(800)]),
        ROWS[:, :3],
    ],
    ids=["one row", "the same row", "zeros", "far", "tiny", "huge", "rank 1", "constant column", "few columns"],
)
@pytest.mark.filterwarnings("ignore")
def test_odd_data_end_in_no_error(values, covariance):
    for model in (Laplace(n_latents=8), Laplace(n_latents=20, noise="diagonal")):
        found = learned(values, 25, model, Gaussian(covariance=covariance))
        assert np.isfinite(found.params.buffer).all()
        assert np.isfinite(found.posterior(values).means).all()


def test_columns_in_other_units_change_the_free_energy_by_the_jacobian():
    units = 10.0 ** np.array([-6, 6, 0, -3, 4, -1, 0, 0, 2, 3, -2, 1])
    model = Laplace(n_latents=8, noise="diagonal")
    one, other = (learned(values, model=model).history["free_energy"] for values in (ROWS, ROWS * units))
    assert other + np.log(units).sum() == pytest.approx(one, abs=1e-6)


def test_noise_that_is_too_small_is_an_error_in_one_sentence():
    with pytest.raises(NumericalError, match="the noise is less than a 3,000,000th of what W and lambda contribute"):
        learned(initial={"sigma": 1e-9})


def test_noise_that_is_held_up_is_told_of():
    model, params, batch = problem("scalar", 50)
    far = batch._replace(values=batch.values + 1e6)
    notes, new = [], params
    new["sigma"] = 1000.0
    for _ in range(20):
        step = MStep(LEARN_ALL.learn, notes=notes)
        new = model.maximize(new, sums_of(model, fitted(model, new, far)), step)
    assert "sigma is as small as it gets" in notes[-1]
    assert new["sigma"] == pytest.approx(100, rel=0.01)


@pytest.mark.slow
def test_annealed_entropies_find_all_elements_in_half_of_the_starts_or_more():
    found = {"plain": [], "annealed": [], "ica": []}
    for seed in range(20):
        W, values = rows_of(seed)
        options = {"progress": False, "seed": seed}
        for name, annealing in (("plain", {}), ("annealed", ANNEALED)):
            training = {"n_sweeps": 300, "annealing": annealing}
            params = prosper_ng.learn(values, Laplace(n_latents=8), training=training, **options).params
            found[name].append(recovered(W, params["W"], ignore_sign=True).found)
        ica = FastICA(8, random_state=seed, max_iter=2000).fit(values).mixing_
        found["ica"].append(recovered(W, ica, ignore_sign=True).found)
    n_whole = {name: sum(n == 8 for n in each) for name, each in found.items()}
    assert n_whole["annealed"] >= 14
    assert n_whole["plain"] <= 10 < n_whole["ica"]
