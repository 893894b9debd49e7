"""Rows as the E-step sees them at fixed parameters, block by block."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.estep.interface import EStep, Floats, Target
from prosper_ng.latents.posterior import UNTEMPERED, Mask, Posterior, Tempering
from prosper_ng.models.capabilities import offers, workspace_for
from prosper_ng.models.interface import Batch, DiscreteLatents
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import Stream, stream
from prosper_ng.numerics.sharing import ALONE, Share
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.rows import RowBlocks, together
from prosper_ng.training.annealing import AnnealingPoint
from prosper_ng.training.data_selection import batch_of, noisy_values, visited_rows

if TYPE_CHECKING:
    from prosper_ng.training.em import Problem, TrainingState

Visit = tuple[Target, Posterior]


class View(NamedTuple):
    """A model at fixed parameters, and what is found of these before any row is looked at."""

    model: DiscreteLatents
    prepared: Any
    activity: Floats
    streams: Stream
    tempering: Tempering
    sweep: int
    guide: Any
    workspace: Any

    @classmethod
    def of(
        cls, model: Any, estep: EStep, params: NamedArrays, seed: int, sweep: int, share: Share = ALONE,
        point: AnnealingPoint | None = None,
    ) -> "View":  # fmt: skip
        """At temperature 1 where no point of the annealing is given; those that share the work call it together."""
        prepared = model.prepare(params, point.temperature if point else 1.0)
        workspace, guide = workspace_for(model, prepared), estep.guide(model, prepared, share)
        tempering = point.tempering if point else UNTEMPERED
        streams = stream(seed, "variation", sweep)
        return cls(model, prepared, activity_of(model, params), streams, tempering, sweep, guide, workspace)

    def target(self, batch: Batch) -> Target:
        """What an E-step works on: these parameters and a batch."""
        return Target(
            self.model, self.prepared, self.model.project(self.prepared, batch), batch, self.activity, self.streams,
            self.tempering, self.sweep, guide=self.guide, workspace=self.workspace,
        )  # fmt: skip


def share_of(comm: Communicator) -> Share:
    """That of this rank."""
    return Share(comm.rank, comm.size, comm.sum_in_place)


def activity_of(model: Any, params: NamedArrays) -> Floats:
    """(H,) prior probability that each latent is active; (0,) of a model without discrete latents."""
    return model.activity(params) if offers(model, DiscreteLatents) else np.empty(0)


def posteriors(
    problem: "Problem",
    state: "TrainingState",
    part: int | None = None,
    point: AnnealingPoint | None = None,
    vary: bool = True,
) -> Iterator[Visit]:
    """The truncated posteriors of this rank's blocks, of one part or of all, one block after the other.

    At temperature 1 where no point of the annealing is given. All ranks call it together, unless `vary` is off.
    """
    blocks, held_out = problem.blocks, problem.held_out
    share = share_of(problem.comm) if vary else ALONE
    view = View.of(problem.model, problem.estep, state.params, problem.seed, state.sweep, share, point)
    mine = _pieces(blocks, part, blocks.owned(problem.comm.rank, problem.comm.size))
    everyone = _pieces(blocks, part, range(blocks.n_blocks))
    visited = visited_rows(problem.seed, state.sweep, mine, everyone, point, held_out)
    for rows in chain.from_iterable(map(together, visited)):
        # Fancy indexing copies, so that linear algebra sees the same alignment whoever owns the block.
        local = rows - problem.first_row
        values = noisy_values(problem.seed, state.sweep, rows, problem.values[local], point, held_out)
        weights = None if problem.weights is None else problem.weights[local]
        labels = None if problem.labels is None else problem.labels[local]
        target = view.target(batch_of(rows, values, weights)._replace(labels=labels))
        places = _places(rows, problem.first_row)
        own = {name: np.asarray(values[places]) for name, values in state.rows.items()}
        posterior = problem.estep.posterior(target, own, vary)
        if not isinstance(places, slice):
            for name, values in own.items():
                state.rows[name][places] = values
        yield target, posterior


def add_statistics(batch: Batch, posterior: Posterior, kept: Mask | None, sums: NamedArrays) -> None:
    """Add the statistics of the rows of a batch that are kept (n,), of all where None, their entropy and free energy.

    A row of weight 0 adds nothing, whatever it holds.
    """
    if batch.weights is not None and not batch.weights.all():
        kept = batch.weights > 0 if kept is None else kept & (batch.weights > 0)
    posterior.accumulate(kept, sums)
    for name, values in (("entropy", posterior.entropy), ("free_energy", posterior.free_energy)):
        sums[name] += np.sum(batch.weighed(values), where=True if kept is None else kept)


def _pieces(blocks: RowBlocks, part: int | None, among: range) -> Iterator[range]:
    """The global rows of each of some blocks, of one part or of all."""
    return map(blocks.rows, among) if part is None else blocks.pieces(part, among)


def _places(rows: NDArray[np.int64], first_row: int) -> slice | NDArray[np.int64]:
    """Where global rows lie on their rank; a slice where they have no gaps, which needs no copies of what is kept."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return slice(int(rows[0]) - first_row, int(rows[-1]) - first_row + 1)
    return rows - first_row
