"""A learned model: all that is needed to apply it to rows, to draw rows from it, and to keep it."""

import json
from collections.abc import Mapping, Sequence
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
from prosper_ng.inference import answers, description, plots
from prosper_ng.inference.answers import Asked
from prosper_ng.inference.inference import Options
from prosper_ng.inference.labeled import tree_of
from prosper_ng.inference.saving import save
from prosper_ng.models.interface import DiscreteLatents, Model, learnable
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.paths import path_of
from prosper_ng.storage.provenance import as_json, source, versions

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
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
    preprocessing: Preprocessing | None = NOTHING_DONE
    """What was done to the rows that were learned from, and is done to others; None where it is not known."""
    history: Mapping[str, Floats] = field(default_factory=dict)
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
    column_names: tuple[str, ...] | None = None
    """Of the D columns of the data that were learned from, where they are known."""
    n_rows: int | None = None
    """N of the data that were learned from, where it is known."""
    row_shape: tuple[int, ...] | None = None
    """The shape to look at a row in, such as (height, width, channels) of a patch, where it is known."""
    name: str = "learned"
    """What the run is called."""
    origin: str = "learn(...)"
    """What to call it in errors and in files of results: the run folder or file, as the user named it."""
    ending: str | None = None
    """Why learning ended, in a sentence, where it is known."""
    on_all_rows: Mapping[str, float] = field(default_factory=dict)
    """Where a coreset was learned from, how well all rows are explained: `n_rows`, `free_energy` per row, and with one
    noise for all `mean_squared_error` per value; else empty."""

    @property
    def chosen_estep(self) -> Choice:
        """The E-step itself, also where `estep` leaves it open."""
        return self.estep.resolved(self.model)

    def posterior(
        self,
        data: Any,
        *,
        top_k: int = 1,
        n_sweeps: int = 20,
        adaptive: bool = False,
        missing: bool = False,
        comm: Any = None,
        n_jobs: int | None = None,
    ) -> answers.Posterior:
        """The posterior of each row of `data` (n, D), in the units of the data that were learned from.

        `data` is whatever `prosper_ng.learn` takes; columns that have names are taken by these. The `top_k` best states
        are kept of each row, or as many as the E-step has. An E-step that searches does so for at most `n_sweeps`
        sweeps; an `adaptive` inference looks harder where the best state is in doubt. NaN marks missing values where
        `missing` allows for them. What is said of a row depends on nothing but what it holds.

        On an MPI communicator `comm` of mpi4py all ranks call it together, with the same arguments and the same data:
        each works on its own rows, and all get what is said of all rows. With `n_jobs` threads of this process, -1 for
        as many as there are cores, the same is done side by side. The numbers are the same for any number of either.
        Raises UserError where the rows do not fit the model, on all ranks.
        """
        return answers.posterior(self, Asked(data, Options(n_sweeps, adaptive), missing, comm, n_jobs), top_k)

    def free_energy(
        self,
        data: Any,
        *,
        n_sweeps: int = 20,
        adaptive: bool = False,
        missing: bool = False,
        comm: Any = None,
        n_jobs: int | None = None,
    ) -> Floats:
        """(n,) a lower bound of log p(y) for each row of `data` (n, D); see `posterior`."""
        return answers.free_energy(self, Asked(data, Options(n_sweeps, adaptive), missing, comm, n_jobs))

    def reconstruct(
        self,
        data: Any,
        *,
        n_sweeps: int = 20,
        adaptive: bool = False,
        missing: bool = False,
        comm: Any = None,
        n_jobs: int | None = None,
    ) -> answers.Reconstruction:
        """What the model predicts of each row of `data` (n, D), and the rows with what was missing filled in.

        See `posterior`; raises UserError where the model cannot predict data.
        """
        return answers.reconstruct(self, Asked(data, Options(n_sweeps, adaptive), missing, comm, n_jobs))

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

    def plot_dictionary(
        self, elements: Any = None, *, patch_shape: Sequence[int] | None = None, use: Any = None, ax: Any = None
    ) -> Any:
        """A figure of matplotlib with the dictionary elements in the units of the data, the most active first.

        They are tiles where rows are patches of images, or `patch_shape` says so: (height, width) or (height, width,
        channels); else curves, or bars where they are short, as they are with (D,). `elements` are those to draw,
        in that order: numbers, a slice, or a mask (H,). `use` (H,) is how often each is active, in place of what the
        model has learned. With `ax` they are drawn in these axes, which come back. Raises UserError where the model has
        no dictionary, what is given does not fit it, or matplotlib is missing.
        """
        return plots.plot_dictionary(self, elements, patch_shape, use, ax)

    def plot_history(self, names: str | Sequence[str] | None = None, *, ax: Any = None) -> Any:
        """A figure of matplotlib with curves over the sweeps: the free energy and what people look at first of a model.

        `names` are columns of the history to draw in their place. With `ax` one curve is drawn in these axes, which
        come back. Raises UserError where there is no history or no such column, or matplotlib is missing.
        """
        return plots.plot_history(self, names, ax)

    def receptive_fields(self, *, patch_shape: Sequence[int] | None = None) -> dict[str, NDArray[Any]]:
        """Gabor functions and differences of Gaussians fitted to the dictionary, by column, as a data frame takes them.

        `kind` (H,) is `globular`, `gabor` or `neither`; what the other columns mean stands in
        `prosper_ng.numerics.receptive_fields`. Elements are pictures of `patch_shape`, (height, width) or (height,
        width, channels), or of the shape of the rows where that is known. Those of whitened data are fitted as they
        were learned. Raises UserError where elements are no pictures, or have a side of less than 6 pixels.
        """
        return plots.fields_of(self, patch_shape)

    def __repr__(self) -> str:
        return description.in_a_line(self)

    def _repr_html_(self) -> str:
        return description.as_html(self)

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
