"""The end of learning from a coreset: one step on all rows, which tells how well they are explained.

What m rows tell differs by chance from what all would, k-means of C clusters by a share of about C / m of its error. To
tell the error of all rows takes an E-step over them; its statistics give an M-step at no more cost, after which that
share is gone.
"""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.estep.interface import EStep
from prosper_ng.estep.kept_rows import row_state_of
from prosper_ng.latents.posterior import Posterior
from prosper_ng.learning.coreset import AllRows
from prosper_ng.models.capabilities import Remembers, learns_from_part, offers
from prosper_ng.models.interface import Batch, KnowsFreeEnergy, MStep
from prosper_ng.models.roles import of_role
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.schedule import END
from prosper_ng.parallel.failure import collectively, decided
from prosper_ng.training.block_sums import BlockSums
from prosper_ng.training.data_selection import batch_of
from prosper_ng.training.visits import View, add_statistics, share_of

N_ROUNDS = 2
"""Times that the E-step looks at a row, where it keeps something of it from time to time."""


class OnAllRows(NamedTuple):
    """What a model makes of all rows; the same on all ranks, and to the last bit on any number of them."""

    n_rows: int
    """All but those that are held out."""
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
        return f"after a step on all {self.n_rows} rows: free energy {self.free_energy:.6g} per row{error}"


def step_on_all_rows(
    rows: AllRows, model: Any, estep: EStep, params: NamedArrays, seed: int, learn: frozenset[str]
) -> tuple[OnAllRows, NamedArrays]:
    """One step of EM in a pass over all rows: what it comes to, and new parameters, of which some are learned.

    All ranks call it together. Where a model cannot promise that the M-step improves them, parameters stay. The mean
    squared error is the noise that would be learned from the rows with all else as it is.
    """
    sums, count = BlockSums(model, rows.n_observed), np.zeros(1)
    with collectively(rows.comm, "looking at all rows"):
        estep = estep.with_all_states()
        view = View.of(model, estep, params, seed, END, share_of(rows.comm))
        for numbers, values, weights in rows.pieces():
            batch = batch_of(numbers, values, weights)
            add_statistics(batch, _posterior(view, estep, batch, seed), None, sums.statistics)
            sums.end_block()
            count += len(numbers)
    whole, _, count = sums.reduce(rows.comm, count)
    new = params.copy()

    def maximized() -> OnAllRows:
        if _improves(model):
            new.buffer[:] = model.maximize(params, whole, MStep(learn)).buffer
        return _told(model, new, whole, rows.n_observed, int(count[0]))

    found = decided(rows.comm, maximized)
    rows.comm.broadcast_in_place(new.buffer)
    return found, new


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


def _improves(model: Any) -> bool:
    """Whether the M-step of the model never lowers the free energy that these statistics tell."""
    knows = offers(model, KnowsFreeEnergy) and model.is_monotone
    return knows and not learns_from_part(model) and not offers(model, Remembers)


def _told(model: Any, params: NamedArrays, sums: NamedArrays, n_observed: int, n_rows: int) -> OnAllRows:
    """From statistics that were made before the M-step."""
    energy, error = float(sums["free_energy"]), None
    if _improves(model):
        energy = model.expected_log_joint(params, sums) + float(sums["entropy"] + sums["hidden_entropy"])
    specs = model.parameters(n_observed)
    noise = of_role(specs, "noise")
    if noise is not None and specs[noise].shape == ():
        error = float(np.square(model.maximize(params, sums, MStep(frozenset({noise})))[noise]))
    return OnAllRows(n_rows, energy / float(sums["n"]), error)
