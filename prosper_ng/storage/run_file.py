"""`run.h5`: what a run was told, what it came to, and where the numbers come from.

Layout, for plain h5py and MATLAB:

    /                         attributes, long ones as datasets: format, format_version, digest, n_rows, n_observed,
                              never_observed (columns of the data without any value), headline (the columns of the
                              history that people look at first, as JSON), and what else the run says of itself
    /config/resolved          the complete configuration as JSON
    /config/text              the configuration as the user wrote it
    /config/origins           where each value came from, as JSON
    /provenance               attributes, long texts as datasets; attempt-0002 below it for the second start
    /history/<column>         one entry for each sweep; NaN where nothing was recorded
    /parameters/latest/<name> the attribute role says what it is: dictionary, activity, noise or none of these
    /parameter_history/<name> (sweep, *shape) after the sweeps in /parameter_history/sweep; earlier versions kept them
                              as /parameters/sweep-000010/<name>
    /preprocessing/...        what was done to the rows: remove_mean, whiten; of whitened ones also mean (D,), matrix
                              and inverse (D, D): rows are learned from as (row - mean) @ matrix
    /plug_ins/<name>          of each plug-in that the run uses: made_with, kinds, sha256, and of a file its text
    /results/...              numbers, texts and arrays

Axes have names, as in netCDF-4: `D` columns of the data, `H` latents, `K` values of a latent, `sweep`. `/D` holds the
names of the columns, where there are any; else it holds nothing but its length, as `/H` does.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng import access
from prosper_ng.late_h5py import h5py
from prosper_ng.models.axes import Axes
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.storage import atomic, axes, hdf5, parameter_history
from prosper_ng.storage.history import History

NAME = "run.h5"
FORMAT = "prosper_ng run"
FORMAT_VERSION = 1

_LEAST_SECONDS = 5.0
_LARGEST_SHARE = 0.02
"""Of the wall time that may go into writing between checkpoints."""
_LONGEST_ATTRIBUTE = 4096


class StoredConfig(NamedTuple):
    """A configuration in the three ways it is kept."""

    resolved: Mapping[str, Any]
    """All values, defaults included."""
    text: str
    """As the user wrote it."""
    origins: Mapping[str, str]
    """Where each value came from, by its dotted name."""


class _Stamp(NamedTuple):
    inode: int
    n_bytes: int
    changed: int


class RunFile:
    """Writes run.h5; for root only.

    Everything is kept in memory until `flush`, which puts a new version of the whole file in the place of the old one:
    whenever the process dies, the file on disk is sound. `flush_when_due` spends at most 2 % of the time on it.
    """

    def __init__(
        self,
        folder: Path,
        config: StoredConfig,
        provenance: Mapping[str, str | int],
        attributes: Mapping[str, Any],
        history: History | None = None,
        name: str = NAME,
    ) -> None:
        """A new file, or the continuation of the one in `folder` where a history to go on from is given.

        On continuation the history on disk is replaced by the given one, which is that of the checkpoint, and what came
        after its last sweep is removed: results and kept parameters. A damaged file is set aside and begun anew; one
        that another program holds is gone on with once that lets it go. Raises CannotOpen where it cannot be read for
        another reason.
        """
        self.path = folder / name
        self.history = history or History()
        self.notes: list[str] = []
        """What the user should hear of."""
        self._attributes = {"format": FORMAT, "format_version": FORMAT_VERSION, **attributes}
        self._pending = dict(self._attributes)
        self._parameters: dict[str, NDArray[Any]] = {}
        self._kept: list[tuple[int, NamedArrays]] = []
        self._roles: Mapping[str, str] = {}
        self._axes: Mapping[str, Axes] = {}
        self._preprocessing: dict[str, Any] = {}
        self._plug_ins: dict[str, Any] = {}
        self._results: dict[str, Any] = {}
        self._config, self._provenance = config, provenance
        self._is_started = False
        """Whether this start is in the file."""
        self._n_written = 0
        self._flushed_at, self._flush_seconds = -np.inf, 0.0
        self._told: str | None = None
        self._continues, self._exists = history is not None, False
        """Whether a file of this run is to be gone on with, and whether there is one."""
        self._seen: _Stamp | None = None
        """What the file looked like when it was written or looked into last; None where it is to be looked into."""
        if history is not None:
            try:
                self._look()
            except access.InUse as error:
                self.notes.append(f"{error}; the run goes on, and brings it up to date then")

    def record(self, sweep: int, values: Mapping[str, float]) -> None:
        """Add an entry to the history."""
        self.history.append(sweep, values)

    def describe_parameters(self, roles: Mapping[str, str], axes: Mapping[str, Axes]) -> None:
        """Say what parameters are to others, and how their axes are called; see `models.roles` and `models.axes`."""
        self._roles, self._axes = roles, axes

    def set_parameters(self, params: NamedArrays, keep_as_sweep: int | None = None) -> None:
        """Replace the latest parameters, and keep a copy under the number of a sweep where one is given."""
        self._parameters = {name: params[name].copy() for name in params}
        if keep_as_sweep is not None:
            self._kept.append((keep_as_sweep, params.copy()))

    def set_attributes(self, **attributes: Any) -> None:
        """Set attributes of the file, such as `digest`."""
        self._attributes |= attributes
        self._pending |= attributes

    def set_preprocessing(self, preprocessing: Mapping[str, Any]) -> None:
        """Set what was done to the rows before they were learned from: numbers, texts and arrays."""
        self._preprocessing |= preprocessing

    def set_plug_ins(self, plug_ins: Mapping[str, Mapping[str, str]]) -> None:
        """Set the plug-ins that the run uses, by name."""
        self._plug_ins |= plug_ins

    def set_results(self, results: Mapping[str, Any]) -> None:
        """Add results: numbers, texts, arrays, and mappings of these; None is left out."""
        self._results |= results

    def flush_when_due(self) -> str | None:
        """Flush if the last time is long enough ago; what `flush` returns, but no sentence twice in a row."""
        pause = max(_LEAST_SECONDS, self._flush_seconds / _LARGEST_SHARE)
        if time.monotonic() - self._flushed_at < pause:
            return None
        before, self._told = self._told, self.flush()
        return None if self._told == before else self._told

    def flush(self) -> str | None:
        """None once everything is on disk, else a sentence on why it is not; then nothing is lost for the next time.

        A file that was damaged or removed since the last time is begun anew, and a sentence says so.
        """
        begun = time.monotonic()
        n_notes = len(self.notes)
        try:
            self._replace()
        except (OSError, RuntimeError) as error:  # h5py raises either where a file is damaged
            return f"{self.path} was not brought up to date: {error}"
        finally:
            self._flushed_at = time.monotonic()
            self._flush_seconds = self._flushed_at - begun
        self._exists, self._is_started, self._n_written = True, True, len(self.history)
        for pending in (self._pending, self._kept, self._preprocessing, self._plug_ins, self._results):
            pending.clear()
        return "; ".join(self.notes[n_notes:]) or None

    def _replace(self) -> None:
        if self._continues and self._seen != _stamp(self.path):
            self._look()
        with atomic.replacing(self.path) as temporary:
            if self._exists:
                hdf5.copy(self.path, temporary)
            with hdf5.written(temporary, "r+" if self._exists else "w") as file:
                self._write(file)
        self._continues, self._seen = True, _stamp(self.path)

    def _look(self) -> None:
        """Find out whether the file of the run so far can be gone on with; a damaged one is set aside.

        Raises CannotOpen where that cannot be told now.
        """
        self._exists = self._is_sound()
        if not self._exists:
            self._is_started, self._n_written = False, 0
            self._pending = dict(self._attributes)
        self._seen = _stamp(self.path)

    def _is_sound(self) -> bool:
        if access.kind(self.path) is None:
            self.notes.append(f"{self.path} is missing; it is begun anew, with the history so far")
            return False
        try:
            with hdf5.opened(self.path) as file:
                hdf5.read_through(file)
                _check_layout(file, self._n_written)
        except access.CannotOpen:
            raise
        except (OSError, ValueError, TypeError) as error:
            aside = self.path.with_name(f"{NAME}.bad")
            self.path.replace(aside)
            self.notes.append(
                f"{self.path} is damaged ({error}); it was renamed to {aside.name} and is begun anew, "
                "with the history so far"
            )
            return False
        return True

    def _write(self, file: h5py.File) -> None:
        if not self._is_started:
            self._forget_the_future(file)
            _write_config(file, self._config)
            n_starts = 1 + sum(name.startswith("attempt-") for name in file.get("provenance", ()))
            first = "provenance" not in file
            path = "provenance" if first else f"provenance/attempt-{n_starts + 1:04d}"
            _write_provenance(file, path, self._provenance)
        _write_attributes(file, self._pending)
        for name, values in self.history.columns(self._n_written).items():
            hdf5.extend(file, f"history/{name}", self._n_written, values)
        axes.become_scale(file["history/sweep"])
        for name, array in self._parameters.items():
            path = f"parameters/latest/{name}"
            _put(file, path, array)
            role = self._roles.get(name)
            if role is not None and file[path].attrs.get("role") != role:
                file[path].attrs["role"] = role
        parameter_history.append(file, self._kept)
        _put_all(file, "preprocessing", self._preprocessing)
        _put_all(file, "plug_ins", self._plug_ins)
        _put_all(file, "results", self._results)
        names = self._attributes.get("column_names")
        axes.name_all(file, self._axes_of, {} if names is None else {self._columns: json.loads(names)})

    @property
    def _columns(self) -> str:
        """How the axis of the columns of the data is called."""
        return "n_observed" if any("n_observed" in own for own in self._axes.values()) else "D"

    def _axes_of(self, path: str, n_axes: int) -> Axes | None:
        """How the axes of the array at this path are called, where that is known."""
        group, _, name = path.rpartition("/")
        if group == "history":
            return (axes.SWEEP,)
        if group == parameter_history.GROUP:
            return (axes.SWEEP, *self._axes.get(name, axes.unknown(name, n_axes - 1)))
        if group.startswith("parameters/"):
            return self._axes.get(name)
        if group == "results/truth":
            # What was looked for has columns in common with the data, and numbers of its own of all else.
            return tuple(axis if axis == self._columns else f"{axis}_true" for axis in self._axes.get(name, ())) or None
        if path == "results/dictionary":
            return next((self._axes.get(each) for each, role in self._roles.items() if role == name), None)
        return axes.KNOWN.get(path) or axes.KNOWN.get(group)

    def _forget_the_future(self, file: h5py.File) -> None:
        """Remove what a run wrote after the checkpoint that it is continued from."""
        columns = self.history.columns()
        stale = parameter_history.forget_after(file, max(columns["sweep"], default=0))
        stale += [f"history/{name}" for name in file.get("history", ()) if name not in columns]
        for path in [*stale, "results"]:
            if path in file:
                axes.remove(file, path)
        file.attrs.pop("digest", None)


def _stamp(path: Path) -> _Stamp | None:
    """What tells one version of a file from another; None where there is none, or it cannot be told."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def _check_layout(file: h5py.File, n_written: int) -> None:
    """Raise ValueError or OSError where a sound file is none that a run can go on with, after so many sweeps."""
    for name in ("config", "provenance", "history", "parameters", "preprocessing", "plug_ins", "results"):
        if name in file and not isinstance(file[name], h5py.Group):
            raise ValueError(f"{name} is no group")
    for name, column in file.get("history", {}).items():
        is_column = isinstance(column, h5py.Dataset) and column.maxshape == (None,) and column.dtype == np.float64
        if not is_column:
            raise ValueError(f"history/{name} is no column of numbers that can grow")
        if len(column) < n_written:
            raise ValueError(f"history/{name} was shortened by another program")
    if n_written and not ("history" in file and "config" in file):
        raise ValueError("its history or configuration was removed by another program")
    for name in file.get("parameters", ()):
        if not re.fullmatch(r"latest|sweep-\d+", name) or not isinstance(file["parameters"][name], h5py.Group):
            raise ValueError(f"parameters/{name} holds no parameters")
    parameter_history.check(file)


def _write_config(file: h5py.File, config: StoredConfig) -> None:
    texts = {"resolved": json.dumps(config.resolved), "text": config.text, "origins": json.dumps(dict(config.origins))}
    for name, text in texts.items():
        _put(file, f"config/{name}", text)


def _write_provenance(file: h5py.File, path: str, provenance: Mapping[str, str | int]) -> None:
    _write_attributes(file.create_group(path), provenance)


def _write_attributes(group: h5py.Group, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        # HDF5 has no room for long texts and arrays in an attribute.
        length = value.nbytes if isinstance(value, np.ndarray) else len(str(value))
        if length > _LONGEST_ATTRIBUTE:
            _put(group, name, value)
        elif value is not None:
            group.attrs[name] = hdf5.storable(value)


def _put_all(group: h5py.Group, path: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _put_all(group, f"{path}/{name}", value)
        elif value is not None:
            _put(group, f"{path}/{name}", value)


def _put(group: h5py.Group, path: str, value: Any) -> None:
    """Write one dataset, in place where it has this shape already: HDF5 does not give back what is removed."""
    array = hdf5.storable(value) if isinstance(value, str) else np.asarray(value)
    if path in group:
        dataset = group[path]
        if not isinstance(array, str) and (dataset.shape, dataset.dtype) == (array.shape, array.dtype):
            dataset[...] = array
            return
        axes.remove(group.file, f"{group.name}/{path}")
    checked = not isinstance(array, str) and array.size > 0 and array.ndim > 0
    group.create_dataset(path, data=array, fletcher32=True) if checked else group.create_dataset(path, data=array)
