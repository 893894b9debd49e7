"""What parameters are to everything outside their model: found by their roles, not by their names."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from prosper_ng.errors import UserError
from prosper_ng.models.capabilities import HasHeadline, ShowsElements, offers
from prosper_ng.models.interface import DiscreteLatents, Floats, Model, ParameterSpec, Role, learnable
from prosper_ng.numerics.constraints import Covariance
from prosper_ng.numerics.named_arrays import NamedArrays, Shape


def of_role(specs: Mapping[str, ParameterSpec], role: Role) -> str | None:
    """The first parameter of a role; None where the model has none."""
    return next((name for name, spec in specs.items() if spec.role == role), None)


def elements_shown(parameters: Mapping[str, Floats], name_of: Callable[[Role], str | None]) -> Floats | None:
    """The dictionary as it shows in the data, above the background where there is one; None where there is none.

    `name_of` says which parameter has a role.
    """
    dictionary, background = name_of("dictionary"), name_of("background")
    if dictionary is None:
        return None
    W = np.asarray(parameters[dictionary])
    return W if background is None else np.maximum(W, np.asarray(parameters[background])[:, None])


def elements_of(model: Model, n_observed: int, params: NamedArrays) -> Floats | None:
    """The dictionary elements (D, H) of a model as they show in the data; None where it has none."""
    shows: Any = model
    if offers(model, ShowsElements):
        return np.asarray(shows.elements(params))
    return elements_shown(params, partial(of_role, model.parameters(n_observed)))


def roles_of(model: Model, n_observed: int) -> dict[str, str]:
    """The role of each parameter that can be learned."""
    return {name: spec.role for name, spec in learnable(model.parameters(n_observed)).items()}


def noise_covariance(specs: Mapping[str, ParameterSpec]) -> str | None:
    """The parameter that is a covariance of the noise; None where there is none."""
    name = of_role(specs, "noise")
    return name if name is not None and isinstance(specs[name].constraint, Covariance) else None


def telling_parameter(model: Model) -> str | None:
    """The parameter that tells most of the columns of the data: the dictionary, else the first with an axis for them.

    None where there is none.
    """
    specs = learnable(model.parameters(1))
    sized = [name for name in specs if _axis_of_columns(model, name) is not None]
    dictionary = of_role(specs, "dictionary")
    return dictionary if dictionary in sized else next(iter(sized), None)


def shape_in_words(model: Model, name: str) -> str:
    """The shape of a parameter where the number D of columns is not known: `(D, 12)`."""
    sides = [str(side) for side in model.parameters(1)[name].shape]
    axis = _axis_of_columns(model, name)
    if axis is not None:
        sides[axis] = "D"
    return f"({', '.join(sides)}{',' if len(sides) == 1 else ''})"


def n_observed_of(model: Model, name: str, shape: Shape) -> int | None:
    """D, the columns that an array of this shape in the place of a parameter tells of; None where it tells nothing."""
    axis = _axis_of_columns(model, name)
    if axis is None or len(shape) != len(model.parameters(1)[name].shape):
        return None
    return shape[axis] or None


def _axis_of_columns(model: Model, name: str) -> int | None:
    """The first axis of a parameter that has an entry for each column of the data."""
    shapes = zip(*(model.parameters(n_observed)[name].shape for n_observed in (2, 3)), strict=True)
    return next((axis for axis, sides in enumerate(shapes) if sides == (2, 3)), None)


def legal_value(spec: ParameterSpec, value: Any, origin: str) -> Floats:
    """What a number or array that was given means for a parameter.

    Raises UserError, which begins with the `origin`, where it is none that the parameter may have.
    """
    values = spec.constraint.given(value, spec.shape)
    fault = spec.constraint.fault(values)
    if fault is not None:
        raise UserError(f"{origin} ({spec.meaning}) must be {spec.constraint.words}, not {fault}")
    return values


def headline_of(model: Model, n_observed: int, params: NamedArrays) -> dict[str, float]:
    """The numbers that people look at first, by their columns in the history.

    What the model says; else the noise level and the mean activity: that of `pi` () is `pi`, of `pi` (H,) `pi_mean`.
    """
    kind: Any = model
    if offers(model, HasHeadline):
        return dict(kind.headline(params))
    return dict(_headline(model, model.parameters(n_observed), params))


def _headline(model: Any, specs: Mapping[str, ParameterSpec], params: NamedArrays) -> Iterator[tuple[str, float]]:
    for role in ("noise", "activity"):
        name = of_role(specs, role)
        if name is None:
            continue
        values = params[name]
        if role == "noise" and values.ndim > 1:
            continue  # no single number
        if values.ndim == 0:
            yield name, float(values)
        else:
            yield (
                f"{name}_mean",
                float(
                    np.mean(model.activity(params) if role == "activity" and offers(model, DiscreteLatents) else values)
                ),
            )
