"""Data and settings put together to a problem that can be trained on."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.data.content import compile_reading
from prosper_ng.data.dataset import NO_COLUMNS, Columns, Dataset, Source
from prosper_ng.data.row_file import mapped_array
from prosper_ng.data.some_rows import SomeRows
from prosper_ng.data.sources._beside import NOTHING_BESIDE, Beside
from prosper_ng.errors import UserError
from prosper_ng.learning import memory
from prosper_ng.learning.all_rows import OnAllRows, step_on_all_rows
from prosper_ng.learning.census import Census, equal_columns, take_census, with_examples
from prosper_ng.learning.census_warnings import Case, warnings_of
from prosper_ng.learning.coreset import AllRows
from prosper_ng.learning.elements import first_elements
from prosper_ng.learning.initial import Given, columns_told, given_parameters, initial_parameters
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.learning.taken_rows import Taken, classes_without_labels, require_labels, size_of_coreset, take_rows
from prosper_ng.models.axes import counted_by
from prosper_ng.models.capabilities import SumsByValue, offers
from prosper_ng.models.interface import learnable
from prosper_ng.models.roles import noise_covariance
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator, SerialCommunicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows, small_blocks
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.paths import path_of
from prosper_ng.training.em import Initial, Problem, TrainingState, start
from prosper_ng.training.held_out import HeldOut
from prosper_ng.training.requirements import check_model
from prosper_ng.training.restarts import seed_of
from prosper_ng.training.settings import Training

_MOST_ROWS = 1 << 14
"""Of a block, for models of many components."""
_ALL_ALIKE = (
    "training.restarts: all starts begin with the same parameters, which are given; only what is drawn while they are "
    "learned tells them apart"
)


class Assembly(NamedTuple):
    """Everything that learning needs, found to fit together."""

    dataset: Dataset
    problem: Problem
    initial: NamedArrays
    plan: memory.MemoryPlan | None
    """The memory of all ranks, on root."""
    data_digest: str
    """Of what the source holds; see `Taken`."""
    unknown: Columns
    """The columns of which nothing can be known: no value is observed, and no file of parameters tells of them."""
    missing: bool
    """Whether values are missing."""
    begin: Initial
    """Finds other parameters to start from."""
    allocate: Callable[..., Any] = np.empty
    """Makes the arrays of what is kept of rows, by shape and type."""
    warnings: tuple[str, ...] = ()
    """What is doubtful about the data."""
    everything: AllRows | None = None
    """All rows but those held out, where a coreset of them is learned from."""

    def start(self) -> TrainingState:
        """The state before the first sweep."""
        return start(self.problem, self.initial, self.allocate)

    def last_step(self, state: TrainingState, training: Training) -> OnAllRows | None:
        """After a coreset was learned from, one step on all rows: new parameters, and what it comes to.

        Nothing changes, and it is None, where all rows were learned from. All ranks call it together.
        """
        problem = self.problem
        if self.everything is None:
            return None
        names = learnable(problem.model.parameters(problem.n_observed)) if training.learn is None else training.learn
        learn = frozenset(names) - training.at(training.n_sweeps - 1).held
        found, state.params = step_on_all_rows(
            self.everything, problem.model, problem.estep, state.params, problem.seed, learn
        )
        return found


def assemble(
    settings: LearningSettings,
    dataset: Dataset,
    comm: Communicator,
    folder: Path = Path(),
    source: Source | None = None,
    start: Given | None = None,
    bytes_after: int = 0,
    beside: Beside = NOTHING_BESIDE,
) -> Assembly:
    """Data, model and first parameters; each rank reads its own rows. Scratch files go to `folder`.

    `source` is the component that the rows come from, where there is one, and `start` holds parameters to start from.
    `bytes_after` are held after the last sweep, beyond those of the dataset. `beside` are weights and labels of rows.
    Raises UserError on all ranks where data and settings do not fit together, or into the memory, or where there is
    nothing to learn from.
    """
    scratch = folder if settings.memory.scratch is None else path_of(settings.memory.scratch)
    plan, row_bytes = _planned(settings, dataset, comm, bytes_after, beside)
    taken = take_rows(settings, dataset, beside, comm, scratch, partial(blocks_of, settings))
    problem = Problem(
        settings.model, settings.chosen_estep.estep, taken.values, taken.blocks, comm, settings.seed,
        held_out_of(settings, taken.blocks), taken.weights, taken.labels,
    )  # fmt: skip
    with collectively(comm, "initializing the parameters"):
        given = given_parameters(settings, dataset.n_observed, start)
        told = columns_told(settings, dataset.n_observed, given)
    keeps_states = settings.memory.keeps_states(len(taken.values) * row_bytes)
    allocate = np.empty if keeps_states else partial(mapped_array, folder=scratch)
    census = _numbered_as(taken.dataset, take_census(problem))
    unknown = np.setdiff1d(census.never_observed, told)
    doubts = (*dataset.doubts, *settings.training.doubts, *_of_taken(settings, dataset, taken, comm))
    warnings = (*doubts, *_warnings(settings, dataset, source, problem, census, unknown))
    missing = bool((census.n_observed < census.moments.n_rows).any())

    def begin(seed: int) -> NamedArrays:
        seeded = settings if seed == settings.seed else replace(settings, seed=seed)
        elements = first_elements(seeded, problem, taken.dataset, census.moments, missing)
        moments = census.moments
        if seed != settings.seed:
            moments = with_examples(problem._replace(seed=seed), moments)
        return initial_parameters(seeded, problem, given, moments._replace(elements=elements))

    initial = begin(settings.seed)
    if settings.training.restarts > 1 and begin(seed_of(settings.seed, 1)).buffer.tobytes() == initial.buffer.tobytes():
        warnings += (_ALL_ALIKE,)
    rest = (begin, allocate, warnings, _but_held_out(taken, problem.held_out))
    return Assembly(dataset, problem, initial, plan, taken.digest, unknown, missing, *rest)


def _but_held_out(taken: Taken, held_out: HeldOut | None) -> AllRows | None:
    """All rows, where a coreset is learned from, without those of it that are held out."""
    dataset, everything = taken.dataset, taken.everything
    if held_out is None or everything is None or not isinstance(dataset, SomeRows):
        return everything
    return everything._replace(left_out=dataset.numbers[held_out.among(np.arange(dataset.n_rows))])


def _planned(
    settings: LearningSettings, dataset: Dataset, comm: Communicator, bytes_after: int, beside: Beside
) -> tuple[memory.MemoryPlan | None, int]:
    """The memory of all ranks, on root, and what is kept of a row, once data and settings are found to fit together."""
    with collectively(comm, "opening the data"):
        _require_names(settings, dataset)
        require_labels(settings, beside)
    blocks = blocks_of(settings, dataset.n_rows)
    held_out_of(settings, blocks)
    with collectively(comm, "choosing the states"):
        sizes = _require_estep(settings, dataset, bytes_after, beside.weights is not None)
    plan = memory.planned(settings, sizes, blocks, comm, dataset.as_image is not None)
    warm_up(comm, partial(_rehearse_start, settings, dataset.n_observed, blocks))
    return plan, sizes.row_bytes


def _numbered_as(dataset: Dataset, census: Census) -> Census:
    """What was counted, with rows of a coreset by the numbers that they have among all."""
    if not isinstance(dataset, SomeRows):
        return census
    return census._replace(first_empty=tuple(int(dataset.numbers[row]) for row in census.first_empty))


def _rehearse_start(settings: LearningSettings, n_observed: int, blocks: RowBlocks) -> None:
    """Compile what rows are read and looked at with, on a few that are not the data's."""
    compile_reading()
    model, few = settings.model, small_blocks(blocks)
    values = model.support.feasible((few.n_rows, n_observed), stream(0, "rehearsal").generator())
    problem = Problem(model, settings.chosen_estep.estep, values, few, SerialCommunicator(), settings.seed)
    with suppress(Exception), np.errstate(all="ignore"):  # what is wrong with these rows says nothing about the data
        initial_parameters(settings, problem, Given({}), take_census(problem).moments)


def _of_taken(settings: LearningSettings, dataset: Dataset, taken: Taken, comm: Communicator) -> Iterator[str]:
    """What is doubtful about a coreset, or labels."""
    yield from classes_without_labels(taken.labels, settings.model, comm)
    if settings.coreset is not None and size_of_coreset(settings, dataset.n_rows) is None:
        yield f"coreset: {settings.coreset} rows are no fewer than the {dataset.n_rows} there are; all are learned from"


def most_block_rows(model: Any) -> int:
    """Rows of a block that are worth it for what a block costs: H, or C up to a bound.

    Blocks add up what their rows reach, so of many components a block twice as large costs little less for each row.
    """
    n_elements = counted_by(model)[1] or 0
    return min(n_elements, _MOST_ROWS) if offers(model, SumsByValue) else n_elements


def blocks_of(settings: LearningSettings, n_rows: int) -> RowBlocks:
    """The blocks that the rows of a run are cut into, or a coreset of so many rows.

    Raises UserError where there are more updates than blocks.
    """
    n_rows = size_of_coreset(settings, n_rows) or n_rows
    n_elements = most_block_rows(settings.model)
    n_parts = settings.training.updates_per_sweep
    block_rows = settings.training.block_rows or default_block_rows(n_rows, n_parts, n_elements)
    blocks = RowBlocks(n_rows, block_rows, n_parts)
    if blocks.n_blocks < n_parts:
        raise UserError(
            f"training.updates_per_sweep is {n_parts}, but {n_rows} rows make only {blocks.n_blocks} blocks of "
            f"{block_rows}; legal are 1 to {blocks.n_blocks} updates, or smaller training.block_rows"
        )
    return blocks


def held_out_of(settings: LearningSettings, blocks: RowBlocks) -> HeldOut | None:
    """The rows that are not learned from; raises UserError where what is left is too little to learn from."""
    if settings.held_out is None:
        if settings.training.stopping.held_out_gain is not None:
            raise UserError(
                "training.stopping.held_out_gain waits for what is learned of rows that are held out, and there are "
                "none; set held_out of the data to a share of the rows, such as 0.2"
            )
        return None
    found = HeldOut.of(settings.held_out, settings.seed, blocks.n_rows)
    for part in range(blocks.n_parts):
        if not any(map(found.leaves_some, blocks.pieces(part, range(blocks.n_blocks)))):
            raise UserError(
                f"held_out: {settings.held_out:g} leaves update {part + 1} of a sweep no rows to learn from; "
                "choose a smaller share, fewer training.updates_per_sweep, or larger training.block_rows"
            )
    return found


def require_fitting_settings(settings: LearningSettings, dataset: Dataset, weighted: bool = False) -> None:
    """Raise UserError where data and settings do not fit together by shapes and names; no row is read for it.

    `weighted` says whether there are weights.
    """
    _require_names(settings, dataset)
    held_out_of(settings, blocks_of(settings, dataset.n_rows))
    _require_estep(settings, dataset, weighted=weighted)
    given_parameters(settings, dataset.n_observed)


def _require_estep(
    settings: LearningSettings, dataset: Dataset, bytes_after: int = 0, weighted: bool = False
) -> memory.Sizes:
    """The sizes that E-step and model come to; UserError where these do not fit each other."""
    weighted = weighted or settings.coreset is not None
    check_model(settings.model, settings.chosen_estep.estep, settings.training, weighted)
    return memory.sizes_of(settings, dataset.n_observed, dataset, bytes_after)._replace(is_weighted=weighted)


def _require_names(settings: LearningSettings, dataset: Dataset) -> None:
    """Refuse names of parameters that the model does not have, and data without rows."""
    if dataset.n_rows == 0:
        raise UserError("the data have no rows; at least one is needed to learn from")
    names = tuple(learnable(settings.model.parameters(dataset.n_observed)))
    training = settings.training
    for where, asked in (("learn", training.learn or ()), ("hold", training.hold), ("initial", training.initial)):
        for name in asked:
            if name not in names:
                raise UserError(
                    f"training.{where}: model {kind_of(settings.model)} has no parameter {name!r}; it has "
                    + ", ".join(names)
                )
    try:
        training.annealing.check_parameters(names)
    except ValueError as error:
        raise UserError(f"training.annealing: {error}") from None


def _warnings(
    settings: LearningSettings,
    dataset: Dataset,
    source: Source | None,
    problem: Problem,
    census: Census,
    unknown: Columns,
) -> tuple[str, ...]:
    """What is doubtful about the data; all ranks call it together."""
    stored = dataset.stored
    types = [np.dtype(settings.memory.dtype), *([stored.dtype] if stored and stored.dtype.kind == "f" else [])]
    epsilon = max(float(np.finfo(each).eps) for each in types)
    has_covariance = noise_covariance(settings.model.parameters(problem.n_observed)) is not None
    repeated = equal_columns(problem, census) if has_covariance else NO_COLUMNS
    preparation = {} if source is None else source.preparation
    can_transpose = getattr(source, "transpose", None) is False
    return warnings_of(Case(census, settings.model, preparation, epsilon, repeated, unknown, can_transpose))
