"""Whether rows are what a model can have made."""

from collections.abc import Iterable

from prosper_ng.components import kind_of
from prosper_ng.data.dataset import DataError, Floats, Source
from prosper_ng.data.preprocessing import NOTHING_DONE, Preprocessing
from prosper_ng.models.interface import Model
from prosper_ng.numerics.constraints import REAL, Simplex


def require_support(
    rows: Floats, first_row: int, model: Model, where: str, preprocessing: Preprocessing = NOTHING_DONE
) -> None:
    """Raise DataError that names the first value of `rows` (n, D), rows first_row.., which the model cannot have made.

    NaN marks values that were not observed. `preprocessing` is what was done to the rows of the source.
    """
    support = model.support
    place = None if support == REAL else support.first_illegal(rows, missing=True)
    if place is None:
        return
    row, column = place
    done = ["remove_mean"] * preprocessing.remove_mean + ["whiten"] * (preprocessing.whitening is not None)
    after = f" after {' and '.join(done)}" if done else ""
    if isinstance(support, Simplex) and rows[place] >= support.low:
        found = f"row {first_row + row} (counted from 0) holds {support.fault(rows[row])}{after}"
    else:
        found = f"row {first_row + row}, column {column} (counted from 0) is {rows[place]:.6g}{after}"
    raise DataError(f"{where}: {found}; {_named(model)} needs {support.words}")


def noise_refused(model: Model, source: Source | None, more: Iterable[tuple[str, bool]] = ()) -> str | None:
    """Why Gaussian noise cannot be added to data of this model, where a source does, or what is named in `more`.

    None where nothing adds noise, or the data may be any numbers.
    """
    if model.support == REAL:
        return None
    adds = (("data.noise", source is not None and source.adds_noise), *more)
    name = next((name for name, is_on in adds if is_on), None)
    if name is None:
        return None
    return f"{name} adds Gaussian noise to the data, and {_named(model)} needs {model.support.words}; set it to 0"


def _named(model: Model) -> str:
    """The model, and the observable where it has one."""
    observable = getattr(model, "observable", None)
    return f"model {kind_of(model)}" + ("" if observable is None else f" with observable {kind_of(observable)}")
