"""How well a model that was learned from a coreset explains all rows."""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.estep.interface import EStep
from prosper_ng.estep.kept_rows import row_state_of
from prosper_ng.latents.posterior import Posterior
from prosper_ng.learning.coreset import AllRows
from prosper_ng.models.interface import Batch, MStep
from prosper_ng.models.roles import of_role
from prosper_ng.numerics.named_arrays import NamedArrays, segments
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.schedule import END
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively, decided
from prosper_ng.training.data_selection import batch_of
from prosper_ng.training.totals import statistics_of
from prosper_ng.training.visits import View, add_statistics

N_ROUNDS = 2
"""Times that the E-step looks at a row, where it keeps something of it from time to time."""


class OnAllRows(NamedTuple):
    """What a model makes of all rows; the same on all ranks, and to the last bit on any number of them."""

    n_rows: int
    free_energy: float
    """Per row, a lower bound of the mean log likelihood."""
    mean_squared_error: float | None
    """Per value; None where the model has no one number for the strength of the noise."""

    @property
    def results(self) -> dict[str, float]:
        """By name, as far as they are known."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def sentence(self) -> str:
        """For the log."""
        error = "" if self.mean_squared_error is None else f", mean squared error {self.mean_squared_error:.6g}"
        return f"on all {self.n_rows} rows: free energy {self.free_energy:.6g} per row{error}"


def on_all_rows(rows: AllRows, model: Any, estep: EStep, params: NamedArrays, seed: int) -> OnAllRows:
    """Pass over all rows once; all ranks call it together.

    The mean squared error is the noise that would be learned from them with all else as it is.
    """
    shapes = statistics_of(model, rows.n_observed)
    total, sums = ExactSum(segments(shapes)), NamedArrays(shapes)
    with collectively(rows.comm, "looking at all rows"):
        estep = estep.with_all_states()
        view = View.of(model, estep, params, seed, END)
        for numbers, values, weights in rows.pieces():
            batch = batch_of(numbers, values, weights)
            sums.buffer[:] = 0.0
            add_statistics(batch, _posterior(view, estep, batch, seed), None, sums)
            total.add(sums.buffer)
    summed, _ = total.reduce(rows.comm, np.zeros(0), to_root=True)
    return decided(rows.comm, lambda: _found(rows, model, params, NamedArrays(shapes, summed)))


def _posterior(view: View, estep: EStep, batch: Batch, seed: int) -> Posterior:
    """Of rows of which nothing is known yet."""
    model, n_observed, target = view.model, batch.values.shape[1], view.target(batch)
    if not row_state_of(estep, model, n_observed):
        return estep.posterior(target)
    draws = stream(seed, "initial state sets")
    own = estep.initial_rows(model, n_observed, batch.rows, view.activity, draws)
    for number in range(N_ROUNDS):
        posterior = estep.posterior(target._replace(stream=stream(seed, "all rows", number)), own)
    return posterior


def _found(rows: AllRows, model: Any, params: NamedArrays, sums: NamedArrays) -> OnAllRows:
    specs, error = model.parameters(rows.n_observed), None
    noise = of_role(specs, "noise")
    if noise is not None and specs[noise].shape == ():
        error = float(np.square(model.maximize(params, sums, MStep(frozenset({noise})))[noise]))
    return OnAllRows(rows.blocks.n_rows, float(sums["free_energy"] / sums["n"]), error)
