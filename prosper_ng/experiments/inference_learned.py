"""A learned model: configuration and parameters, from a run folder or given by hand."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import prosper_ng
from prosper_ng.components import kind_of
from prosper_ng.config import SourceText, annotated_yaml, load
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.models.interface import Model, learnable
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

    @property
    def model(self) -> Model:
        """What was learned."""
        return self.config.model

    def provenance(self) -> dict[str, Any]:
        """Where results of this model come from: the same for the same results, so without time, host and ranks."""
        found: dict[str, Any] = {"run": str(self.path), "run_name": self.config.name, "run_digest": self.digest}
        found |= {"run_sweeps": self.n_sweeps, "model": as_json(self.model)}
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
    text = SourceText(f"configuration of {path}", annotated_yaml(record.config, record.origins))
    config = load(text, RunConfig, overrides).value
    n_observed = int(record.attributes["n_observed"])
    params = _complete(config.model, record.parameters, n_observed, str(record.path))
    return Learned(path, config, params, n_observed, record.attributes.get("digest"), record.sweeps)


def _from_config(path: Path) -> Learned:
    config = load(path, RunConfig).value
    training = config.training
    values: dict[str, Any] = {}
    if training.initial_file is not None:
        values |= read_parameters(Path(training.initial_file))
    if np.ndim(values.get("W", 0.0)) != 2:
        raise UserError(
            f"{path} gives no parameters of its model {kind_of(config.model)}; name a run folder, or a "
            "training.initial_file that holds them"
        )
    n_observed = len(values["W"])
    for name, spec in learnable(config.model.parameters(n_observed)).items():
        if name in training.initial:
            values[name] = np.full(spec.shape, training.initial[name])
    return Learned(path, config, _complete(config.model, values, n_observed, str(path)), n_observed)


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
    """What root found, on all ranks; parameters travel as numbers."""
    parts = comm.broadcast(None if found is None else (found.path, found.config, found.n_observed))
    assert parts is not None
    path, config, n_observed = parts
    shapes = {name: spec.shape for name, spec in learnable(config.model.parameters(n_observed)).items()}
    params = NamedArrays(shapes) if found is None else found.params
    comm.broadcast_in_place(params.buffer)
    return found or Learned(path, config, params, n_observed)
