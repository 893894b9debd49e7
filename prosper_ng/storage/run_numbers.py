"""What a run came to, as numbers by name, without reading all of its file: a campaign has thousands of runs.

A finished run has them in its status. Of others, and those of earlier versions, the history and the single numbers
among the results are read.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.late_h5py import h5py
from prosper_ng.storage import hdf5, run_file
from prosper_ng.storage.run_record import last_numbers, measures, numbers_of, parameter_of, read_run
from prosper_ng.storage.status import Status


class RunNumbers(NamedTuple):
    """What a run came to."""

    numbers: dict[str, float]
    """See `run_record.last_numbers`."""
    noise: list[str]
    """Which of them are its noise level."""


def run_numbers(folder: Path, status: Status) -> RunNumbers:
    """The numbers of the run in a folder; RunFileError where its file has to be read, and cannot be."""
    if status.state == "finished" and status.numbers is not None:
        return RunNumbers(status.numbers, status.noise)
    found = read_numbers(folder)
    if found is None:
        record = read_run(folder)
        found = RunNumbers(last_numbers(record), [name for name, role in record.headline.items() if role == "noise"])
    return found


def read_numbers(folder: Path) -> RunNumbers | None:
    """The numbers in the run.h5 of a folder; None where it is not as this version writes it, or not sound."""
    try:
        with hdf5.opened(folder / run_file.NAME, whole=False) as file:
            about = file.attrs
            if about["format"] != run_file.FORMAT or about["format_version"] > run_file.FORMAT_VERSION:
                return None
            numbers = numbers_of(_numbers(file.id, b"history", n_axes=1), _numbers(file.id, b"results", n_axes=0))
            return RunNumbers(numbers, [name for name in json.loads(about["headline"]) if _is_noise(file, name)])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def in_status(found: RunNumbers | None) -> dict[str, Any]:
    """The fields of a status that hold them; none where one is no number that JSON has."""
    if found is None or not all(math.isfinite(number) for number in found.numbers.values()):
        return {}
    return found._asdict()


def _is_noise(file: h5py.File, column: str) -> bool:
    role = file["parameters/latest"][parameter_of(column)].attrs["role"]
    return bool(role == "noise")


def _numbers(parent: Any, name: bytes, n_axes: int) -> dict[str, Any]:
    """The columns of a history, which have one axis, or the numbers that stand alone in a group and those below it."""
    found: dict[str, Any] = {}
    if name not in parent:
        return found
    group = h5py.h5g.open(parent, _own(parent, name))
    for key in h5py.Group(group):
        if n_axes and not measures(key):
            continue
        link = key.encode()
        item = h5py.h5o.open(group, _own(group, link))
        if isinstance(item, h5py.h5g.GroupID):
            found[key] = _numbers(group, link, n_axes)
        elif isinstance(item, h5py.h5d.DatasetID) and item.rank == n_axes and (dtype := item.dtype).kind in "biuf":
            hdf5.require_own_numbers(item)
            values = np.empty(item.shape, dtype)
            item.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
            found[key] = values if n_axes else values.item()
    return found


def _own(group: Any, name: bytes) -> bytes:
    """The name, where what it names lies in this file."""
    if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{name!r} is a link to somewhere else")
    return name
