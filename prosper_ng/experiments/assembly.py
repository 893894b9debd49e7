"""A configuration turned into a problem that can be trained on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.models.interface import Moments, ParameterSpec
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.storage.dataset import Dataset
from prosper_ng.storage.parameter_file import read_parameters
from prosper_ng.training.em import Problem

Floats = NDArray[np.float64]


class Assembly(NamedTuple):
    """Everything a run needs, found to fit together."""

    dataset: Dataset
    problem: Problem
    initial: NamedArrays


def assemble(config: RunConfig, comm: Communicator) -> Assembly:
    """Data, model and first parameters; each rank reads its own rows.

    Raises UserError on all ranks where data and configuration do not fit together.
    """
    with collectively(comm, "opening the data"):
        dataset = config.data.open(config.seed)
        if dataset.n_rows == 0:
            raise UserError("the data have no rows; at least one is needed to learn from")
        config.task.check(dataset)
        _check_names(config, dataset)
    blocks = _blocks(config, dataset.n_rows)
    owned = blocks.owned_rows(comm.rank, comm.size)
    with collectively(comm, "reading the data"):
        values = dataset.read(owned.start, owned.stop)
    problem = Problem(config.model, config.estep, values, blocks, comm, config.seed)
    with collectively(comm, "initializing the parameters"):
        given = _given_parameters(config, dataset)
    return Assembly(dataset, problem, _initial(config, problem, given))


def _blocks(config: RunConfig, n_rows: int) -> RowBlocks:
    n_parts = config.training.updates_per_sweep
    block_rows = config.training.block_rows or default_block_rows(n_rows, n_parts)
    blocks = RowBlocks(n_rows, block_rows, n_parts)
    if blocks.n_blocks < n_parts:
        raise UserError(
            f"training.updates_per_sweep is {n_parts}, but {n_rows} rows make only {blocks.n_blocks} blocks of "
            f"{block_rows}; legal are 1 to {blocks.n_blocks} updates, or smaller training.block_rows"
        )
    return blocks


def _check_names(config: RunConfig, dataset: Dataset) -> None:
    """Refuse names of parameters that the model does not have."""
    names = tuple(config.model.parameters(dataset.n_observed))
    training = config.training
    for where, asked in (("learn", training.learn or ()), ("initial", training.initial)):
        for name in asked:
            if name not in names:
                raise UserError(
                    f"training.{where}: model {kind_of(config.model)} has no parameter {name!r}; it has "
                    + ", ".join(names)
                )
    try:
        training.annealing.check_parameters(names)
    except ValueError as error:
        raise UserError(f"training.annealing: {error}") from None


def _given_parameters(config: RunConfig, dataset: Dataset) -> dict[str, Floats]:
    """Parameters from `initial_file`, which must fit the model."""
    if config.training.initial_file is None:
        return {}
    specs = config.model.parameters(dataset.n_observed)
    found = {name: np.asarray(values) for name, values in read_parameters(Path(config.training.initial_file)).items()}
    for name, spec in specs.items():
        if name in found and found[name].shape != spec.shape:
            raise UserError(
                f"training.initial_file: {name} in {config.training.initial_file} has the shape {found[name].shape}, "
                f"and model {kind_of(config.model)} here needs {spec.shape}"
            )
    given = {name: values for name, values in found.items() if name in specs}
    if not given:
        raise UserError(
            f"training.initial_file: {config.training.initial_file} holds none of the parameters {', '.join(specs)}"
        )
    return given


def _initial(config: RunConfig, problem: Problem, given: dict[str, Floats]) -> NamedArrays:
    """Parameters to start from: of the data, else of the file, else as configured; the same bits on all ranks."""
    training = config.training
    generator = stream(config.seed, "initial parameters").generator()
    params = config.model.initial(moments(problem), generator)
    for name, spec in config.model.parameters(problem.n_observed).items():
        origin = f"the start found from the data: {name}"
        if name in given:
            params[name], origin = given[name], f"training.initial_file: {name} in {training.initial_file}"
        if name in training.initial:
            params[name], origin = training.initial[name], f"training.initial: {name}"
        _check_legal(params[name], spec, origin)
    problem.comm.broadcast_in_place(params.buffer)
    return params


def _check_legal(values: Floats, spec: ParameterSpec, origin: str) -> None:
    legal = np.isfinite(values) & (values >= spec.low) & (values <= spec.high)
    if not legal.all():
        raise UserError(
            f"{origin} ({spec.meaning}) must be a number from {spec.low:.12g} to {spec.high:.12g}, "
            f"not {values[~legal].flat[0]:g}"
        )


def moments(problem: Problem) -> Moments:
    """Mean and variance of what was observed of each dimension, over all rows of all ranks."""
    center = np.zeros(problem.n_observed)
    for power in (1, 2):
        total = ExactSum([problem.n_observed, problem.n_observed])
        for block in problem.blocks.owned(problem.comm.rank, problem.comm.size):
            rows = problem.blocks.rows(block)
            values = problem.values[rows.start - problem.first_row : rows.stop - problem.first_row]
            with np.errstate(over="ignore"):  # what becomes infinite here is refused as a parameter
                powers = np.nansum((values - center) ** power, axis=0)
            total.add(np.concatenate([powers, np.count_nonzero(~np.isnan(values), axis=0)]))
        summed, _ = total.reduce(problem.comm, np.zeros(0))
        average = summed[: problem.n_observed] / np.maximum(summed[problem.n_observed :], 1.0)
        if power == 1:
            center = average
    return Moments(problem.blocks.n_rows, center, average)
