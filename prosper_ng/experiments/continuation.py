"""What a run may go on from: the same computation on the same data, kept by this version or an earlier one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng import __version__
from prosper_ng.config import ConfigError, Loaded, differences, identity
from prosper_ng.errors import UserError
from prosper_ng.estep.kept_rows import named, state_of_rows
from prosper_ng.experiments.run_config import RunConfig, not_science
from prosper_ng.learning.assembly import Assembly
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.storage.checkpoint import Checkpoint
from prosper_ng.storage.plug_ins import Recorded, changed, require_here
from prosper_ng.storage.run_record import not_of_this_version
from prosper_ng.training.em import Problem, TrainingState
from prosper_ng.training.totals import kept_statistics_of, shapes_of_totals

VERSION, STATISTICS = "prosper_ng", "statistics"
"""Attributes of a checkpoint: the version that wrote it, and the shapes of the statistics."""
MEMORY = "memory"
"""Of the M-step, among the arrays of root; only where the model remembers anything."""
DATA_DIGEST = "data_digest"
"""What checkpoints and run.h5 call the digest of what the data source holds."""
PLUG_INS = "plug_ins"
"""The attribute of a checkpoint that tells of the plug-ins in use."""
_SILENT_VERSION = "0.1.0"
"""The only version that did not say so in its checkpoints."""


def written_by(attributes: Mapping[str, Any]) -> str:
    """The version that wrote a checkpoint with these attributes."""
    return f"prosper_ng {attributes.get(VERSION, _SILENT_VERSION)}"


class Before(NamedTuple):
    """What a run folder says of the run that it holds."""

    config: Mapping[str, Any]
    """The resolved configuration."""
    writer: str
    """The version that wrote it."""
    data_digest: str | None
    """Of what the data source held; None where an earlier version kept none."""
    plug_ins: Recorded
    """Those that the run uses."""


def require_same(path: Path, before: Before, loaded: Loaded[RunConfig], parts: Assembly) -> str | None:
    """What the user should hear about the data of a run that goes on in a folder.

    An option that `before` does not know, because it was added later, is at its default there. Where the data hold the
    same rows, it does not matter where they lie and in what kind of file.
    Raises UserError where what the folder holds computes something else, or from other data.
    """
    then, now, is_same_data = require_same_computation(path, before, loaded, parts.data_digest)
    where = parts.dataset.where
    if before.data_digest is None:
        return (
            f"whether {where} still holds the rows that this run began with cannot be told: it is a run of an earlier "
            "version, which kept no digest of the data"
        )
    if not is_same_data:
        raise UserError(
            f"{path} holds a run on other data: {where} does not hold the rows that it began with"
            f"{_of_weights(before.data_digest, parts.data_digest)}; choose another output folder, or bring these data "
            "back"
        )
    moved = differences({"data": then}, {"data": now})
    return f"the data hold the same rows as before, though {'; '.join(moved)}" if moved else None


def require_same_computation(
    path: Path, before: Before, loaded: Loaded[RunConfig], data_digest: str | None
) -> tuple[Mapping[str, Any], Mapping[str, Any], bool]:
    """What both configurations say of the data, and whether these are the same, as far as is known without a digest.

    Raises UserError where what the folder holds computes something else.
    """
    from prosper_ng.config import from_mapping

    require_here(path, before.plug_ins)
    try:
        stored = from_mapping(before.config, RunConfig)
    except ConfigError as error:
        raise not_of_this_version(path, before.writer, error) from error
    then, now = stored.resolved["data"], loaded.resolved["data"]
    is_same_data = data_digest in (None, before.data_digest) and _prepared(then) == _prepared(now)
    if data_digest is None and before.data_digest is None:
        is_same_data = then == now
    ignored = (*not_science(loaded.value), *(["data"] if is_same_data else []))
    if identity(stored.lasting, ignored) != identity(loaded.lasting, ignored):
        found = differences(stored.resolved, loaded.resolved, ignored)
        lines = "\n".join(f"  {line}" for line in found)
        raise UserError(
            f"{path} holds a run of another configuration, which differs in\n{lines}\n"
            "choose another output folder, or the configuration that the run was started with"
            + _of_length(path, stored.value, found)
        )
    others = changed(before.plug_ins, loaded.value)
    if others:
        raise UserError(
            f"{path} holds a run with other plug-ins: {'; '.join(others)}; choose another output folder, or bring back "
            "what the run was started with: the text of a file is in its run.h5, in the group plug_ins"
        )
    return then, now, is_same_data


def _of_length(path: Path, stored: RunConfig, found: list[str]) -> str:
    """Why a run of another length is another computation, where positions in it are fractions."""
    training = stored.training
    if not any(line.startswith("training.n_sweeps: ") for line in found):
        return ""
    goes_on = f"to learn on from what it has learned, start in another folder with training.initial_file: {path}"
    if not training.annealing.depends_on_length:
        return (
            f"\nn_sweeps counts here, since it bounds the sweeps of restarts where training.restart_sweeps is not "
            f"given; {goes_on}, and a run that is to be prolonged later says its restart_sweeps"
        )
    return (
        f"\nn_sweeps counts here, since positions of training.annealing are fractions of the run: with another number "
        f"of sweeps than {training.n_sweeps} every sweep would be annealed in another way; {goes_on}, and a run that "
        "is to be prolonged later has its positions in sweeps, without a decimal point"
    )


def source_identity(config: RunConfig, resolved: Mapping[str, Any]) -> str:
    """A digest of what a configuration says of its data: runs that agree in it should have the same data."""
    seed = config.seed if config.data.depends_on_seed else None
    return identity({"data": resolved["data"], "seed": seed})[:16]


def _of_weights(before: str, now: str) -> str:
    """Says so where the rows have weights."""
    return ", with the same weights and labels" if "+" in before + now else ""


def _prepared(source: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a resolved data section says of what is done to rows, and of which are learned from."""
    kind = source.get("whiten", "none")
    removes = source.get("mean_per", "patch") if source.get("remove_mean", False) else None
    epsilon = None if kind == "none" else source["whiten_epsilon"]
    return removes, kind, epsilon, source.get("held_out"), source.get("coreset")


def require_fitting(path: Path, found: Checkpoint, state: TrainingState, parts: Assembly) -> None:
    """Raise UserError where a checkpoint does not hold what the state needs; what root keeps is looked at where it is.

    Such a checkpoint is sound, but was written by a version with other parameters, statistics or states.
    """
    given, needed = _parameters(found, parts), state.params.shapes
    if given.keys() == needed.keys() and given != needed:
        raise UserError(
            f"{path} holds a run on other data: its parameters do not fit rows of {parts.problem.n_observed} values, "
            f"which {parts.dataset.where} has; choose another output folder, or bring its data back"
        )
    for fault in _faults(found, state, given, parts.problem):
        writer = written_by(found.attributes)
        raise UserError(
            f"the checkpoint after sweep {found.iteration} in {path} was written by {writer} and does not fit "
            f"prosper_ng {__version__}: {fault}; go on with {writer}, or start in another folder"
        )


def _parameters(found: Checkpoint, parts: Assembly) -> dict[str, Shape]:
    """Those that a checkpoint holds, and the constants of the model, which go on as zeros where it lacks them."""
    specs, params = parts.problem.model.parameters(parts.problem.n_observed), found.root.get("params")
    given = dict(params.shapes) if isinstance(params, NamedArrays) else {}
    return {name: spec.shape for name, spec in specs.items() if spec.constant} | given if given else given


def remembered(found: Checkpoint) -> Mapping[str, Any]:
    """What the M-step of a checkpoint remembered, by name."""
    memory = found.root.get(MEMORY)
    return memory if isinstance(memory, NamedArrays) else {}


def _faults(
    found: Checkpoint, state: TrainingState, given: Mapping[str, Shape], problem: Problem
) -> Iterator[str]:  # fmt: skip
    kept_rows, needed_rows = state_of_rows(found.rows), state_of_rows(state.rows)
    if kept_rows != needed_rows:
        yield f"it holds {named(kept_rows)} for each row, and {named(needed_rows)} are needed"
    if not found.root:
        return
    yield from _differing("parameters", given, state.params.shapes)
    # In the totals the statistics lie one behind the other, without their names.
    kept = [(name, tuple(shape)) for name, shape in found.attributes.get(STATISTICS, {}).items()]
    needed = kept_statistics_of(problem.model, problem.n_observed)
    if kept and kept != list(needed.items()):
        yield f"it holds the statistics {_listed(dict(kept))}, and {_listed(needed)} are needed"
    shapes = shapes_of_totals(needed, problem.blocks.n_parts)
    totals = {name: found.root.get(f"totals/{name}", np.empty(0)) for name in shapes}
    yield from _differing("totals", _shapes(totals), shapes)
    yield from _differing("memory of the M-step", _shapes(remembered(found)), state.memory.shapes)


def _shapes(arrays: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: np.shape(values) for name, values in arrays.items()}


def _differing(what: str, given: Mapping[str, Shape], needed: Mapping[str, Shape]) -> Iterator[str]:
    """What is wrong with names and shapes; nothing where they are the same."""
    if dict(given) != dict(needed):
        yield f"it holds the {what} {_listed(given)}, and {_listed(needed)} are needed"


def _listed(shapes: Mapping[str, Shape]) -> str:
    words = [f"{name} ({' x '.join(map(str, shape)) or 'a number'})" for name, shape in shapes.items()]
    return ", ".join(words) or "none"
