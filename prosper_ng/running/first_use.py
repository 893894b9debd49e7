"""What the first use of a model compiles, compiled beforehand."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from prosper_ng import compiling
from prosper_ng.components import components_of
from prosper_ng.config.hints import fields_of
from prosper_ng.errors import UserError
from prosper_ng.numerics.random_streams import stream
from prosper_ng.running.learn import learn

_N_ROWS, _N_OBSERVED = 70, 6
_NUMBERS = {"n_latents": (4, 12), "n_components": (4, 70)}
"""Latents or components whose states are all looked at, and others whose states are searched for."""
_SHORT = {"n_sweeps": 2, "updates_per_sweep": 2}
_OPTIONS: dict[str, dict[str, Any]] = {
    "dsc": {"values": (-1.0, 0.0, 1.0)},
    "ef_mca": {"observable": "normal"},
    "glyphs": {"width": 3},
}
"""What models have no default for."""
_PRESELECTION = {"kind": "preselection", "n_candidates": 3, "max_active": 2}


def compile_model(kind: str) -> compiling.Tally:
    """Learn from a few rows as a first `learn` or run may do it, and infer; what had to be compiled for it.

    That is the E-step that suits the model, with few latents and with many, and preselection; complete rows and rows
    with missing values, as far as the model has these.
    """
    with compiling.told() as tally, compiling.alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few rows are doubtful
        few, many = models_of(kind)
        for model, estep in ((few, "auto"), (many, "auto"), (many, _PRESELECTION)):
            _use(model, estep)
    return tally


def models_of(kind: str) -> tuple[Any, Any]:
    """Models with few and with many states, with options as they are by default; ConfigError where there is none."""
    model: Any = components_of("prosper_ng.models")[kind]
    counted = next((field for field in _NUMBERS if field in fields_of(model)), "n_latents")
    few, many = (model(**{counted: number}, **_OPTIONS.get(kind, {})) for number in _NUMBERS[counted])
    return few, many


def _use(model: Any, estep: Any) -> None:
    rows = model.support.feasible((_N_ROWS, _N_OBSERVED), stream(0, "rehearsal").generator())
    gaps = rows.copy()
    gaps[::3, 0] = np.nan
    is_default = estep == "auto"
    for values in (rows, gaps):
        # What is not the default, a model may be without.
        with suppress(*() if is_default and values is rows else (UserError,)):
            missing = values is gaps
            learned = learn(values, model, estep=estep, training=_SHORT, missing=missing, progress=False)
            if is_default:
                learned.posterior(values, missing=missing)
                learned.reconstruct(values, missing=missing)
                learned.sample(2)


def kinds(named: list[str]) -> Iterator[str]:
    """The kinds of the models that are named, or all; UserError where there is no such model."""
    known = components_of("prosper_ng.models")
    for kind in named:
        if kind not in known:
            raise UserError(f"there is no model {kind!r}; there are {', '.join(sorted(known))}")
    yield from named or sorted(known)
