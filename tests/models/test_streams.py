"""Autoencoders of several streams beside their plain definition, integrals, differences, and what they are made for."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.estep.amortized import Amortized
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.models.interface import Batch
from prosper_ng.models.streams import Streams
from prosper_ng.numerics.adam import Adam
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.testing import ModelCase, parametrize_with_checks
from prosper_ng.testing.problems import batch_of_observed, moments_of, problem, target_of


def net(params, prefix, n_layers, x):
    """What a net makes of one vector, layer after layer."""
    for layer in range(1, n_layers + 1):
        x = params[f"{prefix}_W{layer}"] @ x + params[f"{prefix}_b{layer}"]
        x = np.where((x > 0) | (layer == n_layers), x, 0.01 * x)
    return x


def encoded(model, params, y, observed, m):
    """(L,) means and deviations of q_m."""
    x = np.where(observed, (y - params["center"]) / params["unit"], 0.0)
    found = net(params, f"enc{m}", len(model.hidden) + 1, x)
    return found[: model.n_dimensions], np.exp(5 * np.tanh(found[model.n_dimensions :] / 5))


def decoded(model, params, z, m):
    """(D,) f_m(z)."""
    return params["unit"] * net(params, f"dec{m}", len(model.hidden) + 1, z)


def prior(model, params, states):
    """(S,) log p(s)."""
    return stats.bernoulli.logpmf(states, params["pi"]).sum(axis=-1)


def joint_of(model, params, y, state, observed, noise):
    """log p(s) - sum_m s_m KL_m + <log p(y | s, z)> over draws (R, M, L)."""
    divergence, mean = 0.0, np.zeros((len(noise), len(y)))
    for m in np.flatnonzero(state):
        mu, d = encoded(model, params, y, observed, m + 1)
        divergence += np.sum(0.5 * (mu**2 + d**2 - 1) - np.log(d))
        mean += np.array([decoded(model, params, mu + d * e, m + 1) for e in noise[:, m]])
    logs = np.where(observed, stats.norm.logpdf(y, mean, params["sigma"]), 0.0)
    return prior(model, params, state) - divergence + logs.sum(axis=1).mean()


def log_joint(model, params, values, states, observed):
    """(n, S) with z at the means of q."""
    zero = np.zeros((1, model.n_latents, model.n_dimensions))
    return np.array(
        [
            [joint_of(model, params, y, state, mask, zero) for state in states]
            for y, mask in zip(values, observed, strict=True)
        ]
    )


def case(**options):
    quick = Adam(rate=0.05, cycle=0)
    return ModelCase(lambda n_latents: Streams(n_latents=n_latents, optimizer=quick, **options), log_joint, prior)


CASES = {
    "streams": case(n_dimensions=2, hidden=(5,)),
    "streams-deep": case(n_dimensions=1, hidden=(6, 4)),
    "streams-linear": case(n_dimensions=2, hidden=()),
}
DRAWN = Amortized(n_samples=3)


@parametrize_with_checks(CASES)
def test_contract(check):
    check()


def summed(model, params, batch, estep=DRAWN):
    """Statistics of a batch and the bound of each row."""
    target = target_of(model, params, batch)
    found, sums = estep.posterior(target), NamedArrays(model.statistics(batch.values.shape[1]))
    found.accumulate(None, sums)
    return sums, found


@pytest.mark.parametrize("kind", CASES)
def test_the_bound_is_that_of_its_samples(kind):
    model, params, values, rng = problem(CASES[kind], 2, 4, 3, n_rows=6)
    observed = rng.random(values.shape) < 0.7
    batch = batch_of_observed(values, observed)
    _, found = summed(model, params, batch)
    noise = stream(1, "test").normal(batch.rows, 3 * model.n_draws).reshape(6, 3, 2, -1)
    states = model.space.decode(model.space.enumerate())
    for n, y in enumerate(batch.values):
        each = [joint_of(model, params, y, state, observed[n], noise[n]) for state in states]
        assert found.free_energy[n] == pytest.approx(logsumexp(each), abs=1e-9)


@pytest.mark.parametrize("labels", [None, np.array([3, -1, 1, 0, -1, 2])])
@pytest.mark.parametrize("kind", CASES)
def test_gradients_are_those_of_differences(kind, labels):
    n_classes = None if labels is None else 4
    model, params, values, rng = problem(CASES[kind], 2, 4, 5, n_rows=6)
    model = Streams(n_latents=2, n_dimensions=model.n_dimensions, hidden=model.hidden, n_classes=n_classes)
    params = NamedArrays.of(**{name: 0.5 * np.array(each) if "_" in name else each for name, each in params.items()})
    observed = rng.random(values.shape) < 0.8
    batch = batch_of_observed(values, observed)._replace(labels=labels, weights=np.array([1.0, 2, 0.5, 1, 3, 1]))
    sums, _ = summed(model, params, batch)
    for name in model._shapes(4):
        direction = rng.standard_normal(params[name].shape)
        step, sides = 1e-5, []
        for sign in (1, -1):
            moved = params.copy()
            moved[name] = params[name] + sign * step * direction
            sides.append(float(summed(model, moved, batch)[1].free_energy @ batch.weights))
        difference = (sides[0] - sides[1]) / (2 * step)
        scale = 1 + abs(difference) + np.abs(sums[f"d{name}"]).max()
        assert float(np.sum(direction * sums[f"d{name}"])) == pytest.approx(difference, abs=1e-7 * scale), name


def test_labels_say_which_state_it_is():
    model, params, values, _ = problem(CASES["streams"], 2, 4, 1, n_rows=5)
    labels = np.array([0, 1, 2, 3, -1])
    known = Streams(n_latents=2, n_dimensions=2, hidden=(5,), n_classes=4)
    _, found = summed(known, params, batch_of_observed(values)._replace(labels=labels))
    assert (found.weights[:4] == np.eye(4)).all()
    _, free = summed(model, params, batch_of_observed(values))
    assert (found.weights[4] == free.weights[4]).all()
    assert (found.free_energy <= free.free_energy).all()


def test_the_bound_is_below_the_integral():
    """With one latent of one dimension the likelihood is an integral over z."""
    model, params, values, _ = problem(CASES["streams-deep"], 1, 3, 2, n_rows=20)
    z = np.linspace(-12, 12, 6001)
    means = np.array([decoded(model, params, np.array([each]), 1) for each in z])
    logs = stats.norm.logpdf(values[:, None], means, params["sigma"]).sum(axis=-1) + stats.norm.logpdf(z)
    on = logsumexp(logs, axis=1) + np.log(z[1] - z[0]) + np.log(params["pi"][0])
    off = stats.norm.logpdf(values, 0, params["sigma"]).sum(axis=1) + np.log1p(-params["pi"][0])
    _, found = summed(model, params, batch_of_observed(values), Amortized(n_samples=4000))
    assert (found.free_energy <= np.logaddexp(on, off) + 0.1 * np.abs(found.free_energy) ** 0.5).all()


def test_samples_of_a_row_depend_on_nothing_but_its_number():
    model, params, values, _ = problem(CASES["streams"], 2, 4, 1, n_rows=8)
    whole = summed(model, params, Batch(np.arange(8), values))[1].free_energy
    part = summed(model, params, Batch(np.arange(3, 8), values[3:]))[1].free_energy
    assert part == pytest.approx(whole[3:], abs=1e-12)


def test_few_active_states_only():
    model, params, values, _ = problem(CASES["streams"], 3, 4, 1, n_rows=8)
    estep = Amortized(max_active=1)
    assert estep.n_listed(model.space) == 4
    assert estep.find(target_of(model, params, batch_of_observed(values))).codes.shape == (8, 4, 1)
    known = Streams(n_latents=3, n_dimensions=2, hidden=(5,), n_classes=8)
    batch = batch_of_observed(values)._replace(labels=np.full(8, 3))
    with pytest.raises(UserError, match="label 3 is a state with more than 1 active latents"):
        estep.find(target_of(known, params, batch))


def test_what_cannot_be_is_one_sentence():
    with pytest.raises(UserError, match="n_classes is 3, but 2 switches have 4 states"):
        Streams(n_latents=2, n_classes=3)
    with pytest.raises(UserError, match=r"estep exhaustive draws no samples .* choose amortized"):
        Exhaustive().check(Streams(n_latents=2))
    assert isinstance(Auto().resolved(Streams(n_latents=2)).estep, Amortized)


def test_a_start_is_in_the_units_of_the_data():
    values = 3 * np.random.default_rng(0).standard_normal((50, 4))
    model, found = CASES["streams"].make(2), []
    for rows in (values, 1024 * values + 1e6):
        params = model.initial(moments_of(rows), np.random.default_rng(1))
        prepared = model.prepare(params)
        found.append(model.project(prepared, batch_of_observed(rows)))
        assert np.abs(found[-1].outputs - rows.mean(axis=0)).max() < 8 * rows.std()
    assert found[1].means == pytest.approx(found[0].means, abs=1e-9)


def test_streams_start_from_rows_that_are_known_to_be_theirs():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, size=200)
    values = rng.standard_normal((200, 3)) + 5 * labels[:, None]
    model = Streams(n_latents=2, n_dimensions=2, hidden=(5,), n_classes=4)
    moments = moments_of(values)._replace(labeled=values[labels >= 0], labels=labels[labels >= 0])
    params = model.initial(moments, rng)
    for m, state in ((1, 1), (2, 2)):
        assert params["unit"] * params[f"dec{m}_b2"] == pytest.approx(values[labels == state].mean(axis=0))


def told_apart(n_jobs=1, seed=0, **options):
    """Two sources that overlap, half of the rows with labels, and the streams that were learned."""
    rng = np.random.default_rng(5)
    on = rng.integers(2, size=(400, 2))
    each = rng.normal(3, 1, (400, 2, 1)) * np.array([[1, 1, 0, 0], [0, 1, 0, 1]]) * on[..., None]
    values = each.sum(axis=1) + 0.1 * rng.normal(size=(400, 4))
    labels = np.where(rng.random(400) < 0.5, on @ [1, 2], -1)
    model = Streams(n_latents=2, n_dimensions=1, hidden=(8,), n_classes=4, optimizer=Adam(rate=0.02, cycle=40))
    training = {"n_sweeps": 40, "updates_per_sweep": 10}
    learned = prosper_ng.learn(
        values, model, labels=labels, training=training, n_jobs=n_jobs, seed=seed, progress=False
    )
    return learned, values, on, each


def test_streams_are_told_apart():
    learned, values, on, each = told_apart()
    found = learned.posterior(values)
    assert ((found.means > 0.5) == (on == 1)).mean() > 0.95
    streams = found.other_means["streams"]
    assert np.sum((streams - each) ** 2) < 0.1 * np.sum(each**2)
    assert learned.reconstruct(values).prediction == pytest.approx(streams.sum(axis=1), abs=1e-9)


def test_threads_change_no_bit():
    one, two = (told_apart(n_jobs)[0].params for n_jobs in (1, 2))
    assert (one.buffer == two.buffer).all()
