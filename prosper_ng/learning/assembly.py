"""A configuration turned into a problem that can be trained on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.dataset import NO_COLUMNS, Columns, Dataset
from prosper_ng.data.row_file import mapped_array, stored_rows, written_rows
from prosper_ng.data.support import require_support
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning import memory
from prosper_ng.learning.census import Census, equal_columns, take_census
from prosper_ng.learning.census_warnings import Case, warnings_of
from prosper_ng.learning.digest import Content, compile_reading
from prosper_ng.models.interface import Moments, learnable
from prosper_ng.models.roles import legal_value, noise_covariance, telling_parameter
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.storage.parameter_file import read_parameters, unknown_columns
from prosper_ng.training.data_selection import Rows
from prosper_ng.training.em import Problem, TrainingState, start
from prosper_ng.training.requirements import check_model

Floats = NDArray[np.float64]

_PIECE_BYTES = 1 << 22
"""Of rows that are read at a time."""


class Assembly(NamedTuple):
    """Everything a run needs, found to fit together."""

    dataset: Dataset
    problem: Problem
    initial: NamedArrays
    plan: memory.MemoryPlan | None
    """The memory of all ranks, on root."""
    data_digest: str
    """Of what the source holds; see `Content`."""
    unknown: Columns
    """The columns of which nothing can be known: no value is observed, and no file of parameters tells of them."""
    allocate: Callable[..., Any] = np.empty
    """Makes the arrays of what is kept of rows, by shape and type."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the data."""

    def start(self) -> TrainingState:
        """The state before the first sweep."""
        return start(self.problem, self.initial, self.allocate)


def assemble(config: RunConfig, comm: Communicator, folder: Path = Path()) -> Assembly:
    """Data, model and first parameters; each rank reads its own rows. Scratch files go to `folder`.

    Raises UserError on all ranks where data and configuration do not fit together, or into the memory, or where there
    is nothing to learn from.
    """
    scratch = folder if config.memory.scratch is None else Path(config.memory.scratch)
    with collectively(comm, "opening the data"):
        dataset = config.data.open(config.seed)
        if dataset.n_rows == 0:
            raise UserError("the data have no rows; at least one is needed to learn from")
        config.task.check(dataset, config.model, config.chosen_estep.estep)
        _check_names(config, dataset)
    blocks = blocks_of(config, dataset.n_rows)
    with collectively(comm, "choosing the states"):
        check_model(config.model, config.chosen_estep.estep, config.training)
        sizes = memory.sizes_of(config, dataset.n_observed)
    plan = memory.planned(config, sizes, blocks, comm)
    owned = blocks.owned_rows(comm.rank, comm.size)
    content = Content(dataset)
    warm_up(comm, compile_reading)
    with collectively(comm, "reading the data"):
        values = _values(config, content, owned, scratch)
    problem = Problem(config.model, config.chosen_estep.estep, values, blocks, comm, config.seed)
    with collectively(comm, "initializing the parameters"):
        given = _given_parameters(config, dataset)
        told = _columns_told(config, dataset, given)
    keeps_states = config.memory.keeps_states(len(owned) * sizes.row_bytes)
    allocate = np.empty if keeps_states else partial(mapped_array, folder=scratch)
    census = take_census(problem)
    unknown = np.setdiff1d(census.never_observed, told)
    warnings = _warnings(config, dataset, problem, census, unknown)
    initial = _initial(config, problem, given, census.moments)
    return Assembly(dataset, problem, initial, plan, content.digest(comm), unknown, allocate, warnings)


def _values(config: RunConfig, content: Content, owned: range, scratch: Path) -> Rows:
    """This rank's rows in memory, or where they go beyond the budget in a file: the dataset's own if it will do."""
    dataset = content.dataset
    dtype, shape = np.dtype(config.memory.dtype), (len(owned), dataset.n_observed)
    n_together = max(1, _PIECE_BYTES // (8 * dataset.n_observed))
    pieces = [range(start, min(start + n_together, owned.stop)) for start in owned[::n_together]]

    def read(rows: range) -> Floats:
        found = content.read(rows.start, rows.stop)
        require_support(found, rows.start, config.model, dataset.where, dataset.preprocessing)
        return found

    if config.memory.keeps_data(shape[0] * shape[1] * dtype.itemsize):
        values = np.empty(shape, dtype)
        for rows in pieces:
            with np.errstate(over="ignore"):  # the census refuses what single precision cannot hold
                values[rows.start - owned.start : rows.stop - owned.start] = read(rows)
        return values
    stored = dataset.stored
    if stored is None or stored.dtype != dtype:
        return written_rows(map(read, pieces), shape, dtype, scratch)
    for rows in pieces:
        read(rows)  # raises where the rows are no data to learn from
    return stored_rows(stored, owned.start, shape)


def blocks_of(config: RunConfig, n_rows: int) -> RowBlocks:
    """The blocks that the rows of a run are cut into; raises UserError where there are more updates than blocks."""
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
    names = tuple(learnable(config.model.parameters(dataset.n_observed)))
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
    specs = learnable(config.model.parameters(dataset.n_observed))
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


def _columns_told(config: RunConfig, dataset: Dataset, given: dict[str, Floats]) -> Columns:
    """The columns that the dictionary to start from, or what a model has in its place, tells of out of a file."""
    training, name = config.training, telling_parameter(config.model)
    if training.initial_file is None or name not in given or name in training.initial:
        return NO_COLUMNS
    return np.setdiff1d(np.arange(dataset.n_observed), unknown_columns(Path(training.initial_file)))


def _warnings(
    config: RunConfig, dataset: Dataset, problem: Problem, census: Census, unknown: Columns
) -> tuple[str, ...]:
    """What is doubtful about the data; all ranks call it together."""
    stored = dataset.stored
    types = [np.dtype(config.memory.dtype), *([stored.dtype] if stored and stored.dtype.kind == "f" else [])]
    epsilon = max(float(np.finfo(each).eps) for each in types)
    has_covariance = noise_covariance(config.model.parameters(problem.n_observed)) is not None
    repeated = equal_columns(problem, census) if has_covariance else NO_COLUMNS
    return warnings_of(Case(census, config.model, config.data.preparation, epsilon, repeated, unknown))


def _initial(config: RunConfig, problem: Problem, given: dict[str, Floats], moments: Moments) -> NamedArrays:
    """Parameters to start from: of the data, else of the file, else as configured; the same bits on all ranks."""
    training = config.training
    generator = stream(config.seed, "initial parameters").generator()
    params = config.model.initial(moments, generator)
    for name, spec in config.model.parameters(problem.n_observed).items():
        value: Any = params[name]
        origin = f"the start found from the data: {name}"
        if name in given:
            value, origin = given[name], f"training.initial_file: {name} in {training.initial_file}"
        if name in training.initial:
            value, origin = training.initial[name], f"training.initial: {name}"
        params[name] = legal_value(spec, value, origin)
    problem.comm.broadcast_in_place(params.buffer)
    return params
