"""The parameters that learning starts from."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.dataset import NO_COLUMNS, Columns
from prosper_ng.errors import UserError
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.capabilities import WantsExamples, offers
from prosper_ng.models.interface import Moments, learnable
from prosper_ng.models.roles import legal_value, telling_parameter
from prosper_ng.numerics.constraints import LARGEST, Covariance
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream
from prosper_ng.paths import path_of
from prosper_ng.storage.parameter_file import read_parameters, unknown_columns
from prosper_ng.training.em import Problem

Floats = NDArray[np.float64]

_LEFT_BY_ROWS = 1 / 3
"""Of the noise that learning else starts from, what there is to start from where dictionary elements are rows: these
explain much already, and with more noise states would be so few that all elements become alike."""


class Given(NamedTuple):
    """Parameters of an earlier model."""

    arrays: Mapping[str, ArrayLike] = {}
    """By name; those that are missing are found from the data."""
    unknown: Columns = NO_COLUMNS
    """Columns of the data of which they know nothing."""
    where: str = ""
    """What to call their origin in errors."""


def given_parameters(settings: LearningSettings, n_observed: int, start: Given | None = None) -> Given:
    """What there is to start from: `start`, else the parameters in `training.initial_file`, if it names one.

    Raises UserError where these do not fit the model.
    """
    file = settings.training.initial_file
    if start is not None and file is not None:
        raise UserError(f"training.initial_file is {file}, and {start.where} is given as well; leave one of them out")
    if start is None and file is None:
        return Given()
    where = f"training.initial_file: {{}} in {file}" if start is None else f"{start.where}: {{}}"
    holder = file if start is None else start.where
    arrays = read_parameters(path_of(str(file))) if start is None else start.arrays
    specs, name_of_model = learnable(settings.model.parameters(n_observed)), kind_of(settings.model)
    found = {name: np.asarray(values, np.float64) for name, values in arrays.items() if name in specs}
    for name, values in found.items():
        if values.shape != specs[name].shape:
            raise UserError(
                f"{where.format(name)} has the shape {values.shape}, and model {name_of_model} here needs "
                f"{specs[name].shape}"
            )
    if not found:
        prefix = "training.initial_file: " if start is None else ""
        raise UserError(f"{prefix}{holder} holds none of the parameters {', '.join(specs)}")
    return Given(found, unknown_columns(path_of(str(file))) if start is None else start.unknown, where)


def columns_told(settings: LearningSettings, n_observed: int, given: Given) -> Columns:
    """The columns that the dictionary to start from, or what a model has in its place, tells of where it is given."""
    name = telling_parameter(settings.model)
    if name not in given.arrays or name in settings.training.initial:
        return NO_COLUMNS
    return np.setdiff1d(np.arange(n_observed), given.unknown)


def initial_parameters(settings: LearningSettings, problem: Problem, given: Given, moments: Moments) -> NamedArrays:
    """Parameters to start from: of the data, else as given, else as configured; the same bits on all ranks."""
    configured = settings.training.initial
    generator = stream(settings.seed, "initial parameters").generator()
    specs, are_rows = settings.model.parameters(problem.n_observed), len(moments.elements) > 0
    told: dict[str, tuple[Any, str]] = {name: (each, given.where.format(name)) for name, each in given.arrays.items()}
    told |= {name: (each, f"training.initial: {name}") for name, each in configured.items()}
    telling = telling_parameter(settings.model)
    if telling in told and offers(settings.model, WantsExamples):
        # No rows have to be found to start from, and nothing is known of the classes of those that are given.
        moments = moments._replace(elements=legal_value(specs[telling], *told[telling]).T)
        moments = moments._replace(labeled=moments.labeled[:0], labels=moments.labels[:0])
    params = settings.model.initial(moments, generator)
    lacking = [name for name in specs if name not in params]
    if lacking:
        raise UserError(f"model {kind_of(settings.model)}: `initial` gives no {', '.join(lacking)}, which it has to")
    for name, spec in specs.items():
        value, origin = told.get(name, (params[name], f"the start found from the data: {name}"))
        if name not in told and spec.role == "noise" and are_rows:
            less = _LEFT_BY_ROWS**2 if isinstance(spec.constraint, Covariance) else _LEFT_BY_ROWS
            value = spec.constraint.nearest(less * value)
        params[name] = legal_value(spec, value, origin)
        largest = float(np.abs(params[name]).max(initial=0.0))
        if largest > LARGEST:
            raise UserError(
                f"{origin} ({spec.meaning}) reaches {largest:.3g} in magnitude, and squares of that, added up, leave "
                f"double precision; legal is up to {LARGEST:g}"
            )
    problem.comm.broadcast_in_place(params.buffer)
    return params
