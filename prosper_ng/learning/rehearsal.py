"""Learning from a few rows, so that every kernel is compiled before the ranks begin."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from prosper_ng.components import legal
from prosper_ng.errors import UserError
from prosper_ng.learning.assembly import Assembly
from prosper_ng.models.capabilities import FitsGaussians, offers
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import small_blocks
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.em import Problem, TrainingState, TruncatedEM, start
from prosper_ng.training.held_out import HeldOut
from prosper_ng.training.settings import Training
from prosper_ng.training.visits import posteriors


def rehearse(parts: Assembly, then: Callable[[Problem, TrainingState], None] | None = None) -> None:
    """Two incremental sweeps, one tempered if the model can be, over few rows that are not the data's; `then` the rest.

    What is wrong with these rows says nothing about the data, and what is wrong with the settings learning itself will
    find: a UserError only ends the rehearsal.
    """
    n_observed = parts.problem.n_observed
    blocks = small_blocks(parts.problem.blocks)
    values = parts.problem.model.support.feasible((blocks.n_rows, n_observed), stream(0, "rehearsal").generator())
    if parts.missing:
        values[0, 0] = np.nan
    model, estep, seed = parts.problem.model, parts.problem.estep, parts.problem.seed
    # One row of two, where each block then has another to learn from.
    held_out = HeldOut(0.5, seed, blocks.n_rows) if parts.problem.held_out and blocks.block_rows > 1 else None
    problem = Problem(model, estep, values, blocks, SerialCommunicator(), seed, held_out)
    tempered = 1.0 if offers(model, FitsGaussians) else ((0, 2.0), (1, 1.0))
    annealing = legal(Annealing, temperature=tempered, anneal_prior=False)
    training = legal(Training, n_sweeps=2, updates_per_sweep=2, annealing=annealing)
    with suppress(UserError):
        state = start(problem, parts.initial.copy())
        for _ in TruncatedEM(problem, training).sweeps(state):
            pass
        # What is scheduled for later sweeps has to be compiled as well.
        for sweep in estep.turning_points:
            for _ in posteriors(problem, replace(state, sweep=sweep)):
                pass
        if then is not None:
            then(problem, state)
