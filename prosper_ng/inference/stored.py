"""Learned models out of files: the `run.h5` of a run, or a file of the same layout that `Learned.save` wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.components import settings
from prosper_ng.config import ConfigError, SourceText, annotated_yaml, from_mapping
from prosper_ng.config import load as load_config
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.errors import UserError, warn
from prosper_ng.inference.learned import Learned, complete
from prosper_ng.inference.saving import LearnedConfig
from prosper_ng.models.interface import learnable
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.paths import path_of
from prosper_ng.storage.plug_ins import changed, require_here
from prosper_ng.storage.run_file import NAME
from prosper_ng.storage.run_record import ALL_ROWS, RunRecord, not_of_this_version, read_run

_OF_THE_RUN = ("name", "data", "training", "task", "memory", "output")
"""Sections of a run's configuration on which a model with its parameters does not depend."""


@settings
class _Budgets:
    """What a configuration says of memory."""

    memory: Memory = Memory()
    """What is held in memory, and how."""


class LearnedRun(NamedTuple):
    """A learned model, and what its file tells of the run that it comes from."""

    learned: Learned
    path: Path
    """The run folder or file, as the user named it."""
    data: Mapping[str, Any] | None = None
    """`seed` and `data` of the configuration; None where the file does not say where rows come from."""
    memory: Memory = Memory()
    """What the run was told about memory."""
    writer: str = ""
    """The program that wrote the file, with its version."""
    doubts: tuple[str, ...] = ()
    """What the user should be warned of."""


def load(path: str | Path, *, params_history: bool = False) -> Learned:
    """A learned model: that of a run, by its folder or run.h5, or one that `Learned.save` wrote.

    With `params_history` also its parameters after earlier sweeps, as far as `output.parameter_sweeps` kept them.
    Raises UserError where there is none, it has no parameters yet, this version does not know what it says, or it does
    not fit into memory.
    """
    record = read_run(path_of(path))
    found = _from_record(record, path_of(path), ())
    for doubt in found.doubts:
        warn(doubt)
    return replace(found.learned, params_history=record.params_history()) if params_history else found.learned


def learned(path: Path, comm: Communicator, overrides: Sequence[str] = ()) -> LearnedRun:
    """The model of a run or file with its last parameters, on all ranks; `overrides` change the E-step.

    Raises UserError as `load` does, and where what is overridden is no E-step.
    """
    found = None
    with collectively(comm, ""):
        if comm.is_root:
            for override in overrides:
                if override.replace("=", ".").partition(".")[0].strip() != "estep":
                    raise UserError(
                        f"--set {override}: of a learned model only the E-step can be changed, as in estep.n_states=200"
                    )
            found = _from_record(read_run(path), path, overrides)
    rest = comm.broadcast(found[1:] if found else None)
    assert rest is not None
    return LearnedRun(shared(found.learned if found else None, comm), *rest)


def _from_record(record: RunRecord, path: Path, overrides: Sequence[str]) -> LearnedRun:
    if not record.parameters:
        raise UserError(f"{record.path} holds no parameters yet; they come with the first sweep")
    require_here(record.path, record.plug_ins)
    # A section that this version does not know may change what the parameters mean.
    said = {name: value for name, value in record.config.items() if name not in _OF_THE_RUN}
    try:
        from_mapping(said, LearnedConfig)
        memory = from_mapping(_sections(record, "memory"), _Budgets).value.memory
    except ConfigError as error:
        raise not_of_this_version(record.path, record.writer, error) from error
    text = SourceText(f"configuration of {path}", annotated_yaml(said, record.origins))
    config = load_config(text, LearnedConfig, overrides).value
    attributes, n_observed = record.attributes, int(record.attributes["n_observed"])
    n_rows = attributes.get("n_rows")
    known = Learned(
        model=config.model,
        params=complete(config.model, record.parameters, n_observed, f"{record.path} (written by {record.writer})"),
        n_observed=n_observed,
        estep=config.estep,
        seed=config.seed,
        preprocessing=record.preprocessing(),
        history=record.history,
        n_sweeps=attributes.get("n_sweeps", record.sweeps),
        digest=attributes.get("digest"),
        data_digest=attributes.get("data_digest"),
        never_observed=record.never_observed,
        column_names=record.column_names,
        n_rows=n_rows if isinstance(n_rows, int) else None,
        row_shape=_row_shape(attributes.get("patch_shape"), n_observed),
        name=str(attributes.get("name", record.config.get("name", "learned"))),
        origin=str(path),
        ending=attributes.get("ending") or _ending_of(record),
        on_all_rows=record.results.get(ALL_ROWS, {}),
    )
    data = _sections(record, "seed", "data")
    doubts = tuple(f"{record.path}: {line}" for line in changed(record.plug_ins, config))
    return LearnedRun(known, path, data if "data" in data else None, memory, record.writer, doubts)


def _sections(record: RunRecord, *names: str) -> dict[str, Any]:
    """Some sections of the configuration, as far as they are there."""
    return {name: record.config[name] for name in names if name in record.config}


def _row_shape(stored: Any, n_observed: int) -> tuple[int, ...] | None:
    """The shape to look at rows in; None where the file says none of theirs."""
    sides = np.asarray(stored)
    if sides.dtype.kind not in "iu" or sides.ndim != 1 or sides.prod() != n_observed:
        return None
    return tuple(map(int, sides))


def _ending_of(record: RunRecord) -> str | None:
    """What the status of a run says; a file beside it that was saved by itself has none."""
    return record.status.reason if record.status is not None and record.path.name == NAME else None


def shared(found: Learned | None, comm: Communicator) -> Learned:
    """What root found, on all ranks, but for the history; parameters and whitening travel as numbers."""
    told = None
    if found is not None:
        told = replace(found, params=NamedArrays({}), preprocessing=None, history={})
    told = comm.broadcast(told)
    assert told is not None
    specs = learnable(told.model.parameters(told.n_observed))
    params = NamedArrays({name: spec.shape for name, spec in specs.items()}) if found is None else found.params
    comm.broadcast_in_place(params.buffer)
    preprocessing = _shared_preprocessing(found, told.n_observed, comm)
    return found or replace(told, params=params, preprocessing=preprocessing)


def _shared_preprocessing(found: Learned | None, n_observed: int, comm: Communicator) -> Preprocessing | None:
    own = found.preprocessing if found is not None else None
    said = comm.broadcast(own.settings | {"n_channels": own.n_channels} if own is not None else None)
    if said is None or said["whiten"] == "none":
        return None if said is None else Preprocessing(said["remove_mean"], n_channels=said["n_channels"])
    arrays = NamedArrays({"mean": (n_observed,), "matrix": 2 * (n_observed,), "inverse": 2 * (n_observed,)})
    if own is not None and own.whitening is not None:
        for name in arrays:
            arrays[name] = getattr(own.whitening, name)
    comm.broadcast_in_place(arrays.buffer)
    return Preprocessing.from_arrays({**said, **arrays}, n_observed)
