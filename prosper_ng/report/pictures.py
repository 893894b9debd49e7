"""All pictures of a run, from what its folder holds."""

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing import figures
from prosper_ng.drawing.curves import panels_of
from prosper_ng.drawing.pixels import patch_shape_of
from prosper_ng.drawing.style import save
from prosper_ng.errors import UserError
from prosper_ng.report.images import images_of, is_comparable, notes_on
from prosper_ng.storage.run_record import RunRecord, read_run

if TYPE_CHECKING:
    from prosper_ng.drawing.styled_figure import StyledFigure

Floats = NDArray[np.float64]
Drawing = Callable[[], "StyledFigure"]


class Drawn(NamedTuple):
    """What became of the pictures of a run."""

    written: list[Path]
    notes: list[str]
    """A sentence on each picture that there is nothing for."""
    trouble: str | None = None
    """Why there are no pictures although there is something to draw."""


def draw(record: RunRecord, folder: Path) -> tuple[list[Path], list[str]]:
    """Draw curves.png, dictionary.png, recovery.png and comparison.png, as far as the run has what they show.

    Comes back with the files written and a sentence on each picture that there is nothing for. Raises UserError where
    matplotlib is missing.
    """
    found, notes = pictures_of(record)
    paths = [folder / f"{name}.png" for name in found]
    for path, drawing in zip(paths, found.values(), strict=True):
        save(drawing(), path)
    return paths, notes


def pictures_of(record: RunRecord) -> tuple[dict[str, Drawing], list[str]]:
    """What draws `curves`, `dictionary`, `recovery` and `comparison`, as far as the run has what they show, and a
    sentence on each of them that there is nothing for.
    """
    found: dict[str, Drawing] = {}
    notes = []
    if len(record.history.get("sweep", ())) == 0:
        notes.append("no curves: the run has not finished a sweep yet")
    else:
        panels = panels_of(record.headline, unit_of_data(record))
        found["curves"] = partial(figures.curves, record.history, panels)
    W, patch_shape = dictionary_of(record)
    learned, true = elements_of(record)
    if W is None:
        notes.append("no picture of the dictionary: the run has none, or its data have no shape to look at")
    else:
        found["dictionary"] = partial(figures.dictionary, W, patch_shape, use_of(record, W.shape[1]))
        if learned is not None and true is not None:
            found["recovery"] = partial(figures.recovery, true, learned, patch_shape)
    images = images_of(record)
    if is_comparable(images):
        found["comparison"] = partial(figures.comparison, images, notes_on(images, record.results))
    return found, notes


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
    """The dictionary (D, H) as it was learned, and the true one; None where there is none."""
    name, truth = record.of_role("dictionary"), record.results.get("truth")
    learned = None if name is None else np.asarray(record.parameters[name])
    true = truth.get(name) if isinstance(truth, dict) else None
    return learned, None if true is None else np.asarray(true)


def dictionary_of(record: RunRecord) -> tuple[Floats | None, tuple[int, ...]]:
    """The columns to draw, in the units of the data where these were whitened, and the shape of each."""
    W = _in_units_of_the_data(record)
    sides = [int(side) for side in np.atleast_1d(record.attributes.get("patch_shape", ()))]
    shape = patch_shape_of(sides, len(W)) if W.ndim == 2 else None
    if shape is None or W.shape[1] == 0 or not np.isfinite(W).all():
        return None, ()
    return W, shape


def _in_units_of_the_data(record: RunRecord) -> Floats:
    learned, _ = elements_of(record)
    W = np.empty(0) if learned is None else learned
    if W.ndim != 2 or len(W) != record.attributes.get("n_observed"):
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
