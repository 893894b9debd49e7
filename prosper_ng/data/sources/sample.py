"""Rows sampled from a model whose parameters are known."""

import difflib
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray

from prosper_ng.components import OneOf, component, kind_of
from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._files import existing_file
from prosper_ng.data.sources._generated import GeneratedDataset, GeneratedRows
from prosper_ng.errors import UserError
from prosper_ng.models.capabilities import Samples, offers
from prosper_ng.models.interface import DiscreteLatents, ParameterSpec, learnable
from prosper_ng.models.roles import legal_value, n_observed_of, shape_in_words, telling_parameter
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

Floats = NDArray[np.float64]


@component
class Sample(GeneratedRows):
    """Data points drawn from a model with given parameters, which are the truth that learning can be held against."""

    model: Annotated[DiscreteLatents, OneOf("prosper_ng.models")]
    """The model to sample from."""
    n_rows: Annotated[int, Gt(0)]
    """Number of data points."""
    missing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Probability that a value is not observed."""
    path: str | None = None
    """An HDF5 or .npz file that holds the parameters by their names."""
    group: str = "/"
    """The group of an HDF5 file in which they lie, such as parameters/latest in run.h5."""
    parameters: dict[str, Any] | None = None
    """Parameters by name, as numbers or nested lists; they go before those of the file. A number fills its array,
    of a covariance its diagonal."""

    def __post_init__(self) -> None:
        """Raise ValueError where there are no parameters."""
        if self.path is None and not self.parameters:
            raise ValueError("a sample needs the parameters of its model: give path, or parameters, or both")
        if self.path is None and self.group != "/":
            raise ValueError("group says where parameters lie in an HDF5 file; give its path")

    def open(self, seed: int) -> GeneratedDataset:
        """The data points; each is a function of the seed, the parameters and its row."""
        if not offers(self.model, Samples):
            raise DataError(f"model {kind_of(self.model)} cannot be sampled from")
        model = cast(Samples, self.model)
        n_observed, params = self._parameters()

        def generate(n_rows: int, rng: np.random.Generator) -> Floats:
            return model.sample(params, n_rows, rng)[0]

        where = f"sample from {kind_of(self.model)}"
        shape = (n_observed,)
        return GeneratedDataset(generate, stream(seed, "sample"), self.n_rows, shape, params, where, self.missing)

    def _parameters(self) -> tuple[int, NamedArrays]:
        """D and all parameters of the model.

        Raises DataError where a parameter is missing, unknown, of another shape or illegal.
        """
        given = {name: _numbers(name, value) for name, value in (self.parameters or {}).items()}
        file = None if self.path is None else existing_file(self.path)
        n_observed = self._n_observed(given, file)
        specs = learnable(self.model.parameters(n_observed))
        for name in given.keys() - specs.keys():
            near = difflib.get_close_matches(name, specs, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(f"model {kind_of(self.model)} has no parameter {name}{hint} (it has {', '.join(specs)})")
        params = NamedArrays({name: spec.shape for name, spec in specs.items()})
        for name, spec in specs.items():
            if name in given:
                value = given[name]
            elif file is not None:
                value = _stored(file, self.group, name)
            else:
                raise DataError(f"sample from {kind_of(self.model)} needs the parameter {name}: {spec.meaning}")
            params[name] = _legal(name, value, spec)
        return n_observed, params

    def _n_observed(self, given: dict[str, NDArray[Any]], file: Path | None) -> int:
        """D, as the dictionary tells it, or what the model has in its place; this is added to what is given."""
        model, name = self.model, telling_parameter(self.model)
        if name is None:
            raise DataError(f"model {kind_of(model)} has no parameter that tells how many values a row has")
        if name not in given and file is not None:
            given[name] = _stored(file, self.group, name)
        n_observed = n_observed_of(model, name, given[name].shape) if name in given else None
        if n_observed is None:
            meaning = model.parameters(1)[name].meaning
            raise DataError(
                f"sample from {kind_of(model)} needs the parameter {name} of shape {shape_in_words(model, name)}, "
                f"D values in a row: {meaning}"
            )
        return n_observed


def _stored(file: Path, group: str, name: str) -> NDArray[Any]:
    """One parameter of a file."""
    with file.open("rb") as stream:
        start = stream.read(4)
    if start == b"\x89HDF":
        from prosper_ng.data.sources._hdf5_dataset import read_array

        return _numbers(name, read_array(file, f"{group}/{name}".strip("/")))
    if start[:2] == b"PK":
        from prosper_ng.data.sources._npz_array import npz_array

        return _numbers(name, npz_array(file, name).whole())
    raise DataError(f"{file} is neither an HDF5 nor a .npz file")


def _numbers(name: str, value: Any) -> NDArray[Any]:
    """The value as an array of real numbers."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"parameter {name}: the lists are not of equal length") from error
    if array.dtype.kind not in "iuf":
        raise DataError(f"parameter {name} must be a number or nested lists of numbers")
    return array


def _legal(name: str, value: NDArray[Any], spec: ParameterSpec) -> NDArray[Any]:
    """The value, if it is one that the parameter may have."""
    if value.shape not in (spec.shape, ()):
        raise DataError(f"parameter {name} has shape {value.shape}, needed is {spec.shape}: {spec.meaning}")
    try:
        return legal_value(spec, value, f"parameter {name}")
    except UserError as error:
        raise DataError(str(error)) from None
