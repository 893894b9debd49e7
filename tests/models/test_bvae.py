"""Autoencoders with binary latents beside their plain definition, differences, and what bars are made of."""

import numpy as np
import pytest
from scipy import stats

import prosper_ng
from prosper_ng.data.sources.bars import Bars
from prosper_ng.errors import UserError
from prosper_ng.models.bvae import BVAE
from prosper_ng.models.interface import Batch, MStep
from prosper_ng.numerics.adam import Adam
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing import ModelCase, parametrize_with_checks
from prosper_ng.testing.problems import random_parameters
from scripts.bench.bvae import N_BARS, NOISE, result_of


def mean(model, params, states):
    """(S, D) f(s), one state and one layer after the other."""
    found = []
    for s in states:
        x, n_layers = s.astype(float), len(model.hidden) + 1
        for layer in range(1, n_layers + 1):
            x = params[f"W{layer}"] @ x + params[f"b{layer}"]
            x = np.where((x > 0) | (layer == n_layers), x, 0.01 * x)
        found.append(x)
    return np.array(found)


def prior(model, params, states):
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states, params["pi"]).sum(axis=-1)


def log_joint(model, params, values, states, observed):
    """(n, S) log p(s, y)."""
    logs = stats.norm.logpdf(values[:, None], mean(model, params, states), params["sigma"])
    return np.where(observed[:, None], logs, 0.0).sum(axis=-1) + prior(model, params, states)


def variance(model, params, states):
    """(S, D) of the noise."""
    return np.broadcast_to(params["sigma"] ** 2, mean(model, params, states).shape)


def make(n_latents, **options):
    return BVAE(n_latents=n_latents, optimizer=Adam(rate=0.05, cycle=0), **options)


def case(**options):
    quick = Adam(rate=0.05, cycle=0)
    return ModelCase(
        lambda n_latents: BVAE(n_latents=n_latents, optimizer=quick, **options), log_joint, prior, mean, variance
    )


CASES = {
    "bvae": case(hidden=(5,)),
    "bvae-deep": case(hidden=(7, 4), noise="diagonal"),
    "bvae-linear": case(hidden=(), shared_pi=True),
}


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


def small(seed=0, missing=0.3, n_rows=12, **options):
    """A model, parameters away from kinks, and a batch of rows with weights and gaps."""
    rng, model = np.random.default_rng(seed), BVAE(n_latents=3, **{"hidden": (5, 4), "noise": "diagonal"} | options)
    params = random_parameters(model, 6, rng)
    values = rng.normal(size=(n_rows, 6))
    observed = rng.random(values.shape) >= missing
    weights = rng.uniform(0.5, 2.0, n_rows)
    return model, params, Batch(np.arange(n_rows), np.where(observed, values, 0.0), observed, weights)


def expected_log_joint(model, params, batch, codes, q):
    """sum_n w_n sum_s q_ns log p(s, y_n)."""
    prepared = model.prepare(params)
    return float(np.sum(batch.weighed(q * model.log_joint(prepared, model.project(prepared, batch), codes))))


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
def test_gradients_are_those_of_differences(hidden):
    model, params, batch = small(hidden=hidden)
    codes = np.tile(model.space.enumerate(), (12, 1, 1))
    q, prepared = np.random.default_rng(1).dirichlet(np.ones(8), 12), model.prepare(params)
    sums = NamedArrays(model.statistics(6))
    model.accumulate(prepared, model.project(prepared, batch), batch, codes, q, sums)
    assert expected_log_joint(model, params, batch, codes, q) == pytest.approx(
        model.expected_log_joint(params, sums), rel=1e-12
    )
    for name in [name for name in params if name[0] in "Wb"]:
        scale = np.abs(sums[f"d{name}"]).max()
        for place in np.ndindex(params[name].shape):
            ends = []
            for step in (1e-5, -1e-5):
                other = params.copy()
                other[name][place] += step
                ends.append(expected_log_joint(model, other, batch, codes, q))
            slope = (ends[0] - ends[1]) / 2e-5
            assert sums[f"d{name}"][place] == pytest.approx(slope, rel=1e-7, abs=1e-7 * max(scale, 1.0))


def learned(values=None, n_sweeps=30, updates_per_sweep=4, **options):
    rows = values if values is not None else bars(200)
    training = {"n_sweeps": n_sweeps, "updates_per_sweep": updates_per_sweep, "block_rows": 16}
    model = BVAE(**{"n_latents": 6, "hidden": (8,), "optimizer": Adam(rate=0.03)} | options)
    missing = bool(np.isnan(rows).any())
    return prosper_ng.learn(rows, model, training=training, seed=2, progress=False, missing=missing)


def bars(n_rows, **options):
    return Bars(n_bars=6, n_rows=n_rows, amplitude=4.0, noise=1.0, **options).open(1).read(0, n_rows)


def test_pi_and_sigma_are_those_of_the_last_sweep_and_the_gap_tells_how_far_learning_has_come():
    model, params, _ = small(missing=0.0)
    shapes, parts = model.statistics(6), []
    step = MStep(frozenset({"pi", "sigma"}), memory=NamedArrays(model.memory(6)), per_sweep=3)
    for number in range(5):
        sums = NamedArrays(shapes, np.random.default_rng(number).uniform(1.0, 2.0, NamedArrays(shapes).buffer.size))
        sums["n"] = 10.0
        parts.append(sums)
        new = model.maximize(params, sums, step)
    recent = {name: sum(each[name] * (2 / 3) ** (4 - i) for i, each in enumerate(parts)) for name in shapes}
    assert new["pi"] == pytest.approx(recent["counts"] / recent["n"])
    assert new["sigma"] == pytest.approx(np.sqrt(recent["residual"] / recent["n_values"]))
    assert new["W1"].tobytes() == params["W1"].tobytes()
    gaps = np.abs(learned(n_sweeps=200, updates_per_sweep=1).history["entropy_gap"])
    assert 0 < gaps[-40:].mean() < 0.5 * gaps[10:50].mean()


@pytest.mark.parametrize("noise", ["scalar", "diagonal"])
@pytest.mark.filterwarnings("ignore")
def test_units_and_offsets_of_data_change_nothing_but_units(noise):
    rows = bars(200)
    unit = 2.0**20 if noise == "scalar" else 2.0 ** np.array([20, -20, 3, 0, 1, 9, -7, 5, 2])
    one, other = learned(rows, noise=noise), learned(rows * unit, noise=noise)
    np.testing.assert_allclose(other.params["sigma"], one.params["sigma"] * unit, rtol=1e-9)
    np.testing.assert_allclose(other.params["W1"], one.params["W1"], rtol=1e-6, atol=1e-9)
    far = learned(rows + 1e6, noise=noise)
    np.testing.assert_allclose(far.params["sigma"], one.params["sigma"], rtol=0.05)


@pytest.mark.parametrize(
    "values",
    [np.ones((1, 4)), np.ones((30, 4)), np.zeros((30, 3)), bars(60) * 1e-80, bars(60) * 1e100, bars(60)[:, :1]],
    ids=["one row", "constant", "zeros", "tiny", "huge", "one column"],
)
@pytest.mark.filterwarnings("ignore")
def test_odd_data_end_in_no_error(values):
    found = learned(values, 10, 1)
    assert np.isfinite(found.params.buffer).all()


def test_elements_are_shown_and_rows_filled_and_superimposed(tmp_path):
    rows = bars(300, missing=0.2)
    found = learned(rows, 60)
    E = found.model.elements(found.params)
    alone, none = found.model.superimpose(found.params, np.array([[0, 0, 1, 0, 0, 0], np.zeros(6)]))
    assert E[:, 2] == pytest.approx(alone - none)
    filled = found.reconstruct(rows, missing=True).filled
    gaps, truth = np.isnan(rows), bars(300)
    assert np.mean((filled - truth)[gaps] ** 2) < 0.7 * np.mean((truth - truth.mean(axis=0))[gaps] ** 2)
    found.save(tmp_path / "bvae.h5")
    again = prosper_ng.load(tmp_path / "bvae.h5")
    energies = [each.free_energy(rows[:5], missing=True) for each in (found, again)]
    assert energies[0].tobytes() == energies[1].tobytes()


def test_wrong_settings_are_told_in_one_sentence():
    with pytest.raises(UserError, match=r"least_rate 0\.5 is above rate 0\.1"):
        Adam(rate=0.1, least_rate=0.5)
    with pytest.raises(UserError, match="hidden"):
        prosper_ng.learn(bars(20), {"kind": "bvae", "n_latents": 3, "hidden": [0]}, progress=False)


@pytest.mark.slow
def test_bars_are_found_in_12_of_20_starts():
    found = [result_of(seed) for seed in range(20)]
    assert sum(n == N_BARS and abs(sigma - NOISE) < 0.1 * NOISE for n, sigma, _ in found) >= 12
