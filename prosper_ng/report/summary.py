"""A run in a few numbers."""

import math
from typing import Any

import numpy as np

from prosper_ng.models.rounding import is_rounding
from prosper_ng.storage.run_record import RunRecord

_SILENT_AFTER = 600.0
"""Seconds without a sign after which a running run is said to be silent."""


def summary(record: RunRecord) -> dict[str, Any]:
    """What a run came to, as strict JSON.

    `state`, `iterations`, `n_iterations`, `free_energy` (per row), `digest`, `parameters` (scalars in full, of arrays
    shape, min, max and mean), `psnr`, `ssim`, `recovered` and other small results where known; what is not known is
    null.
    """
    status = record.status
    # A run writes its status after every sweep, run.h5 less often.
    is_ahead = status is not None and status.iteration > record.sweeps
    found: dict[str, Any] = {
        "name": record.attributes.get("name"),
        "state": status.state if status else None,
        "reason": status.reason if status else record.status_trouble,
        "iterations": status.iteration if status and is_ahead else record.sweeps,
        "n_iterations": status.n_iterations if status else None,
        "free_energy": status.free_energy if status and is_ahead else record.last("free_energy"),
        "digest": record.attributes.get("digest") or (status.digest if status else None),
        "parameters": {name: _parameter(value) for name, value in record.parameters.items()},
    }
    found |= {name: small for name, value in record.results.items() if (small := _small(value)) is not None}
    if status is not None:
        found |= {"host": status.host, "job": status.job, "attempt": status.attempt, "heartbeat": status.heartbeat}
    return _finite(found)


def silence(record: RunRecord) -> float | None:
    """Seconds since a run that says it is running gave a sign, where these are suspiciously many; else None."""
    status = record.status
    if status is None or status.state != "running" or status.heartbeat_age() < _SILENT_AFTER:
        return None
    return status.heartbeat_age()


def _parameter(value: Any) -> Any:
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    if array.size == 0:
        return {"shape": list(array.shape)}
    return {
        "shape": list(array.shape),
        "min": float(array.min()),
        "max": float(array.max()),
        "mean": 0.0 if is_rounding(array.mean(), np.abs(array).max()) else float(array.mean()),
    }


def _small(value: Any) -> Any:
    """A result without its arrays; None where nothing is left."""
    if isinstance(value, dict):
        return {name: small for name, item in value.items() if (small := _small(item)) is not None} or None
    return value if isinstance(value, int | float | str) else None


def _finite(value: Any) -> Any:
    """The value with null in the place of what is no number in JSON."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
