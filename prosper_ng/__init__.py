"""Probabilistic sparse coding with truncated variational EM, on one core or a thousand MPI ranks."""

import importlib
import time
from typing import Any

__version__ = "0.2.0"
IMPORTED_AT = time.time()
"""Before any other module of this package was read, in seconds since 1970."""

_PUBLIC = {
    "Learned": "prosper_ng.inference.learned",
    "Outcome": "prosper_ng.experiments.run",
    "Posterior": "prosper_ng.inference.answers",
    "learn": "prosper_ng.running.learn",
    "load": "prosper_ng.inference.stored",
    "plugin": "prosper_ng.components",
    "restore": "prosper_ng.running.restore",
    "run": "prosper_ng.running.run",
}
"""Where the names of the Python interface are defined; imported when they are used."""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
