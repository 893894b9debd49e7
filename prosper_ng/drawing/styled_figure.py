"""Figures that keep the style of this package when they are saved, and that notebooks show by themselves."""

import base64
import io
from os import PathLike, fspath
from pathlib import PurePath
from typing import Any

from matplotlib.figure import Figure

from prosper_ng.drawing.style import UNDATED, in_style

_SHOWN_AT = 0.5
"""Of its pixels a notebook shows a figure in this size, sharp on screens that have two for one."""


class StyledFigure(Figure):
    """A figure of no window and no pyplot.

    What matplotlib settles only when it saves is settled as this package has it, whatever the settings around are then:
    the same figure comes to the same bytes.
    """

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write the figure, as Figure has it, without date and program."""
        ending = PurePath(fspath(fname)).suffix[1:] if isinstance(fname, str | PathLike) else ""
        undated = UNDATED.get((options.get("format") or ending or "png").lower())
        if undated is not None:
            options["metadata"] = undated | (options.get("metadata") or {})
        with in_style():
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
        """The picture and its size, for all notebooks that know no pyplot."""
        png = base64.b64encode(self._repr_png_()).decode()
        width, height = (round(side) for side in _SHOWN_AT * self.get_size_inches() * self.dpi)
        return {"image/png": png}, {"image/png": {"width": width, "height": height}}
