"""A learned model in a line, and as a small table for notebooks."""

import html
from collections.abc import Iterator
from dataclasses import MISSING, asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.config.canonical import inline
from prosper_ng.drawing.pixels import patch_shape_of
from prosper_ng.drawing.thumbnails import thumbnail
from prosper_ng.inference.plots import dictionary_of, headline_panels, learned_use
from prosper_ng.models.axes import counted_by
from prosper_ng.models.roles import headline_of

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

_DIGEST = 12
"""Characters of a digest that tell it from others."""
_LONGEST = 300


def in_a_line(known: "Learned") -> str:
    """The model, its sizes, and what learning came to."""
    parts = [f"Learned {_name(known)}: D={known.n_observed}", _count(known)]
    parts += [f"N={known.n_rows}"] if known.n_rows is not None else []
    parts += [_sweeps(known.n_sweeps)] if known.n_sweeps is not None else []
    parts += [f"F={_free_energy(known):.6g} per row"] if _free_energy(known) is not None else []
    return f"<{', '.join(parts)}>"


def as_html(known: "Learned") -> str:
    """The same as a table, with what people look at first and a small picture of the dictionary.

    It has the colors of the page around it, and no scripts; whatever names say, they are text.
    """
    cell = 'style="text-align: left; vertical-align: top; padding: 0.15em 1em 0.15em 0;'
    rows = [
        f'<tr><th scope="row" {cell} font-weight: normal; opacity: 0.75; white-space: nowrap">{html.escape(name)}</th>'
        f'<td {cell}">{html.escape(_shortened(value))}</td></tr>'
        for name, value in facts_of(known)
    ]
    counted, number = counted_by(known.model)
    title = html.escape(f"{_name(known)} with {number:,} {counted.word}")
    table = f'<table style="border-collapse: collapse; margin: 0.3em 0"><tbody>{"".join(rows)}</tbody></table>'
    return f"<div><strong>{title}</strong>{table}{_picture(known)}</div>"


def facts_of(known: "Learned") -> Iterator[tuple[str, str]]:
    """What there is to say, as names and values."""
    if known.origin != "learn(...)":
        yield "from", known.origin
    options = _options(known.model)
    if options:
        yield "options", options
    yield "data", _data(known)
    if len(known.never_observed):
        count = len(known.never_observed)
        yield "never observed", f"{count:,} column{'s' if count > 1 else ''}, of which nothing is known"
    yield "E-step", kind_of(known.chosen_estep.estep)
    if known.n_sweeps is not None:
        yield "learning", _course(known.n_sweeps, known.ending or "")
    free_energy = _free_energy(known)
    if free_energy is not None:
        yield "free energy per row", f"{free_energy:.6g} nats".replace("-", "−")
    numbers = headline_of(known.model, known.n_observed, known.params)
    titles = {panel.column: panel.title for panel in headline_panels(known)}
    for column, value in numbers.items():
        yield titles.get(column, column), f"{value:.4g}".replace("-", "−")
    if known.digest is not None:
        yield "digest", known.digest[:_DIGEST]
    if known.data_digest is not None:
        yield "digest of the data", known.data_digest[:_DIGEST]


def _name(known: "Learned") -> str:
    return kind_of(known.model).upper().replace("_", " ")


def _count(known: "Learned") -> str:
    counted, number = counted_by(known.model)
    return f"{counted.symbol}={number}"


def _sweeps(n_sweeps: int) -> str:
    return f"{n_sweeps:,} sweep{'s' if n_sweeps != 1 else ''}"


def _course(n_sweeps: int, ending: str) -> str:
    """How many sweeps, and why no more; endings of runs often say both."""
    return ending if f"{n_sweeps}" in ending.split() else f"{_sweeps(n_sweeps)}; {ending}".removesuffix("; ")


def _free_energy(known: "Learned") -> float | None:
    """The last that is known."""
    values = np.asarray(known.history.get("free_energy", ()), dtype=np.float64)
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if finite.size else None


def _options(model: Any) -> str:
    """The settings of a model that are not what they are by default, as a configuration says them."""
    said, plain = [], asdict(model)
    for field in fields(model):
        value = getattr(model, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name != counted_by(model)[0].field and value != default:
            said.append(f"{field.name}: {inline(plain[field.name])}")
    return ", ".join(said)


def _data(known: "Learned") -> str:
    """How many rows of which kind, and what was done to them."""
    shape = " × ".join(map(str, known.row_shape)) if known.row_shape is not None else ""
    values = f"{known.n_observed:,} values" + (f" ({shape})" if shape else "")
    rows = f"rows of {values}" if known.n_rows is None else f"{known.n_rows:,} rows of {values}"
    done = known.preprocessing
    if done is None:
        return f"{rows}, whitened in a way that is not known"
    parts = [rows, "mean of each row removed" if done.remove_mean else ""]
    parts.append(f"whitened ({done.whitening.kind.upper()})" if done.whitening is not None else "")
    return ", ".join(filter(None, parts))


def _picture(known: "Learned") -> str:
    """A small picture of the dictionary; nothing where there is none."""
    W = dictionary_of(known)
    if W is None:
        return ""
    shape = None if known.row_shape is None else patch_shape_of(known.row_shape, len(W))
    use = learned_use(known, W.shape[1])
    picture, n_shown = thumbnail(W, shape, use)
    if not picture:
        return ""
    count = f"{n_shown:,} of {W.shape[1]:,} dictionary elements" if n_shown < W.shape[1] else "dictionary elements"
    order = ", the most active first" if use is not None else ""
    return f'{picture}<div style="opacity: 0.75">{count}{order}; plot_dictionary() draws them in full</div>'


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
