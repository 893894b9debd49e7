"""Learned models, and what they say of rows, as trees and datasets of xarray, laid out and named as in files."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.models.axes import Axes, axes_of
from prosper_ng.models.interface import learnable
from prosper_ng.storage import axes
from prosper_ng.storage.parameter_history import GROUP
from prosper_ng.storage.provenance import as_json

if TYPE_CHECKING:
    from prosper_ng.inference.answers import Posterior, Reconstruction
    from prosper_ng.inference.learned import Learned


def tree_of(known: "Learned") -> Any:
    """See `Learned.to_xarray`."""
    xarray = _xarray()
    names = axes_of(known.model, known.n_observed)
    columns = {} if known.column_names is None else {"D": list(known.column_names)}
    tree = {
        "/": xarray.Dataset(coords=columns, attrs=_attributes(known)),
        "parameters/latest": xarray.Dataset(_parameters(known, known.params, names)),
    }
    if known.history:
        tree["history"] = xarray.Dataset(
            {name: ((axes.SWEEP,), values, _of_column(name)) for name, values in known.history.items()}
        )
    if known.params_history:
        along = {name: (axes.SWEEP, *own) for name, own in names.items()} | {axes.SWEEP: (axes.SWEEP,)}
        tree[GROUP] = xarray.Dataset(_parameters(known, known.params_history, along))
    if known.preprocessing is not None:
        tree["preprocessing"] = xarray.Dataset(
            {
                name: (axes.KNOWN.get(f"preprocessing/{name}", ()), value)
                for name, value in known.preprocessing.arrays().items()
            }
        )
    return xarray.DataTree.from_dict(tree, name=known.name)


def posterior_dataset(found: "Posterior") -> Any:
    """See `Posterior.to_xarray`."""
    of_states: Axes = ("row", "top_k")
    values = {
        "states": ((*of_states, "H"), found.states),
        "probabilities": (of_states, found.probabilities),
        "log_joints": (of_states, found.log_joints),
        "free_energy": (("row",), found.free_energy),
        "certain": (("row",), found.certain),
        "unsettled": (("row",), found.unsettled),
        "unimproved": (("row",), found.unimproved),
    }
    if found.means is not None:
        values["means"] = (("row", "H"), found.means)
    if found.deviations is not None:
        values["deviations"] = (("row", "H"), found.deviations)
    for name, means in found.other_means.items():
        is_of_latents = found.means is not None and means.shape[1:] == found.means.shape[1:]
        own = ("H",) if is_of_latents else axes.unknown(f"means_{name}", means.ndim)[1:]
        values[f"means_{name}"] = (("row", *own), means)
    return _xarray().Dataset(values)


def reconstruction_dataset(found: "Reconstruction") -> Any:
    """See `Reconstruction.to_xarray`."""
    of_data: Axes = ("row", "D")
    values = {"prediction": (of_data, found.prediction), "filled": (of_data, found.filled)}
    return _xarray().Dataset({**values, "free_energy": (("row",), found.free_energy)})


def _xarray() -> Any:
    try:
        return importlib.import_module("xarray")
    except ModuleNotFoundError as error:
        raise UserError(
            f"arrays with named axes need the package {error.name}; install it with: pip install xarray"
        ) from None


def _attributes(known: "Learned") -> dict[str, Any]:
    """What is said of a model as a whole; texts and numbers, so that it can be written to any file."""
    said = {
        "name": known.name,
        "model": as_json(known.model),
        "estep": as_json(known.estep),
        "seed": known.seed,
        "n_observed": known.n_observed,
        "n_sweeps": known.n_sweeps,
        "digest": known.digest,
        "data_digest": known.data_digest,
        "ending": known.ending,
        "prosper_ng": prosper_ng.__version__,
    }
    return {name: value for name, value in said.items() if value is not None}


def _parameters(known: "Learned", values: Mapping[str, Any], names: Mapping[str, Axes]) -> dict[str, Any]:
    """Variables with their axes, and what they mean, which is what xarray writes at the axes of plots."""
    specs = learnable(known.model.parameters(known.n_observed))
    about = {name: {"long_name": spec.meaning, "role": spec.role} for name, spec in specs.items()}
    return {name: (names[name], array, about.get(name, {})) for name, array in values.items() if name in names}


def _of_column(name: str) -> dict[str, str]:
    """The unit of a column of the history, where it has one."""
    if name == "free_energy":
        return {"long_name": "free energy per row", "units": "nat"}
    return {"units": "s"} if name == "elapsed" or name.startswith("seconds_") else {}
