"""The one style of all figures: on white in files, or as SVG that takes the colors of the page around it."""

import contextlib
import html
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from prosper_ng.environment import is_command
from prosper_ng.errors import UserError
from prosper_ng.storage import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from prosper_ng.drawing.styled_figure import StyledFigure

DPI = 200
UNDATED: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "svgz": {"Date": None},
}
"""What is left out of files, by their endings, so that the same figure comes to the same bytes."""
INK, PALE, TICK, EDGE, GRID = "#222222", "#666666", "#555555", "#888888", "#e4e4e4"
BLUE, RED, GREEN, VIOLET, ORANGE, TEAL, BROWN = (
    "#1f4e79", "#9c2f2f", "#2f6f3e", "#6a3d9a", "#c8690a", "#0f7c80", "#7a5c3a",
)  # fmt: skip
SERIES = (BLUE, ORANGE, GREEN, VIOLET, RED, TEAL, BROWN)
_STYLE: Any = {
    "axes.axisbelow": True,
    "font.family": "sans-serif",
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "axes.edgecolor": EDGE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    # Names from configurations are no formulas.
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "xtick.color": TICK,
    "ytick.color": TICK,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "savefig.facecolor": "white",
    # Text stays text.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "prosper_ng",
}
THEME = {
    INK: "ink", PALE: "pale", TICK: "pale", EDGE: "edge", GRID: "grid",
    BLUE: "blue", RED: "red", GREEN: "green", VIOLET: "violet", ORANGE: "orange", TEAL: "teal", BROWN: "brown",
}  # fmt: skip
"""The variables of the page's style sheet that stand for the colors."""


def absence_of_matplotlib() -> str | None:
    """What to install, in a sentence; None where matplotlib is installed, which is not loaded to find out."""
    return None if find_spec("matplotlib") else _to_install("matplotlib")


def load_matplotlib() -> ModuleType:
    """matplotlib, whatever backend MPLBACKEND names: pictures go to files, and need none of it.

    A backend that is named and exists stays that of the process around. Raises UserError where matplotlib is missing or
    does not work.
    """
    named = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        with _without_documentation() if is_command() else contextlib.nullcontext():
            import matplotlib
            import matplotlib.backends.backend_agg
            import matplotlib.backends.backend_svg
            import matplotlib.figure
    except ModuleNotFoundError as error:
        raise UserError(_to_install(error.name or "matplotlib")) from error
    except Exception as error:
        # Whatever a damaged installation or file of settings leads it into.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"pictures need matplotlib, which does not work here ({reason}); look at its settings, a file matplotlibrc "
            "in the working directory or the one that MPLCONFIGDIR names, or install it anew"
        ) from error
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = named
    return matplotlib


@contextlib.contextmanager
def _without_documentation() -> Iterator[None]:
    """Have matplotlib write no docstrings of its classes while it is imported, which takes two fifths of that time."""
    replaced: list[tuple[Any, str, Any]] = []
    with contextlib.suppress(ImportError, AttributeError, KeyError):  # where another version has them elsewhere
        from matplotlib import _docstring, artist

        for owner, name, substitute in (
            (artist.Artist, "_update_set_signature_and_docstring", classmethod(lambda cls: None)),
            (_docstring.Substitution, "__call__", _as_it_is),
            (_docstring._ArtistPropertiesSubstitution, "__call__", _as_it_is),
        ):
            replaced.append((owner, name, vars(owner)[name]))
            setattr(owner, name, substitute)
    try:
        yield
    finally:
        for owner, name, own in replaced:
            setattr(owner, name, own)


def _as_it_is(_: Any, documented: Any) -> Any:
    return documented


_IN_USE = threading.RLock()


@contextlib.contextmanager
def in_style() -> Iterator[ModuleType]:
    """matplotlib in this style, whatever the user's own, which is back afterwards; UserError without matplotlib.

    Settings of matplotlib belong to the process, so that one thread at a time has them: two that draw at once would
    each put back what the other has set.
    """
    with _IN_USE:
        matplotlib = load_matplotlib()
        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)
            # Not rcdefaults, which reads the styles of the user, broken ones included.
            defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
            matplotlib.rcParams.update(defaults | _STYLE)
            yield matplotlib


@contextlib.contextmanager
def drawn(width: int, height: int, layout: Literal["constrained"] | None = None) -> "Iterator[StyledFigure]":
    """A white figure of so many pixels, to be drawn in within the style; UserError without matplotlib."""
    with in_style():
        from prosper_ng.drawing.styled_figure import StyledFigure

        yield StyledFigure(figsize=(width / DPI, height / DPI), dpi=DPI, layout=layout)


def _to_install(package: str) -> str:
    return f'pictures need the package {package}; install it with: pip install "prosper_ng[plot]"'


def pixel_size(figure: "Figure") -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = figure.get_size_inches() * figure.dpi
    return round(width), round(height)


def axes_at(figure: "Figure", left: int, bottom: int, width: int, height: int) -> "Axes":
    """New axes at this place, in pixels."""
    total_width, total_height = pixel_size(figure)
    axes: Axes = figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height)
    )
    return axes


def count_on(axes: "Axes") -> None:
    """Label the horizontal axis with whole numbers only."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def save(figure: "StyledFigure", path: Path) -> None:
    """Write the figure in the format of the ending, whole or not at all; raises OSError."""
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower())


def svg(figure: "StyledFigure", name: str, alternative: str) -> str:
    """The figure as an element for an HTML page, without background, its colors those of the page.

    `name` sets its identifiers apart from those of other figures of the page; `alternative` says what it shows.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True)
    text = stream.getvalue()
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Within texts < and > are escaped, so that what is not a tag stays as it is.
    text = re.sub(r"<[^>]+>", lambda tag: _for_page(tag[0], name), text)
    view = re.search(r'viewBox="[^"]*"', text)
    root = f'<svg role="img" aria-label="{html.escape(alternative)}" {view[0] if view else ""}>'
    return re.sub(r"<svg[^>]*>", lambda _: root, text, count=1)


def _for_page(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag).replace("xlink:href", "href")
    tag = re.sub(r'(href="|url\()#', rf"\1#{name}-", tag)
    return re.sub(r"#[0-9a-f]{6}\b", lambda color: _variable(color[0]), tag)


def _variable(color: str) -> str:
    return f"var(--{THEME[color]})" if color in THEME else color
