"""A model at the parameters that a configuration names."""

from pathlib import Path
from typing import Any

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.config import load
from prosper_ng.data.preprocessing import NOTHING_DONE, Preprocessing
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.inference.learned import Learned, complete
from prosper_ng.inference.stored import shared
from prosper_ng.models.interface import learnable
from prosper_ng.models.roles import legal_value, n_observed_of, telling_parameter
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.paths import path_of
from prosper_ng.storage.parameter_file import is_run, read_parameters
from prosper_ng.storage.run_record import read_run


def given(path: Path, comm: Communicator) -> Learned:
    """The model of a configuration at the parameters of its `training.initial_file` and `training.initial`.

    Raises UserError where these do not give all.
    """
    found = None
    with collectively(comm, ""):
        if comm.is_root:
            found = _from_config(path)
    return shared(found, comm)


def _from_config(path: Path) -> Learned:
    config = load(path, RunConfig).value
    training = config.training
    values: dict[str, Any] = {}
    if training.initial_file is not None:
        values |= read_parameters(path_of(training.initial_file))
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
    params = complete(config.model, values, n_observed, str(path))
    for name, spec in specs.items():
        params[name] = legal_value(spec, params[name], f"{path}: {name}")
    return Learned(
        model=config.model,
        params=params,
        n_observed=n_observed,
        estep=config.estep,
        seed=config.seed,
        preprocessing=_of_parameters(training.initial_file),
        name=config.name,
        origin=str(path),
    )


def _of_parameters(file: str | None) -> Preprocessing | None:
    """That of the run that parameters come from; of those given by hand none is known, and none is assumed."""
    path = None if file is None else path_of(file)
    return read_run(path).preprocessing() if path is not None and is_run(path) else NOTHING_DONE
