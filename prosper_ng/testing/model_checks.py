"""What every model promises: log joint, statistics, M-step, free energy, samples."""

import numpy as np

from prosper_ng.latents.posterior import log_sum, truncated_posterior
from prosper_ng.models.capabilities import (
    MaximizesByValue,
    Reconstructs,
    Samples,
    SumsByValue,
    couples_latents,
    offers,
)
from prosper_ng.models.interface import Batch, Floats, KnowsFreeEnergy, learnable
from prosper_ng.models.rounding import rounding_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.team import on_team
from prosper_ng.testing.cases import Checks, Mask, ModelCase, Skipped, assert_close, assert_that, over_sizes, states_of
from prosper_ng.testing.problems import (
    Problem,
    exact,
    moments_of,
    problem,
    random_parameters,
    statistics,
    step_of,
    with_batch,
)
from prosper_ng.training.owners import Owners
from prosper_ng.training.totals import statistics_of

CHECKS = Checks()
_ACTIVITY_FOR_DRAWS = 0.1
"""How far an activity may be off that nothing is made of but draws."""


@CHECKS.add("log_joint")
def log_joint_equals_the_reference(case: ModelCase) -> None:
    """For all states of rows without gaps."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, _ = problem(case, n_latents, n_observed, seed)
        target, codes, _ = exact(model, params, values)
        assert case.log_joint is not None
        expected = case.log_joint(model, params, values, states_of(model, codes[0]), np.ones(values.shape, bool))
        assert_close(target.log_joint(codes), expected, 1e-10, 1e-10, "log joint of (row, state)")

    over_sizes(run)


@CHECKS.add("log_joint")
def missing_entries_leave_the_log_joint_of_the_observed_ones(case: ModelCase) -> None:
    """Of rows with gaps, one of them empty; predictions of the gaps are numbers."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed, n_rows=12)
        observed = rng.random(values.shape) < 0.6
        observed[0] = False
        target, codes, posterior = exact(model, params, values, observed)
        assert case.log_joint is not None
        expected = case.log_joint(model, params, values, states_of(model, codes[0]), observed)
        assert_close(target.log_joint(codes), expected, 1e-9, 1e-9, "log joint of (row, state), entries missing")
        if offers(model, Reconstructs):
            predicted = model.reconstruct(target.prepared, target.projected, codes, posterior.weights)
            assert_that(np.isfinite(predicted), "predictions of rows with missing entries are not finite")

    over_sizes(run)


@CHECKS.add("prior")
def log_prior_equals_the_reference(case: ModelCase) -> None:
    """For all states."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, _ = problem(case, n_latents, n_observed, seed, n_rows=2)
        target, codes, _ = exact(model, params, values)
        assert case.prior is not None
        expected = case.prior(model, params, states_of(model, codes[0]))
        assert_close(model.log_prior(target.prepared, codes)[0], expected, 1e-10, 1e-10, "log prior of (state,)")

    over_sizes(run)


@CHECKS.add("mean", Reconstructs)
def reconstruction_is_the_mean_of_the_reference(case: ModelCase) -> None:
    """Under the exact posterior."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, _ = problem(case, n_latents, n_observed, seed)
        target, codes, posterior = exact(model, params, values)
        assert case.mean is not None
        expected = posterior.weights @ case.mean(model, params, states_of(model, codes[0]))
        predicted = model.reconstruct(target.prepared, target.projected, codes, posterior.weights)
        assert_close(predicted, expected, 1e-9, 1e-9, "reconstruction of (row, entry)")

    over_sizes(run)


@CHECKS.add()
def prior_is_a_distribution_and_the_same_for_all_rows(case: ModelCase) -> None:
    """It sums to 1, and its activity is what the model says it is, or near it where latents depend on each other."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, _ = problem(case, n_latents, n_observed, seed, n_rows=2)
        target, codes, _ = exact(model, params, values)
        prior = model.log_prior(target.prepared, codes)
        assert_close(log_sum(prior), 0.0, 0.0, 1e-10, "log of the sum of the prior over all states")
        assert_that(prior[0] == prior[1], "the log prior of a state differs between rows")
        active = np.exp(prior[0]) @ model.space.presence(model.space.decode(codes[0]))
        absolute = _ACTIVITY_FOR_DRAWS if couples_latents(model) else 1e-12
        assert_close(model.activity(params), active, 1e-9, absolute, "activity of (latent,)")

    over_sizes(run)


@CHECKS.add()
def log_joint_of_a_state_does_not_depend_on_the_others(case: ModelCase) -> None:
    """Neither on their order nor on how many there are, to the last bit."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed, n_rows=5)
        observed = rng.random(values.shape) < 0.6
        for mask in (None, observed):
            target, codes, _ = exact(model, params, values, mask)
            whole, order = target.log_joint(codes), rng.permutation(codes.shape[1])
            again = target.log_joint(np.ascontiguousarray(codes[:, order]))
            assert_that(again == whole[:, order], "log joints change with the order of the states")
            few = target.log_joint(np.ascontiguousarray(codes[:, order[:2]]))
            assert_that(few == whole[:, order[:2]], "the log joint of a state changes with the states beside it")

    over_sizes(run)


@CHECKS.add()
def statistics_add_up_over_any_split_in_any_order(case: ModelCase) -> None:
    """Sums over rows are what makes ranks and incremental EM possible."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed)
        target, codes, posterior = exact(model, params, values)
        whole = statistics(target, codes, posterior.weights)
        parts = NamedArrays(whole.shapes)
        for rows in np.array_split(rng.permutation(len(values)), 3):
            part = with_batch(target, Batch(rows, values[rows]))
            parts.buffer += statistics(part, codes[rows], posterior.weights[rows]).buffer
        assert_close(parts.buffer, whole.buffer, 1e-10, 1e-9, "sum of the statistics of three parts")
        assert_that(whole["n"] == len(values), "the statistic n is not the number of rows")

    over_sizes(run)


@CHECKS.add(SumsByValue)
def sums_by_value_are_0_where_none_has_the_value(case: ModelCase) -> None:
    """So blocks of few rows need not look at those of values that these do not have."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed)
        for mask in (None, rng.random(values.shape) < 0.6):
            target, codes, posterior = exact(model, params, values, mask)
            used = rng.random(codes.shape[1]) < 0.3
            sums = statistics(target, codes, np.where(used, posterior.weights, 0.0))
            counts, *others = (sums[name] for name in model.sums_by_value(n_observed))
            assert_that(counts[~used] == 0.0, "values that no row has are counted")
            for each in others:
                assert_that(each[counts == 0.0] == 0.0, "there are sums of values that no row has")

    over_sizes(run)


@CHECKS.add(MaximizesByValue)
def m_step_of_several_has_the_bits_of_one(case: ModelCase) -> None:
    """Each maximizes some values; so do those who find of which rows a value has none."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed)
        learn = frozenset(learnable(model.parameters(n_observed)))
        found = exact(model, params, values, rng.random(values.shape) < 0.8)
        sums = NamedArrays(statistics_of(model, n_observed))
        for name, each in found.sums.items():
            sums[name] = each

        def maximized(own: NamedArrays, own_sums: NamedArrays) -> tuple[NamedArrays, list[float]]:
            new = model.maximize(own, own_sums, step_of(model, n_observed, learn, np.random.default_rng(seed)))
            told = [model.expected_log_joint(each, own_sums) for each in (own, new)]
            return new, [*told, model.entropy(new, own_sums), rounding_of(model, new, own_sums)]

        def shared(comm: Communicator) -> tuple[NamedArrays, list[float]]:
            owners = Owners(model, n_observed, comm, least=0)
            with owners.together():
                own_sums = NamedArrays(owners.statistics, sums.buffer[owners.shares().of(comm.rank)])
                new, told = maximized(owners.own(params), own_sums)
                return owners.whole(new, params), told

        new, told = maximized(params, sums)
        for size in range(2, min(n_latents, 3) + 1):
            for new_of_all, told_of_all in on_team(size, shared):
                assert_that(new_of_all.buffer == new.buffer, f"parameters change where {size} share the M-step")
                assert_that(told_of_all == told, f"{told} becomes {told_of_all} where {size} share the M-step")

    over_sizes(run)


@CHECKS.add()
def zero_weights_and_empty_batches_add_nothing(case: ModelCase) -> None:
    """Rows that are left out come with weights of zero."""
    model, params, values, _ = problem(case, 3, 4, 0)
    target, codes, posterior = exact(model, params, values)
    nothing = statistics(target, codes, np.zeros_like(posterior.weights))
    assert_that(nothing.buffer == 0, "rows of weights 0 add to the statistics")
    empty = with_batch(target, Batch(np.arange(0), values[:0]))
    assert_that(statistics(empty, codes[:0], posterior.weights[:0]).buffer == 0, "an empty batch adds something")
    half = posterior.weights * (np.arange(len(values)) % 2)[:, None]
    alone = with_batch(target, Batch(np.arange(1, len(values), 2), values[1::2].copy()))
    expected = statistics(alone, codes[1::2].copy(), posterior.weights[1::2].copy())
    found = statistics(target, codes, half)
    assert_close(found.buffer, expected.buffer, 1e-10, 1e-10, "statistics with every second row of weights 0")


@CHECKS.add()
def em_with_all_states_never_lowers_the_likelihood(case: ModelCase) -> None:
    """Whichever parameters are learned; the others keep their values."""
    over_sizes(lambda n_latents, n_observed, seed: _run_em(problem(case, n_latents, n_observed, seed), None))


@CHECKS.add()
def em_with_missing_entries_never_lowers_the_likelihood_of_the_observed_ones(case: ModelCase) -> None:
    """The same where entries were not observed."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        posed = problem(case, n_latents, n_observed, seed)
        _run_em(posed, posed.rng.random(posed.values.shape) < 0.6)

    over_sizes(run)


def _run_em(posed: Problem, observed: Mask | None) -> None:
    """Six sweeps of EM over some of the parameters."""
    model, params, values, rng = posed
    names = list(learnable(model.parameters(values.shape[1])))
    learn = frozenset(rng.permutation(names)[: rng.integers(1, len(names) + 1)].tolist())
    last, step = -np.inf, step_of(model, values.shape[1], learn)
    for _ in range(6):
        found = exact(model, params, values, observed)
        sums, likelihood = found.sums, float(found.posterior.free_energy.sum())
        if offers(model, KnowsFreeEnergy) and model.is_monotone:
            fell = f"learning {sorted(learn)} the likelihood fell from {last} to {likelihood}"
            rounding = 1e-9 * abs(likelihood) + 1e-13 * values.size
            assert_that(likelihood >= last - rounding, fell)
            free_energy = model.expected_log_joint(params, sums) + found.posterior.entropy.sum()
            free_energy += float(sums["hidden_entropy"])
            assert_close(free_energy, likelihood, 1e-9, 1e-7, "expected log joint plus entropies")
        last = likelihood
        new = model.maximize(params, sums, step)
        assert_that(np.isfinite(new.buffer), f"learning {sorted(learn)} parameters are not finite any more")
        for name in set(names) - learn:
            assert_that(new[name] == params[name], f"{name} changes though it is not learned")
        params = new


@CHECKS.add(KnowsFreeEnergy)
def expected_log_joint_plus_entropy_is_the_free_energy(case: ModelCase) -> None:
    """At the parameters that the statistics were made with, of all models."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, _ = problem(case, n_latents, n_observed, seed)
        found = exact(model, params, values)
        sums, posterior = found.sums, found.posterior
        free_energy = model.expected_log_joint(params, sums) + posterior.entropy.sum() + float(sums["hidden_entropy"])
        assert_close(free_energy, posterior.free_energy.sum(), 1e-10, 1e-8, "expected log joint plus entropies")

    over_sizes(run)


@CHECKS.add(KnowsFreeEnergy)
def entropy_identity_holds_right_after_a_full_m_step(case: ModelCase) -> None:
    """The mean of the expected log joint is minus the entropy of prior and noise."""
    if case.make(1).identity != "after M-step":
        raise Skipped(f"the entropy identity of {case.kind} holds at convergence only")

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, _ = problem(case, n_latents, n_observed, seed)
        sums = exact(model, params, values).sums
        new = model.maximize(params, sums, step_of(model, n_observed, frozenset(params)))
        expected = model.expected_log_joint(new, sums) / len(values)
        # A probability that was raised to its bound is no maximum, and costs up to its entropy.
        low = model.parameters(n_observed)["pi"].constraint.low if "pi" in new else 0.0
        is_inside = "pi" not in new or bool(((new["pi"] > 1.1 * low) & (new["pi"] < 1 - 1.1 * low)).all())
        absolute = 1e-10 if is_inside else 1e-7
        assert_close(expected, -model.entropy(new, sums), 1e-10, absolute, "expected log joint of a row")

    over_sizes(run)


@CHECKS.add(KnowsFreeEnergy)
def m_step_is_a_maximum_of_the_expected_log_joint(case: ModelCase) -> None:
    """No parameters near it have a higher one."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed)
        sums = exact(model, params, values).sums
        best = model.maximize(params, sums, step_of(model, n_observed, frozenset(params)))
        highest = model.expected_log_joint(best, sums)
        allowed = 1e-9 * abs(highest) + rounding_of(model, best, sums)
        for scale in (1e-3, 0.1):
            other = best.copy()
            for name, spec in learnable(model.parameters(n_observed)).items():
                other[name] = spec.constraint.nearest(best[name] * (1 + scale * rng.standard_normal(spec.shape)))
            higher = f"parameters {scale:g} beside those of the M-step have a higher expected log joint"
            assert_that(model.expected_log_joint(other, sums) <= highest + allowed, higher)

    over_sizes(run)


@CHECKS.add()
def truncated_free_energy_is_never_above_the_exact_one(case: ModelCase) -> None:
    """Some states have less probability than all."""

    def run(n_latents: int, n_observed: int, seed: int) -> None:
        model, params, values, rng = problem(case, n_latents, n_observed, seed)
        target, codes, posterior = exact(model, params, values)
        kept = rng.permutation(codes.shape[1])[: 1 + seed % codes.shape[1]]
        truncated = truncated_posterior(target.log_joint(np.ascontiguousarray(codes[:, kept])))
        assert_that(truncated.free_energy <= posterior.free_energy + 1e-9, "a part of the states exceeds all of them")
        assert_close(truncated.weights.sum(axis=1), 1.0, 1e-9, 0.0, "sum of the weights of (row,)")

    over_sizes(run)


@CHECKS.add(Samples)
def a_fit_to_its_own_samples_improves_on_the_start(case: ModelCase) -> None:
    """By a quarter of the way to the parameters that made them."""
    rng, model = np.random.default_rng(3), case.make(3)
    truth = random_parameters(model, 8, rng)
    values, states = model.sample(truth, 300, rng)
    assert_that(
        values.shape == (300, 8) and states.shape == (300, model.space.n_latents),
        "samples or states are of the wrong shape",
    )
    params = model.initial(moments_of(values), rng)
    shapes = {name: spec.shape for name, spec in model.parameters(8).items()}
    assert_that(params.shapes == shapes, f"initial parameters are {params.shapes}, said was {shapes}")
    likelihoods: list[float] = []
    step = step_of(model, 8, frozenset(params))
    for _ in range(40):
        found = exact(model, params, values)
        likelihoods.append(float(found.posterior.free_energy.mean()))
        params = model.maximize(params, found.sums, step)
    at_truth = float(exact(model, truth, values).posterior.free_energy.mean())
    least = likelihoods[0] + 0.25 * (at_truth - likelihoods[0])
    assert_that(likelihoods[-1] > least, f"40 sweeps end at {likelihoods[-1]}, not above {least}")


@CHECKS.add(Samples)
def samples_have_the_moments_of_the_model(case: ModelCase) -> None:
    """Activities; and mean and variance of each entry given the states, where the case has them."""
    rng, model = np.random.default_rng(5), case.make(4)
    truth = random_parameters(model, 5, rng)
    values, states = model.sample(truth, 60_000, rng)
    absolute = _ACTIVITY_FOR_DRAWS if couples_latents(model) else 0.012
    assert_close(
        model.space.presence(states).mean(axis=0),
        model.activity(truth),
        0.0,
        absolute,
        "share of rows in which (latent,) is on",
    )
    if case.mean is not None and case.variance is not None:
        shown = np.asarray(model.space.values[states])
        residual: Floats = values - case.mean(model, truth, shown)
        variance = case.variance(model, truth, shown)
        bias = residual.mean(axis=0) / np.sqrt(variance.mean(axis=0))
        assert_close(bias, 0.0, 0.0, 0.025, "mean residual of (entry,) in standard deviations")
        assert_close(np.mean(residual**2), np.mean(variance), 0.04, 0.0, "mean squared residual")
