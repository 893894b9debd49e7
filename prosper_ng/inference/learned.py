"""A learned model: configuration and parameters, from a run folder or given by hand."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import prosper_ng
from prosper_ng.components import kind_of
from prosper_ng.config import ConfigError, SourceText, annotated_yaml, from_mapping, load
from prosper_ng.data.dataset import NO_COLUMNS, Columns
from prosper_ng.data.preprocessing import NOTHING_DONE, Preprocessing
from prosper_ng.errors import UserError
from prosper_ng.experiments.continuation import not_of_this_version
from prosper_ng.experiments.plug_ins import changed, require_here
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.models.interface import DiscreteLatents, Model, learnable
from prosper_ng.models.roles import legal_value, n_observed_of, telling_parameter
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.storage.parameter_file import read_parameters
from prosper_ng.storage.provenance import source, versions
from prosper_ng.storage.run_record import read_run


@dataclass(frozen=True)
class Learned:
    """A model with parameters."""

    path: Path
    """The run folder or configuration they come from, as the user named it."""
    config: RunConfig
    params: NamedArrays
    n_observed: int
    """D."""
    digest: str | None = None
    """Of the run, once it has ended."""
    n_sweeps: int | None = None
    """Sweeps that the parameters come after."""
    preprocessing: Preprocessing | None = NOTHING_DONE
    """What was done to the rows that were learned from, and is done to others; None where it is not known."""
    data_digest: str | None = None
    """Of what the source held that was learned from, where it is known."""
    never_observed: Columns = field(default_factory=NO_COLUMNS.copy)
    """Columns of which the model knows nothing, since no value was observed."""

    @property
    def model(self) -> DiscreteLatents:
        """What was learned."""
        return self.config.model

    def provenance(self) -> dict[str, Any]:
        """Where results of this model come from: the same for the same results, so without time, host and ranks."""
        found: dict[str, Any] = {"run": str(self.path), "run_name": self.config.name, "run_digest": self.digest}
        found |= {"run_sweeps": self.n_sweeps, "model": as_json(self.model), "run_data_digest": self.data_digest}
        if self.preprocessing is not None:
            found["preprocessing"] = json.dumps(self.preprocessing.settings)
        return found | {"prosper_ng": prosper_ng.__version__} | versions() | source()


def as_json(component: Any) -> str:
    """The settings of a component."""
    return json.dumps(asdict(component))


def learned(path: Path, comm: Communicator, overrides: Sequence[str] = ()) -> Learned:
    """The model of a run with its last parameters, on all ranks; `overrides` change the E-step.

    Raises UserError where there is no run, none with parameters, or what is overridden is no E-step.
    """
    found = None
    with collectively(comm, ""):
        if comm.is_root:
            found = _from_run(path, overrides)
    return _shared(found, comm)


def given(path: Path, comm: Communicator) -> Learned:
    """The model of a configuration at the parameters of its `training.initial_file` and `training.initial`.

    Raises UserError where these do not give all.
    """
    found = None
    with collectively(comm, ""):
        if comm.is_root:
            found = _from_config(path)
    return _shared(found, comm)


def _from_run(path: Path, overrides: Sequence[str]) -> Learned:
    for override in overrides:
        if override.replace("=", ".").partition(".")[0].strip() != "estep":
            raise UserError(
                f"--set {override}: of a learned model only the E-step can be changed, as in estep.n_states=200"
            )
    record = read_run(path)
    if not record.parameters:
        raise UserError(f"{record.path} holds no parameters yet; they come with the first sweep")
    require_here(record.path, record.plug_ins)
    try:
        from_mapping(record.config, RunConfig)
    except ConfigError as error:
        raise not_of_this_version(record.path, record.writer, error) from error
    text = SourceText(f"configuration of {path}", annotated_yaml(record.config, record.origins))
    config = load(text, RunConfig, overrides).value
    for line in changed(record.plug_ins, config):
        print(f"warning: {record.path}: {line}", file=sys.stderr)
    n_observed = int(record.attributes["n_observed"])
    where = f"{record.path} (written by {record.writer})"
    params = _complete(config.model, record.parameters, n_observed, where)
    digest, data_digest = record.attributes.get("digest"), record.attributes.get("data_digest")
    return Learned(
        path, config, params, n_observed, digest, record.sweeps, record.preprocessing(), data_digest,
        record.never_observed,
    )  # fmt: skip


def _from_config(path: Path) -> Learned:
    config = load(path, RunConfig).value
    training = config.training
    values: dict[str, Any] = {}
    if training.initial_file is not None:
        values |= read_parameters(Path(training.initial_file))
    telling = telling_parameter(config.model)
    shape = np.shape(values.get(telling, 0.0)) if telling is not None else ()
    n_observed = None if telling is None else n_observed_of(config.model, telling, shape)
    if n_observed is None:
        raise UserError(
            f"{path} gives no parameters of its model {kind_of(config.model)}; name a run folder, or a "
            "training.initial_file that holds them"
        )
    specs = learnable(config.model.parameters(n_observed))
    for name in specs.keys() & training.initial.keys():
        values[name] = specs[name].constraint.given(training.initial[name], specs[name].shape)
    params = _complete(config.model, values, n_observed, str(path))
    for name, spec in specs.items():
        params[name] = legal_value(spec, params[name], f"{path}: {name}")
    return Learned(path, config, params, n_observed, preprocessing=_of_parameters(training.initial_file))


def _of_parameters(file: str | None) -> Preprocessing | None:
    """That of the run that parameters come from; of those given by hand none is known, and none is assumed."""
    is_run = file is not None and (Path(file).is_dir() or Path(file).suffix == ".h5")
    return read_run(Path(file)).preprocessing() if file is not None and is_run else NOTHING_DONE


def _complete(model: Model, values: Mapping[str, Any], n_observed: int, where: str) -> NamedArrays:
    """All parameters of the model, out of these; but for constants, on which no posterior depends."""
    specs = learnable(model.parameters(n_observed))
    params = NamedArrays({name: spec.shape for name, spec in specs.items()})
    for name, spec in specs.items():
        if name not in values:
            raise UserError(f"{where} does not give parameter {name} of model {kind_of(model)}: {spec.meaning}")
        if np.shape(values[name]) != spec.shape:
            raise UserError(
                f"{where}: {name} has the shape {np.shape(values[name])}, model {kind_of(model)} needs {spec.shape}"
            )
        params[name] = values[name]
    if not np.isfinite(params.buffer).all():
        raise UserError(f"{where} holds parameters that are not finite numbers")
    return params


def _shared(found: Learned | None, comm: Communicator) -> Learned:
    """What root found, on all ranks; parameters and whitening travel as numbers."""
    parts = None
    if found is not None:
        parts = found.path, found.config, found.n_observed, found.n_sweeps, found.data_digest, found.never_observed
    parts = comm.broadcast(parts)
    assert parts is not None
    path, config, n_observed, n_sweeps, data_digest, never_observed = parts
    shapes = {name: spec.shape for name, spec in learnable(config.model.parameters(n_observed)).items()}
    params = NamedArrays(shapes) if found is None else found.params
    comm.broadcast_in_place(params.buffer)
    preprocessing = _shared_preprocessing(found, n_observed, comm)
    known = (preprocessing, data_digest, never_observed)
    return found or Learned(path, config, params, n_observed, None, n_sweeps, *known)


def _shared_preprocessing(found: Learned | None, n_observed: int, comm: Communicator) -> Preprocessing | None:
    own = found.preprocessing if found is not None else None
    settings = comm.broadcast(own.settings if own is not None else None)
    if settings is None or settings["whiten"] == "none":
        return None if settings is None else Preprocessing(settings["remove_mean"])
    arrays = NamedArrays({"mean": (n_observed,), "matrix": 2 * (n_observed,), "inverse": 2 * (n_observed,)})
    if own is not None and own.whitening is not None:
        for name in arrays:
            arrays[name] = getattr(own.whitening, name)
    comm.broadcast_in_place(arrays.buffer)
    return Preprocessing.from_arrays({**settings, **arrays}, n_observed)
