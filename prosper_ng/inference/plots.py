"""What a learned model looks like: its dictionary in the units of the data, and the course of learning."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.drawing import figures
from prosper_ng.drawing.curves import Panel, draw_panel, explain_shades, known_panels, panel_of, panels_of
from prosper_ng.drawing.elements import chosen_of, draw_elements, shown_of
from prosper_ng.drawing.pixels import patch_shape_of
from prosper_ng.errors import UserError
from prosper_ng.models.roles import elements_of, headline_of, of_role, roles_of
from prosper_ng.models.rounding import is_rounding
from prosper_ng.numerics.receptive_fields import LEAST_SIDE, receptive_fields
from prosper_ng.storage.history import SWEEP
from prosper_ng.storage.run_record import parameter_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prosper_ng.drawing.styled_figure import StyledFigure
    from prosper_ng.inference.learned import Learned

Floats = NDArray[np.float64]


def plot_dictionary(
    known: "Learned", elements: Any, patch_shape: Sequence[int] | None, use: Any, ax: "Axes | None"
) -> "StyledFigure | Axes":
    """See `Learned.plot_dictionary`."""
    W = dictionary_of(known)
    if W is None:
        names = ", ".join(known.params)
        raise UserError(f"model {kind_of(known.model)} has no dictionary to draw; its parameters are {names}")
    n_elements = W.shape[1]
    shape = _shape_to_draw(known, patch_shape, len(W))
    use = learned_use(known, n_elements) if use is None else _use_given(use, n_elements)
    chosen = None if elements is None else chosen_of(elements, n_elements)
    if ax is not None:
        shown = shown_of(n_elements, use, chosen)
        draw_elements(_one_axes(ax), W, shown, shape)
        ax.set_title(shown.words)
        return ax
    whitened = known.preprocessing is None
    remark = "; of whitened data, since the file does not say how they were whitened" if whitened else ""
    return figures.dictionary(W, shape, use, chosen, numbered=True, remark=remark)


def plot_history(known: "Learned", names: str | Sequence[str] | None, ax: "Axes | None") -> "StyledFigure | Axes":
    """See `Learned.plot_history`."""
    if not len(known.history.get(SWEEP, ())):
        raise UserError(
            f"there is no history of {known.origin} to draw; under MPI, learn(...) gives it to the first rank alone"
        )
    panels = _panels(known, names if names is not None or ax is None else "free_energy")
    if ax is None:
        return figures.curves(known.history, panels)
    if len(panels) > 1:
        raise UserError(f"ax= has room for one curve, not for {len(panels)}: name one, or leave ax out")
    draw_panel(_one_axes(ax), known.history, panels[0])
    explain_shades(ax, known.history)
    ax.set(xlabel="sweeps over the data", ylabel=panels[0].title)
    return ax


def fields_of(known: "Learned", patch_shape: Sequence[int] | None) -> dict[str, NDArray[Any]]:
    """See `Learned.receptive_fields`."""
    W = _elements(known)
    if W is None or W.ndim != 2:
        raise UserError(f"model {kind_of(known.model)} has no dictionary to fit receptive fields to")
    shape = _shape_to_draw(known, patch_shape, len(W))
    if known.preprocessing is None:
        raise UserError(
            f"{known.origin} does not say how its data were whitened: whether elements are pictures is unknown"
        )
    if known.preprocessing.whitening is not None:
        W = known.preprocessing.whitening.turned_back(W)
    found = None if shape is None else receptive_fields(W, shape)
    if found is None:
        raise UserError(
            "receptive fields are fitted to elements that are pictures with sides of at least "
            f"{LEAST_SIDE} pixels; give patch_shape=(height, width) where they are such pictures"
        )
    return found._asdict()


def dictionary_of(known: "Learned") -> Floats | None:
    """The dictionary elements (D, H) in the units of the data, as far as is known what was done to these.

    None where the model has none.
    """
    W = _elements(known)
    if W is None or W.ndim != 2 or W.size == 0:
        return None
    whitening = None if known.preprocessing is None else known.preprocessing.whitening
    if whitening is None or len(W) != known.n_observed:
        return W
    return whitening.inverse.T @ W  # to look at, so that the last bits do not count and no kernel has to be compiled


def _elements(known: "Learned") -> Floats | None:
    return elements_of(known.model, known.n_observed, known.params)


def learned_use(known: "Learned", n_elements: int) -> Floats | None:
    """(n_elements,) how probable it is that the latent of each dictionary element is active.

    None where the model has one number for all, or none. Latents of further layers, without an element, come last.
    """
    if of_role(known.model.parameters(known.n_observed), "activity") is None:
        return None
    activity = np.asarray(known.model.activity(known.params), dtype=np.float64)[:n_elements]
    return None if is_rounding(np.ptp(activity), activity.max()) else activity


def headline_panels(known: "Learned") -> list[Panel]:
    """The curves that people look at first."""
    roles = roles_of(known.model, known.n_observed)
    columns = headline_of(known.model, known.n_observed, known.params)
    whitened = known.preprocessing is None or known.preprocessing.whitening is not None
    unit = "of whitened data" if whitened else "units of the data"
    return panels_of({column: roles.get(parameter_of(column), "") for column in columns}, unit)


def _shape_to_draw(known: "Learned", given: Sequence[int] | None, n_values: int) -> tuple[int, int, int] | None:
    """(height, width, channels) of elements that are patches; None where they are curves."""
    if given is None:
        return None if known.row_shape is None else patch_shape_of(known.row_shape, n_values)
    try:
        sides = tuple(given)
    except TypeError:
        sides = ()
    if not 1 <= len(sides) <= 3 or not all(isinstance(side, int | np.integer) and side > 0 for side in sides):
        raise UserError(f"patch_shape is (height, width), (height, width, channels) or (length,), not {given!r}")
    if math.prod(map(int, sides)) != n_values:
        said = " x ".join(map(str, sides))
        raise UserError(f"patch_shape: {said} makes {math.prod(map(int, sides))} values, and elements have {n_values}")
    shape = patch_shape_of([int(side) for side in sides], n_values)
    if shape is None and len(sides) == 3:
        raise UserError(f"patch_shape: pictures have 1 or 3 channels, not {sides[2]}")
    return shape


def _use_given(use: Any, n_elements: int) -> Floats:
    try:
        found = np.asarray(use, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (n_elements,) or not (np.isfinite(found) & (found >= 0)).all():
        raise UserError(f"use is how often each element is active: {n_elements} numbers of at least 0")
    return found


def _one_axes(ax: "Axes") -> "Axes":
    if not hasattr(ax, "add_collection"):
        raise UserError(f"ax is one Axes of matplotlib to draw in, not {type(ax).__name__}")
    return ax


def _panels(known: "Learned", names: str | Sequence[str] | None) -> list[Panel]:
    """Those of the headline, or of the named columns; UserError where there are none."""
    first = headline_panels(known)
    if names is None:
        return known_panels(known.history, first)
    legal = sorted(name for name, values in known.history.items() if name != SWEEP and np.isfinite(values).any())
    asked: list[Any] = [names] if isinstance(names, str) else list(names) if isinstance(names, Iterable) else [names]
    for name in asked or (None,):
        if name not in legal:
            raise UserError(f"names are columns of the history, {', '.join(legal)}; not {names!r}")
    known_by_column = {panel.column: panel for panel in first}
    return [known_by_column.get(name) or panel_of(name, place) for place, name in enumerate(asked)]
