"""`prosper_ng.learn`: a model from rows in hand, kept in memory, or in a run folder as well."""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prosper_ng.config import Loaded
from prosper_ng.data.content import require_same_rows
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.sources._beside import Beside
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.array import Array
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.stored import learned, load
from prosper_ng.learning.learn import Asked, OnSweep, given_by, learn_in_memory, settings_of
from prosper_ng.models.interface import Model
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.mpi import may_be_called_by_threads
from prosper_ng.parallel.together import require_one_of, together
from prosper_ng.paths import name_from
from prosper_ng.progress import Auto, is_wanted
from prosper_ng.report.log import print_warning
from prosper_ng.running.interrupts import InterruptRequests
from prosper_ng.running.run import folder_of, in_python, stored_as
from prosper_ng.training.settings import Training

Kind = str
Fields = Mapping[str, Any]

_NAME = "learn(...)"


def learn(
    data: Any,
    model: Model | Fields | Kind,
    *,
    estep: EStep | Fields | Kind = "auto",
    training: Training | Fields | None = None,
    seed: int = 0,
    missing: bool = False,
    held_out: float | None = None,
    weights: Any = None,
    labels: Any = None,
    coreset: int | None = None,
    memory: Memory | Fields | None = None,
    comm: Any = None,
    n_jobs: int | None = None,
    start: Learned | Mapping[str, Any] | None = None,
    folder: str | os.PathLike[str] | None = None,
    on_sweep: OnSweep | None = None,
    progress: bool | Auto = "auto",
) -> Learned:
    """The model, learned from the rows of `data` (N, D), of which NaN marks missing values where `missing` allows it.

    `data` is anything with a shape, a type and slices of rows: an array, a memmap, a dataset of h5py or zarr; a data
    frame, of which the columns keep their names; or a `Dataset` of this package. `model`, `estep`, `training` and
    `memory` are components, or mappings as a configuration has them, or a kind. `start` holds parameters to start from,
    by symbol, or is an earlier result; what it lacks is found from the data. The share `held_out` of the rows is not
    learned from, and the history has their `held_out_free_energy`. For mixtures, `weights` (N,) say as how many rows
    each counts, and with `coreset` so many rows are drawn and weighted that they stand for all: then the result has
    `on_all_rows`. `labels` (N,) are classes, NaN or -1 where unknown, for a model with `n_classes`. After each sweep
    `on_sweep(report, params)` is called; where it returns True, learning ends.
    `progress` is shown on terminals and in notebooks, always with True, never with False.

    On an MPI communicator `comm` of mpi4py all ranks call it together, with the same arguments and the same data: each
    reads its own rows, root alone calls `on_sweep`, and all get the result, root with the history. Numbers do not
    depend on the ranks. With `n_jobs` threads of this process, -1 for as many as there are cores, the same is done side
    by side, with the same numbers. It leaves signals as they are, and writes no files but scratch files that `memory`
    asks for, unless a `folder` is named.

    In a `folder` learning is kept as a run is: with checkpoints, history, log. The same call goes on with what it
    holds, and returns what is there where that is finished; with other rows or settings it is an error.

    Raises UserError, which is a ValueError, where arguments and data do not fit together, NumericalError where the
    mathematics breaks down, and what `on_sweep` raises; on all ranks. What is doubtful about the data is a warning. A
    KeyboardInterrupt has what the last whole sweep came to as its attribute `learned`, once there was one. With a
    folder the sweep is brought to its end first, and can be gone on from; a second interruption ends it at once.
    """
    require_one_of(comm, n_jobs, _NAME)
    is_shown = is_wanted(progress)

    def prepare() -> Asked:
        given = {"model": model, "estep": estep, "training": training or {}, "memory": memory or {}}
        settings = settings_of(seed=seed, held_out=held_out, coreset=coreset, **given)
        dataset = dataset_of(data, missing=missing)
        return Asked(settings, dataset, given_by(start, dataset), Beside.of(dataset, weights, labels), on_sweep)

    if folder is None:
        return together(comm, n_jobs, prepare, partial(_learn_in_memory, is_shown=is_shown))
    requests, path = InterruptRequests(print_warning if is_shown else None), folder_of(folder, _NAME)
    task = partial(_learn_in_folder, path=path, requests=requests, is_shown=is_shown)
    try:
        found = requests.wait_for(partial(together, comm, n_jobs, prepare, task), may_be_called_by_threads(comm))
    except KeyboardInterrupt as interrupt:
        interrupt.learned = _kept(path)  # type: ignore[attr-defined]
        raise
    if requests():
        raise _stopped(found)
    return found


def _stopped(found: Learned) -> KeyboardInterrupt:
    """What tells that learning was stopped, with what it came to."""
    stop = KeyboardInterrupt(found.ending)
    stop.learned = found  # type: ignore[attr-defined]
    return stop


def _learn_in_memory(asked: Asked, ranks: Communicator, is_shown: bool) -> Learned:
    """What all ranks learn together."""
    require_same_rows(asked.dataset, ranks)
    return learn_in_memory(asked, ranks, is_shown)


def _learn_in_folder(
    asked: Asked, ranks: Communicator, path: Path, requests: InterruptRequests, is_shown: bool
) -> Learned:
    """What all ranks learn together, read from the run that it is kept as."""
    require_same_rows(asked.dataset, ranks)
    with collectively(ranks, ""):
        loaded = _config_of(asked, path)
    in_python(loaded, path, ranks, requests, is_shown, asked)
    return learned(path, ranks).learned


def _config_of(asked: Asked, path: Path) -> Loaded[RunConfig]:
    """The configuration that the run folder keeps."""
    settings = asked.settings
    return stored_as(
        {
            "name": name_from(path.name),
            "seed": settings.seed,
            "data": {**Array.of(asked.dataset), "held_out": settings.held_out, "coreset": settings.coreset},
            "model": settings.model,
            "estep": settings.estep,
            "training": settings.training,
            "memory": settings.memory,
            "output": {"folder": os.fspath(path), "figures": False},
        },
        _NAME,
    )


def _kept(path: Path) -> Learned | None:
    """What a folder holds of a run that was ended at once; None where there is nothing."""
    try:
        return load(path)
    except UserError:
        return None
