"""What every model promises, tested for each file in `prosper_ng/models`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.components import components_of, kind_of
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import Target
from prosper_ng.latents.posterior import TruncatedPosterior, truncated_posterior
from prosper_ng.models.interface import Batch, Floats, Model, Moments, MStep
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from tests.models.references import JOINTS, PREDICTIONS, PRIORS, instances, random_parameters, reference_of

MODELS = pytest.mark.parametrize("make", list(instances().values()), ids=list(instances()))
SIZES = {"n_latents": st.integers(1, 5), "n_observed": st.integers(1, 6), "seed": st.integers(0, 2**32)}
FEW = settings(max_examples=15, deadline=None)


def test_every_model_of_the_folder_is_tested():
    assert {kind_of(make(3)) for make in instances().values()} == set(components_of("prosper_ng.models"))


def exact(
    model: Model, params: NamedArrays, values: Floats, observed: np.ndarray | None = None
) -> tuple[Target, np.ndarray, TruncatedPosterior]:
    shown = values if observed is None else np.where(observed, values, 0.0)
    batch = Batch(np.arange(len(values)), shown, observed)
    prepared = model.prepare(params)
    target = Target(model, prepared, model.project(prepared, batch), batch, model.activity(params), stream(0, "test"))
    found = Exhaustive().find(target, None)
    return target, np.ascontiguousarray(found.codes), truncated_posterior(found.log_joint)


def statistics(model: Model, target: Target, codes: np.ndarray, weights: Floats) -> NamedArrays:
    sums = NamedArrays(model.statistics(target.batch.values.shape[1]))
    model.accumulate(target.prepared, target.projected, target.batch, codes, weights, sums)
    return sums


def problem(make, n_latents: int, n_observed: int, seed: int, n_rows: int = 40):
    rng = np.random.default_rng(seed)
    model = make(n_latents)
    params = random_parameters(model, n_observed, rng)
    values, _ = model.sample(random_parameters(model, n_observed, rng), n_rows, rng)
    return model, params, values, rng


@MODELS
@FEW
@given(**SIZES)
def test_log_joint_prior_and_prediction_equal_the_plain_reference(make, n_latents, n_observed, seed):
    model, params, values, _ = problem(make, n_latents, n_observed, seed)
    target, codes, posterior = exact(model, params, values)
    states = model.space.values[model.space.decode(codes[0])]
    joint = reference_of(model, JOINTS)(model, params, values, states, np.ones(values.shape, bool))
    assert target.log_joint(codes) == pytest.approx(joint, rel=1e-10, abs=1e-10)
    prior = model.log_prior(target.prepared, codes)
    assert prior[0] == pytest.approx(reference_of(model, PRIORS)(model, params, states), rel=1e-10, abs=1e-10)
    predicted = model.reconstruct(target.prepared, target.projected, codes, posterior.weights)
    if kind_of(model) in PREDICTIONS:
        expected = posterior.weights @ PREDICTIONS[kind_of(model)](model, params, states)
        assert predicted == pytest.approx(expected, rel=1e-9, abs=1e-9)


@MODELS
@FEW
@given(**SIZES)
def test_statistics_add_up_over_any_split_in_any_order(make, n_latents, n_observed, seed):
    model, params, values, rng = problem(make, n_latents, n_observed, seed)
    target, codes, posterior = exact(model, params, values)
    whole = statistics(model, target, codes, posterior.weights)
    parts = NamedArrays(whole.shapes)
    for rows in np.array_split(rng.permutation(len(values)), 3):
        batch = Batch(rows, values[rows])
        part = target._replace(batch=batch, projected=model.project(target.prepared, batch))
        parts.buffer += statistics(model, part, codes[rows], posterior.weights[rows]).buffer
    assert parts.buffer == pytest.approx(whole.buffer, rel=1e-10, abs=1e-9)
    assert whole["n"] == len(values)


@MODELS
def test_zero_weights_and_empty_batches_add_nothing(make):
    model, params, values, _ = problem(make, 3, 4, 0)
    target, codes, posterior = exact(model, params, values)
    assert not statistics(model, target, codes, np.zeros_like(posterior.weights)).buffer.any()
    empty = Batch(np.arange(0), values[:0])
    nothing = target._replace(batch=empty, projected=model.project(target.prepared, empty))
    assert not statistics(model, nothing, codes[:0], posterior.weights[:0]).buffer.any()
    half = posterior.weights * (np.arange(len(values)) % 2)[:, None]
    kept = Batch(np.arange(1, len(values), 2), values[1::2].copy())
    alone = target._replace(batch=kept, projected=model.project(target.prepared, kept))
    expected = statistics(model, alone, codes[1::2].copy(), posterior.weights[1::2].copy())
    assert statistics(model, target, codes, half).buffer == pytest.approx(expected.buffer, rel=1e-10, abs=1e-10)


@MODELS
@FEW
@given(**SIZES, data=st.data())
def test_em_with_all_states_never_lowers_the_likelihood(make, n_latents, n_observed, seed, data):
    model, params, values, _ = problem(make, n_latents, n_observed, seed)
    names = list(params)
    learn = frozenset(data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)))
    last = -np.inf
    for _ in range(6):
        target, codes, posterior = exact(model, params, values)
        likelihood = posterior.free_energy.sum()
        assert not model.is_monotone or likelihood >= last - 1e-9 * abs(likelihood)
        last = likelihood
        sums = statistics(model, target, codes, posterior.weights)
        new = model.maximize(params, sums, MStep(learn))
        for name in set(names) - learn:
            assert (new[name] == params[name]).all()
        params = new


@MODELS
@FEW
@given(**SIZES)
def test_expected_log_joint_plus_entropy_is_the_free_energy(make, n_latents, n_observed, seed):
    model, params, values, _ = problem(make, n_latents, n_observed, seed)
    target, codes, posterior = exact(model, params, values)
    sums = statistics(model, target, codes, posterior.weights)
    free_energy = model.expected_log_joint(params, sums) + posterior.entropy.sum() + float(sums["hidden_entropy"])
    assert free_energy == pytest.approx(posterior.free_energy.sum(), rel=1e-10, abs=1e-8)


@MODELS
@FEW
@given(**SIZES)
def test_entropy_identity_right_after_a_full_m_step(make, n_latents, n_observed, seed):
    model, params, values, _ = problem(make, n_latents, n_observed, seed)
    target, codes, posterior = exact(model, params, values)
    sums = statistics(model, target, codes, posterior.weights)
    new = model.maximize(params, sums, MStep(frozenset(params)))
    expected = model.expected_log_joint(new, sums) / len(values)
    # A probability that was raised to its bound is no maximum, and costs up to its entropy.
    spec = model.parameters(n_observed)["pi"]
    least = 1.1 * spec.constraint.low
    is_inside = ((new["pi"] > least) & (new["pi"] < 1 - least)).all()
    assert expected == pytest.approx(-model.entropy(new, sums), rel=1e-10, abs=1e-10 if is_inside else 1e-7)


@MODELS
@FEW
@given(**SIZES)
def test_m_step_is_a_maximum_of_the_expected_log_joint(make, n_latents, n_observed, seed):
    model, params, values, rng = problem(make, n_latents, n_observed, seed)
    target, codes, posterior = exact(model, params, values)
    sums = statistics(model, target, codes, posterior.weights)
    best = model.maximize(params, sums, MStep(frozenset(params)))
    highest = model.expected_log_joint(best, sums)
    specs = model.parameters(n_observed)
    for scale in (1e-3, 0.1):
        other = best.copy()
        for name, spec in specs.items():
            other[name] = spec.constraint.nearest(best[name] * (1 + scale * rng.standard_normal(spec.shape)))
        assert model.expected_log_joint(other, sums) <= highest + 1e-9 * abs(highest) + model.rounding(best, sums)


@MODELS
@FEW
@given(**SIZES)
def test_truncated_free_energy_is_never_above_the_exact_one(make, n_latents, n_observed, seed):
    model, params, values, rng = problem(make, n_latents, n_observed, seed)
    target, codes, posterior = exact(model, params, values)
    kept = rng.permutation(codes.shape[1])[: 1 + seed % codes.shape[1]]
    truncated = truncated_posterior(target.log_joint(np.ascontiguousarray(codes[:, kept])))
    assert (truncated.free_energy <= posterior.free_energy + 1e-9).all()
    assert truncated.weights.sum(axis=1) == pytest.approx(1.0)


@MODELS
def test_a_fit_to_its_own_samples_improves_on_the_start(make):
    rng = np.random.default_rng(3)
    model = make(3)
    truth = random_parameters(model, 8, rng)
    values, states = model.sample(truth, 300, rng)
    assert values.shape == (300, 8)
    assert states.shape == (300, 3)
    params = model.initial(Moments(300, values.mean(axis=0), values.var(axis=0)), rng)
    assert {name: spec.shape for name, spec in model.parameters(8).items()} == params.shapes
    likelihoods = []
    for _ in range(40):
        target, codes, posterior = exact(model, params, values)
        likelihoods.append(posterior.free_energy.mean())
        sums = statistics(model, target, codes, posterior.weights)
        params = model.maximize(params, sums, MStep(frozenset(params)))
    at_truth = exact(model, truth, values)[2].free_energy.mean()
    assert likelihoods[-1] > likelihoods[0] + 0.25 * (at_truth - likelihoods[0])


@MODELS
def test_samples_have_the_moments_of_the_model(make):
    rng = np.random.default_rng(5)
    model = make(4)
    truth = random_parameters(model, 5, rng)
    values, states = model.sample(truth, 60_000, rng)
    active = (states != 0).mean(axis=0)
    assert active == pytest.approx(model.activity(truth), abs=0.012)
    if kind_of(model) in PREDICTIONS:
        prediction = PREDICTIONS[kind_of(model)](model, truth, model.space.values[states])
        assert (values - prediction).std() == pytest.approx(float(truth["sigma"]), rel=0.02)


@MODELS
@FEW
@given(**SIZES)
def test_missing_entries_leave_the_log_joint_of_the_observed_ones(make, n_latents, n_observed, seed):
    model, params, values, rng = problem(make, n_latents, n_observed, seed, n_rows=12)
    observed = rng.random(values.shape) < 0.6
    observed[0] = False
    target, codes, posterior = exact(model, params, values, observed)
    states = model.space.values[model.space.decode(codes[0])]
    joint = reference_of(model, JOINTS)(model, params, values, states, observed)
    assert target.log_joint(codes) == pytest.approx(joint, rel=1e-9, abs=1e-9)
    assert np.isfinite(model.reconstruct(target.prepared, target.projected, codes, posterior.weights)).all()


@MODELS
@FEW
@given(**SIZES, data=st.data())
def test_em_with_missing_entries_never_lowers_the_likelihood_of_the_observed_ones(
    make, n_latents, n_observed, seed, data
):
    model, params, values, rng = problem(make, n_latents, n_observed, seed)
    observed = rng.random(values.shape) < 0.6
    learn = frozenset(data.draw(st.lists(st.sampled_from(list(params)), min_size=1, unique=True)))
    last = -np.inf
    for _ in range(5):
        target, codes, posterior = exact(model, params, values, observed)
        sums = statistics(model, target, codes, posterior.weights)
        likelihood = posterior.free_energy.sum()
        if model.is_monotone:
            assert likelihood >= last - 1e-9 * abs(likelihood)
            free_energy = model.expected_log_joint(params, sums) + posterior.entropy.sum() + sums["hidden_entropy"]
            assert free_energy == pytest.approx(likelihood, rel=1e-9, abs=1e-7)
        last = likelihood
        params = model.maximize(params, sums, MStep(learn))
        assert np.isfinite(params.buffer).all()
