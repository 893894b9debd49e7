"""Small problems for checks: parameters, rows, targets and exact posteriors."""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import Target
from prosper_ng.latents.posterior import TruncatedPosterior, truncated_posterior
from prosper_ng.latents.space import Codes
from prosper_ng.models.capabilities import Samples, offers
from prosper_ng.models.interface import Batch, Floats, Moments, MStep
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.testing.cases import Mask, ModelCase
from prosper_ng.training.totals import memory_of


class Problem(NamedTuple):
    """A model, parameters, and rows from other parameters."""

    model: Any
    params: NamedArrays
    values: Floats
    rng: np.random.Generator


class Exact(NamedTuple):
    """The posterior over all states of some rows."""

    target: Target
    codes: Codes
    posterior: TruncatedPosterior

    @property
    def sums(self) -> NamedArrays:
        """The statistics of the rows."""
        return statistics(self.target, self.codes, self.posterior.weights)


def random_parameters(model: Any, n_observed: int, rng: np.random.Generator) -> NamedArrays:
    """Legal parameters, far from anything special."""
    specs = model.parameters(n_observed)
    params = NamedArrays({name: spec.shape for name, spec in specs.items()})
    for name, spec in specs.items():
        params[name] = spec.constraint.feasible(spec.shape, rng)
    return params


def supported(model: Any, values: Floats) -> Floats:
    """Rows that the model can have made, as near as may be to rows of real numbers; what is missing (NaN) stays so."""
    return np.where(np.isnan(values), np.nan, model.support.nearest(np.nan_to_num(values)))


def rows_of(model: Any, n_rows: int, n_observed: int, rng: np.random.Generator) -> Floats:
    """Rows (n, D) from random parameters of the model, or of noise where it cannot draw any."""
    if offers(model, Samples):
        return model.sample(random_parameters(model, n_observed, rng), n_rows, rng)[0]
    return supported(model, 3 * rng.standard_normal((n_rows, n_observed)))


def problem(case: ModelCase, n_latents: int, n_observed: int, seed: int, n_rows: int = 40) -> Problem:
    """A model and rows that its parameters do not fit."""
    rng, model = np.random.default_rng(seed), case.make(n_latents)
    params = random_parameters(model, n_observed, rng)
    return Problem(model, params, rows_of(model, n_rows, n_observed, rng), rng)


def moments_of(values: Floats) -> Moments:
    """What initialization needs to know of rows (n, D)."""
    return Moments(len(values), values.mean(axis=0), values.var(axis=0))


def batch_of_observed(values: Floats, observed: Mask | None = None) -> Batch:
    """A batch of rows, of which some entries may not have been observed."""
    return Batch(np.arange(len(values)), values if observed is None else np.where(observed, values, 0.0), observed)


def step_of(
    model: Any, n_observed: int, learn: frozenset[str], rng: np.random.Generator | None = None
) -> MStep:  # fmt: skip
    """An M-step that remembers nothing yet; passed on, it remembers those before."""
    return MStep(learn, rng=rng, memory=NamedArrays(memory_of(model, n_observed)))


def target_of(model: Any, params: NamedArrays, batch: Batch) -> Target:
    """What an E-step works on."""
    prepared = model.prepare(params)
    return Target(model, prepared, model.project(prepared, batch), batch, model.activity(params), stream(1, "test"))


def with_batch(target: Target, batch: Batch) -> Target:
    """The same for other rows."""
    return target._replace(batch=batch, projected=target.model.project(target.prepared, batch))


def exact(model: Any, params: NamedArrays, values: Floats, observed: Mask | None = None) -> Exact:
    """The posterior over all states."""
    target = target_of(model, params, batch_of_observed(values, observed))
    found = Exhaustive().find(target, None)
    return Exact(target, np.ascontiguousarray(found.codes), truncated_posterior(found.log_joint))


def statistics(target: Target, codes: Codes, weights: Floats) -> NamedArrays:
    """What a batch adds to empty sums."""
    sums = NamedArrays(target.model.statistics(target.batch.values.shape[1]))
    target.model.accumulate(target.prepared, target.projected, target.batch, codes, weights, sums)
    return sums


def crowd(case: ModelCase, n_latents: int = 6, n_rows: int = 30, seed: int = 0, first_row: int = 0) -> Target:
    """Thirty rows of five entries from the parameters themselves, or those from `first_row` on."""
    rng, model = np.random.default_rng(seed), case.make(n_latents)
    params = random_parameters(model, 5, rng)
    if offers(model, Samples):
        values, _ = model.sample(params, n_rows, rng)
    else:
        values = rows_of(model, n_rows, 5, rng)
    return target_of(model, params, Batch(np.arange(first_row, n_rows), values[first_row:]))


def with_missing_entries(target: Target) -> Target:
    """One row complete, one without a value, the others in between."""
    observed = np.random.default_rng(4).random(target.batch.values.shape) < 0.6
    observed[:2] = [[True], [False]]
    values = np.where(observed, target.batch.values, 0.0)
    return with_batch(target, Batch(target.batch.rows, values, observed))
