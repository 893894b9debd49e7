"""A run put together as far as its first sweep, and let go of again: what would keep it from running is said before."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prosper_ng.config import Loaded
from prosper_ng.data.dataset import Dataset
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.some_rows import SomeRows
from prosper_ng.errors import UserError
from prosper_ng.experiments.continuation import DATA_DIGEST, Before, require_same_computation
from prosper_ng.experiments.run import files_read_by
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.experiments.tasks.interface import bytes_after
from prosper_ng.learning.assembly import assemble, blocks_of, require_fitting_settings
from prosper_ng.learning.memory import planned, sizes_of
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.paths import nearest, path_of
from prosper_ng.storage.own_files import require_run_folder
from prosper_ng.storage.run_file import NAME as RUN_FILE
from prosper_ng.storage.run_record import read_run
from prosper_ng.training.stopping import Stopping

_LOOKED_AT = 1 << 26
"""Bytes of rows that are looked at; of larger data the first rows."""
_FEWEST_ROWS = 1000


class Preview(NamedTuple):
    """What was found out without a sweep."""

    n_rows: int
    n_observed: int
    where: str
    """What the rows are called."""
    n_looked_at: int
    """The first rows, whose values were held against the model."""
    warnings: tuple[str, ...]
    """What is doubtful."""
    note: str | None
    """What the run folder holds already; None where there is none."""


def preview(loaded: Loaded[RunConfig], folder: Path) -> Preview:
    """Open the data, put the run together on a first part of them, and look at the folder that it would be written to.

    Nothing is written. Raises UserError where `run` would before its first sweep, as far as these rows tell.
    """
    config, comm = loaded.value, SerialCommunicator()
    dataset = open_fitting(config)
    n_rows = min(dataset.n_rows, max(_FEWEST_ROWS, _LOOKED_AT // (8 * dataset.n_observed)))
    is_whole = n_rows == dataset.n_rows
    # The memory is that of all rows, told above; blocks and updates of the first ones need not be those of all.
    settings = replace(config.learning, memory=Memory(precision=config.memory.precision))
    if not is_whole:
        training = replace(config.training, updates_per_sweep=1, block_rows=None, stopping=Stopping())
        settings = replace(settings, training=training, held_out=None, coreset=None)
    beside = config.beside(dataset)
    looked_at = dataset if is_whole else SomeRows(dataset, np.arange(n_rows))
    beside = beside if is_whole else beside.of_some(np.arange(n_rows))
    warnings = list(_too_large(config, dataset))
    parts = assemble(settings, looked_at, comm, source=config.data, beside=beside)
    where = "" if is_whole else f"of the first {n_rows:,} rows: "
    warnings += [f"{where}{warning}" for warning in parts.warnings]
    note = look_at_folder(loaded, folder, parts.data_digest if is_whole else None)
    if config.output.figures and importlib.util.find_spec("matplotlib") is None:
        warnings.append('no pictures without matplotlib: pip install "prosper_ng[plot]", or set output.figures: false')
    return Preview(dataset.n_rows, dataset.n_observed, dataset.where, n_rows, tuple(warnings), note)


def open_fitting(config: RunConfig, dataset: Dataset | None = None) -> Dataset:
    """The data of a run, or those that are open already, found to fit its task, model and E-step by their shape.

    Raises UserError where they do not; no rows are read but for whitening.
    """
    dataset = config.data.open(config.seed) if dataset is None else dataset
    config.task.check(dataset, config.model, config.learning.chosen_estep.estep)
    require_fitting_settings(config.learning, dataset, getattr(config.data, "weights", None) is not None)
    return dataset


def look_at_folder(loaded: Loaded[RunConfig], folder: Path, data_digest: str | None) -> str | None:
    """What the folder that the run would be written to holds of it; None where it holds nothing.

    `data_digest` is that of its data, None where it is not known. Raises UserError where the folder cannot be made, or
    holds a run of another configuration, or files of a person's own.
    """
    config = loaded.value
    require_run_folder(folder, files_read_by(loaded))
    _require_place(folder, f"the run folder {folder} cannot be made")
    if config.memory.scratch is not None:
        _require_place(path_of(config.memory.scratch), f"memory.scratch: {config.memory.scratch} cannot be made")
    if not os.path.lexists(folder / RUN_FILE):
        return None
    record = read_run(folder)
    before = Before(record.config, record.writer, record.attributes.get(DATA_DIGEST), record.plug_ins)
    require_same_computation(folder, before, loaded, data_digest)
    return f"{folder} holds {record.sweeps} of the {config.training.all_sweeps} sweeps; run goes on with it"


def _require_place(folder: Path, refusal: str) -> None:
    """Raise UserError where a folder is none, or none can be made in the nearest one there is."""
    os.fsencode(folder)  # raises where the environment cannot say its name
    place = nearest(folder)
    if not place.is_dir():
        raise UserError(f"{refusal}: {place} is no folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{refusal}: {place} cannot be written to")


def _too_large(config: RunConfig, dataset: Dataset) -> Iterator[str]:
    """Says so where one rank alone would not have the memory here; more ranks, or another machine, may have it."""
    sizes = sizes_of(config.learning, dataset.n_observed, dataset, bytes_after(config.task, dataset))
    try:
        blocks, of_image = blocks_of(config.learning, dataset.n_rows), dataset.as_image is not None
        planned(config.learning, sizes, blocks, SerialCommunicator(), of_image)
    except UserError as error:
        yield f"not on this machine alone: {error}"
