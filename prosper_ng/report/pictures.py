"""All pictures of a run, from what its folder holds."""

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing import figures, receptive_field_figures
from prosper_ng.drawing.curves import panels_of
from prosper_ng.drawing.elements import elements_named
from prosper_ng.drawing.pixels import patch_shape_of
from prosper_ng.drawing.style import save
from prosper_ng.errors import UserError
from prosper_ng.models.roles import elements_shown
from prosper_ng.numerics.receptive_fields import LEAST_SIDE, ReceptiveFields, receptive_fields
from prosper_ng.report.images import images_of, is_comparable, notes_on
from prosper_ng.storage.run_record import RunRecord, read_run

if TYPE_CHECKING:
    from prosper_ng.drawing.styled_figure import StyledFigure

Floats = NDArray[np.float64]
Drawing = Callable[[], "StyledFigure"]

ABSENT = {
    "curves": "the run has not finished a sweep yet",
    "dictionary": "it holds no dictionary, or none of finite numbers",
    "recovery": "the run knows no true dictionary, or its data have no shape to look at",
    "comparison": "the run has no images of one size",
    "fields": f"its elements are no pictures, or have a side of less than {LEAST_SIDE} pixels",
}
"""Why a picture is not there."""


class Drawn(NamedTuple):
    """What became of the pictures of a run."""

    written: list[Path]
    notes: list[str]
    """A sentence on each picture that there is nothing for."""
    trouble: str | None = None
    """Why there are no pictures although there is something to draw."""


def draw(
    record: RunRecord,
    folder: Path,
    file_of: Callable[[str], str] = "{}.png".format,
    drawings: Mapping[str, Drawing] | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw `curves`, `dictionary`, `recovery` and `comparison`, as far as the run has what they show; or `drawings`.

    Each goes to the file in the folder that `file_of` names, in the format of its ending. Comes back with the files
    written and a sentence on each picture that there is nothing for. Raises UserError where matplotlib is missing,
    OSError where they cannot be written.
    """
    found = drawings_of(record) if drawings is None else drawings
    written = []
    for name, drawing in found.items():
        save(drawing(), folder / file_of(name))
        written.append(folder / file_of(name))
    return written, [] if drawings is not None else _notes(record, found)


def drawing_of(record: RunRecord, name: str, elements: str | None = None) -> Drawing:
    """What draws one picture; UserError where the run has nothing to show in it.

    Of a dictionary it may draw some `elements`, such as `0-15,40`; and as curves, where rows have no shape to look at.
    """
    if name == "dictionary":
        W, patch_shape = elements_to_draw(record)
        if W is not None:
            chosen = None if elements is None else elements_named(elements, W.shape[1])
            use, numbered = use_of(record, W.shape[1]), elements is not None
            return partial(figures.dictionary, W, patch_shape, use, chosen, numbered)
    fields = fields_of(record) if name == "fields" else None
    if fields is not None:
        return partial(receptive_field_figures.fields, fields)
    drawing = drawings_of(record).get(name)
    if drawing is None:
        raise UserError(f"{record.path} has nothing for this picture: {ABSENT[name]}")
    return drawing


def drawings_of(record: RunRecord) -> dict[str, Drawing]:
    """What draws each picture that the run has something for."""
    found: dict[str, Drawing] = {}
    if len(record.history.get("sweep", ())):
        panels = panels_of(record.headline, unit_of_data(record))
        found["curves"] = partial(figures.curves, record.history, panels)
    W, patch_shape = dictionary_of(record)
    learned, true = elements_of(record)
    if W is not None:
        found["dictionary"] = partial(figures.dictionary, W, patch_shape, use_of(record, W.shape[1]))
        if learned is not None and true is not None:
            found["recovery"] = partial(figures.recovery, true, learned, patch_shape)
    images = images_of(record)
    if is_comparable(images):
        found["comparison"] = partial(figures.comparison, images, notes_on(images, record.results))
    return found


def _notes(record: RunRecord, found: Mapping[str, Drawing]) -> list[str]:
    """A sentence on each picture that every run has once it has learned, and that there is nothing for."""
    notes = [f"no curves: {ABSENT['curves']}"] if "curves" not in found else []
    if "dictionary" not in found:
        as_curves = "; --picture dictionary draws its elements as curves"
        hint = as_curves if elements_to_draw(record)[0] is not None else ""
        notes.append(f"no picture of the dictionary: the run has none, or its data have no shape to look at{hint}")
    return notes


def draw_run(run: Path, folder: Path) -> Drawn:
    """What `draw` makes of the run in a folder; whatever goes wrong is told, for the run is done and its results are
    kept.
    """
    again = f"the results of the run are kept, and prosper-ng plot {shlex.quote(str(run))} draws the pictures"
    try:
        written, notes = draw(read_run(run), folder)
        return Drawn(written, notes)
    except UserError as error:
        return Drawn([], [], f"{error}; {again}")
    except OSError as error:
        return Drawn([], [], f"the pictures cannot be written to {folder} ({error.strerror or error}); {again}")
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Drawn([], [], f"the pictures could not be drawn ({reason}); {again}")


def elements_of(record: RunRecord) -> tuple[Floats | None, Floats | None]:
    """The dictionary (D, H) as it was learned and shows, and the true one; None where there is none."""
    name, truth = record.of_role("dictionary"), record.results.get("truth")
    true = truth.get(name or "W") if isinstance(truth, dict) else None
    learned = elements_shown(record.parameters, record.of_role)
    if name is None and "dictionary" in record.results:  # of a model that shows its elements, in units of the data
        learned = np.asarray(record.results["dictionary"])
    return learned, None if true is None else np.asarray(true)


def dictionary_of(record: RunRecord) -> tuple[Floats | None, tuple[int, ...]]:
    """The columns to draw as pictures, in the units of the data where these were whitened, and the shape of each."""
    W, shape = elements_to_draw(record)
    return (None, ()) if shape is None else (W, shape)


def elements_to_draw(record: RunRecord) -> tuple[Floats | None, tuple[int, ...] | None]:
    """The same, also of rows that have no shape to look at; their shape is None."""
    W = _in_units_of_the_data(record)
    if W.ndim != 2 or W.size == 0 or not np.isfinite(W).all():
        return None, None
    sides = [int(side) for side in np.atleast_1d(record.attributes.get("patch_shape", ()))]
    return W, patch_shape_of(sides, len(W))


def fields_of(record: RunRecord) -> ReceptiveFields | None:
    """Receptive fields of the dictionary as it was learned, of whitened rows too.

    None where elements are no pictures, these are too small, or an earlier version kept no whitening.
    """
    (W, _), sides = elements_of(record), np.atleast_1d(record.attributes.get("patch_shape", ()))
    preprocessing = record.preprocessing()
    if W is None or W.ndim != 2 or not np.isfinite(W).all() or preprocessing is None:
        return None
    shape = patch_shape_of([int(side) for side in sides], len(W))
    if shape is None:
        return None
    whitening = preprocessing.whitening
    return receptive_fields(W if whitening is None else whitening.turned_back(W), shape)


def _in_units_of_the_data(record: RunRecord) -> Floats:
    learned, _ = elements_of(record)
    W = np.empty(0) if learned is None else learned
    if W.ndim != 2 or len(W) != record.attributes.get("n_observed") or record.of_role("dictionary") is None:
        return W
    preprocessing = record.preprocessing()
    if preprocessing is None:
        # Earlier versions kept no whitening, but this, once a run had finished.
        return np.asarray(record.results.get("dictionary", W))
    return preprocessing.undo_directions(W.T).T


def unit_of_data(record: RunRecord) -> str:
    """The unit of the noise level: that of the rows that were learned from."""
    data = record.config.get("data")
    source = data if isinstance(data, Mapping) else {}
    if source.get("whiten", "none") != "none":
        return "of whitened data"
    return "8-bit scale" if source.get("kind") == "image" else "units of the data"


def use_of(record: RunRecord, n_elements: int) -> Floats | None:
    """How often each dictionary element is active: measured, or else learned; None where the run cannot tell."""
    learned = record.parameters.get(record.of_role("activity") or "", ())
    for found in (record.results.get("use", ()), learned):
        use = np.asarray(found, dtype=np.float64)
        if use.shape == (n_elements,) and np.isfinite(use).all():
            return use
    return None
