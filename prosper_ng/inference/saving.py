"""A learned model in a file of its own: laid out as the `run.h5` of a run, so that what reads one reads both."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import prosper_ng
from prosper_ng.components import OneOf, Seed, settings
from prosper_ng.config import ConfigError, annotated_yaml, from_mapping
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.inference.local_rows import unknown_whitening
from prosper_ng.models.axes import axes_of
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.models.roles import roles_of
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage.axes import SWEEP
from prosper_ng.storage.history import History
from prosper_ng.storage.own_files import files_of_run, require_no_input
from prosper_ng.storage.provenance import source, versions
from prosper_ng.storage.result_file import require_place
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_record import ALL_ROWS

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned


@settings
class LearnedConfig:
    """What a configuration says of a learned model, and all that is kept of it in a file of its own."""

    seed: Seed = 0
    """All random numbers of inference are a function of it and of what a row holds."""
    model: Annotated[DiscreteLatents, OneOf("prosper_ng.models")]
    """The generative model."""
    estep: Annotated[EStep, OneOf("prosper_ng.estep")]
    """How the state sets are chosen."""


def save(known: "Learned", path: Path, force: bool = False) -> None:
    """Write a learned model; `force` allows to replace a file. Raises UserError where it cannot be written."""
    if known.preprocessing is None:
        raise UserError(unknown_whitening(known))
    config = _config_of(known)
    if path.suffix.lower() not in (".h5", ".hdf5"):
        raise UserError(f"{path}: a learned model is saved as HDF5; give a name that ends in .h5 or .hdf5")
    require_no_input(path, files_of_run(Path(known.origin)))
    if os.path.lexists(path) and not force:
        raise UserError(f"{path} exists already; choose another path, or replace it with force=True")
    require_place(path, force=True)
    attributes: dict[str, Any] = {"name": known.name, "n_observed": known.n_observed, "n_sweeps": known.n_sweeps}
    attributes |= {"digest": known.digest, "data_digest": known.data_digest, "ending": known.ending}
    if len(known.never_observed):
        attributes["never_observed"] = known.never_observed
    if known.n_rows is not None:
        attributes["n_rows"] = known.n_rows
    if known.row_shape is not None:
        attributes["patch_shape"] = np.array(known.row_shape)
    if known.column_names is not None:
        attributes["column_names"] = json.dumps(known.column_names)
    written_by = {"prosper_ng": prosper_ng.__version__} | versions() | source()
    file = RunFile(path.parent, config, written_by, attributes, name=path.name)
    file.history = History(known.history)
    file.describe_parameters(roles_of(known.model, known.n_observed), axes_of(known.model, known.n_observed))
    for place, sweep in enumerate(known.params_history.get(SWEEP, ())):
        earlier = {name: values[place] for name, values in known.params_history.items() if name != SWEEP}
        file.set_parameters(NamedArrays.of(**earlier), keep_as_sweep=int(sweep))
    file.set_parameters(known.params)
    file.set_preprocessing(known.preprocessing.arrays())
    file.set_results({ALL_ROWS: known.on_all_rows} if known.on_all_rows else {})
    trouble = file.flush()
    if trouble is not None:
        raise UserError(trouble)


def _config_of(known: "Learned") -> StoredConfig:
    """The settings of model and E-step as a configuration says them; UserError where none can."""
    said = {"seed": known.seed, "model": asdict(known.model), "estep": asdict(known.estep)}  # type: ignore[call-overload]
    try:
        loaded = from_mapping(said, LearnedConfig)
    except ConfigError as error:
        raise UserError(f"{known.origin} cannot be saved: {error.mistakes[0].message}") from None
    resolved = {"name": known.name, **loaded.resolved}
    return StoredConfig(resolved, annotated_yaml(resolved, {}) + "\n", {})
