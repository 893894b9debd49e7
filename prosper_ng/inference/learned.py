"""A learned model: all that is needed to apply it to rows, to draw rows from it, and to keep it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import prosper_ng
from prosper_ng.components import kind_of
from prosper_ng.data.dataset import NO_COLUMNS, Columns
from prosper_ng.data.preprocessing import NOTHING_DONE, Preprocessing
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import Choice, EStep
from prosper_ng.inference import answers
from prosper_ng.inference.inference import Options
from prosper_ng.inference.labeled import tree_of
from prosper_ng.inference.saving import save
from prosper_ng.models.interface import DiscreteLatents, Model, learnable
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.paths import path_of
from prosper_ng.storage.provenance import as_json, source, versions

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """A model with parameters: plain data, without files or kernels, that can be pickled."""

    model: DiscreteLatents
    params: NamedArrays
    """By paper symbol, constants left out."""
    n_observed: int
    """D."""
    estep: EStep
    """How state sets are chosen, as configured."""
    seed: int = 0
    """All random numbers of inference are a function of it and of what a row holds."""
    preprocessing: Preprocessing | None = field(default=NOTHING_DONE, repr=False)
    """What was done to the rows that were learned from, and is done to others; None where it is not known."""
    history: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    """Columns of equal length, one entry for each sweep; empty where none is known."""
    params_history: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    """`sweep` (n,) and each parameter (n, *shape) after these sweeps, where `load` was asked for them; else empty."""
    n_sweeps: int | None = None
    """Sweeps that the parameters come after."""
    digest: str | None = None
    """Of all that learning came to, once it has ended."""
    data_digest: str | None = None
    """Of what the source held that was learned from, where it is known."""
    never_observed: Columns = field(default_factory=NO_COLUMNS.copy)
    """Columns of which the model knows nothing, since no value was observed."""
    column_names: tuple[str, ...] | None = field(default=None, repr=False)
    """Of the D columns of the data that were learned from, where they are known."""
    name: str = "learned"
    """What the run is called."""
    origin: str = "learn(...)"
    """What to call it in errors and in files of results: the run folder or file, as the user named it."""
    ending: str | None = None
    """Why learning ended, in a sentence, where it is known."""

    @property
    def chosen_estep(self) -> Choice:
        """The E-step itself, also where `estep` leaves it open."""
        return self.estep.resolved(self.model)

    def posterior(
        self, data: Any, *, top_k: int = 1, n_sweeps: int = 20, adaptive: bool = False, missing: bool = False
    ) -> answers.Posterior:
        """The posterior of each row of `data` (n, D), in the units of the data that were learned from.

        `data` is anything with a shape and slices of rows. The `top_k` best states are kept of each row, or as many as
        the E-step has. An E-step that searches does so for at most `n_sweeps` sweeps; an `adaptive` inference looks
        harder where the best state is in doubt. NaN marks missing values where `missing` allows for them. What is said
        of a row depends on nothing but what it holds. Raises UserError where the rows do not fit the model.
        """
        return answers.posterior(self, data, top_k, Options(n_sweeps, adaptive), missing)

    def free_energy(self, data: Any, *, n_sweeps: int = 20, adaptive: bool = False, missing: bool = False) -> Floats:
        """(n,) a lower bound of log p(y) for each row of `data` (n, D); see `posterior`."""
        return answers.free_energy(self, data, Options(n_sweeps, adaptive), missing)

    def reconstruct(
        self, data: Any, *, n_sweeps: int = 20, adaptive: bool = False, missing: bool = False
    ) -> answers.Reconstruction:
        """What the model predicts of each row of `data` (n, D), and the rows with what was missing filled in.

        See `posterior`; raises UserError where the model cannot predict data.
        """
        return answers.reconstruct(self, data, Options(n_sweeps, adaptive), missing)

    def sample(self, n_rows: int, seed: int = 0) -> tuple[Floats, NDArray[np.generic]]:
        """Rows (n, D) drawn from the model, and the values (n, H) of the latents that made them.

        They are a function of parameters, seed and index: more rows begin with the same ones. Raises UserError where
        the model cannot generate data, NumericalError where the rows are not finite.
        """
        return answers.sample(self, n_rows, seed)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write an HDF5 file that `prosper_ng.load` and the commands read; `force` allows to replace one.

        Raises UserError where it cannot be written, or the model is none that a configuration can name.
        """
        save(self, path_of(path), force)

    def to_xarray(self) -> Any:
        """An `xarray.DataTree` with named axes, laid out as the file that `save` writes.

        `parameters/latest` and `history` are there, `parameter_history` where it was loaded; attributes say which model
        it is. Raises UserError where xarray is not installed.
        """
        return tree_of(self)

    def provenance(self) -> dict[str, Any]:
        """Where results of this model come from: the same for the same results, so without time, host and ranks."""
        found: dict[str, Any] = {"run": self.origin, "run_name": self.name, "run_digest": self.digest}
        found |= {"run_sweeps": self.n_sweeps, "model": as_json(self.model), "run_data_digest": self.data_digest}
        if self.preprocessing is not None:
            found["preprocessing"] = json.dumps(self.preprocessing.settings)
        return found | {"prosper_ng": prosper_ng.__version__} | versions() | source()


def complete(model: Model, values: Mapping[str, Any], n_observed: int, where: str) -> NamedArrays:
    """All parameters of the model, out of these; but for constants, on which no posterior depends.

    Raises UserError where one is missing, of another shape, or not finite.
    """
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
