"""What a run may go on from: a checkpoint or run file of the same configuration, of this version or an earlier one."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prosper_ng import __version__
from prosper_ng.config import ConfigError, Loaded, differences, from_mapping, identity
from prosper_ng.errors import UserError
from prosper_ng.experiments.inference_learned import not_of_this_version
from prosper_ng.experiments.run_config import RunConfig, not_science
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.storage.checkpoint import Checkpoint
from prosper_ng.training.em import TrainingState

VERSION, STATISTICS = "prosper_ng", "statistics"
"""Attributes of a checkpoint: the version that wrote it, and the shapes of the statistics."""
_SILENT_VERSION = "0.1.0"
"""The only version that did not say so in its checkpoints."""


def written_by(attributes: Mapping[str, Any]) -> str:
    """The version that wrote a checkpoint with these attributes."""
    return f"prosper_ng {attributes.get(VERSION, _SILENT_VERSION)}"


def require_same(path: Path, before: Mapping[str, Any], writer: str, loaded: Loaded[RunConfig]) -> None:
    """Raise UserError unless the run in a folder, of the configuration `before`, computes what `loaded` says.

    An option that `before` does not know, because it was added later, is at its default there.
    """
    ignored = not_science(loaded.value)
    try:
        stored = from_mapping(before, RunConfig)
    except ConfigError as error:
        raise not_of_this_version(path, writer, error) from error
    if identity(stored.lasting, ignored) == identity(loaded.lasting, ignored):
        return
    lines = "\n".join(f"  {line}" for line in differences(stored.resolved, loaded.resolved, ignored))
    raise UserError(
        f"{path} holds a run of another configuration, which differs in\n{lines}\n"
        "choose another output folder, or the configuration that the run was started with"
    )


def require_fitting(path: Path, found: Checkpoint, state: TrainingState) -> None:
    """Raise UserError where a checkpoint does not hold what the state needs; what root keeps is looked at where it is.

    Such a checkpoint is sound, but was written by a version with other parameters, statistics or states.
    """
    for fault in _faults(found, state):
        writer = written_by(found.attributes)
        raise UserError(
            f"the checkpoint after sweep {found.iteration} in {path} was written by {writer} and does not fit "
            f"prosper_ng {__version__}: {fault}; go on with {writer}, or start in another folder"
        )


def _faults(found: Checkpoint, state: TrainingState) -> Iterator[str]:
    sets = {} if state.sets is None else state.sets._asdict()
    yield from _differing("state sets", _shapes(found.rows), _shapes(sets))
    if not found.root:
        return
    params = found.root.get("params")
    yield from _differing("parameters", params.shapes if isinstance(params, NamedArrays) else {}, state.params.shapes)
    # In the totals the statistics lie one behind the other, without their names.
    kept = [(name, tuple(shape)) for name, shape in found.attributes.get(STATISTICS, {}).items()]
    if kept and kept != list(state.totals.shapes.items()):
        yield f"it holds the statistics {_listed(dict(kept))}, and {_listed(state.totals.shapes)} are needed"
    totals = {name: found.root.get(f"totals/{name}", np.empty(0)) for name in state.totals.arrays()}
    yield from _differing("totals", _shapes(totals), _shapes(state.totals.arrays()))


def _shapes(arrays: Mapping[str, Any]) -> dict[str, Shape]:
    return {name: np.shape(values) for name, values in arrays.items()}


def _differing(what: str, given: Mapping[str, Shape], needed: Mapping[str, Shape]) -> Iterator[str]:
    """What is wrong with names and shapes; nothing where they are the same."""
    if dict(given) != dict(needed):
        yield f"it holds the {what} {_listed(given)}, and {_listed(needed)} are needed"


def _listed(shapes: Mapping[str, Shape]) -> str:
    words = [f"{name} ({' x '.join(map(str, shape)) or 'a number'})" for name, shape in shapes.items()]
    return ", ".join(words) or "none"
