"""What a run folder says about its run."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from prosper_ng import __version__, access
from prosper_ng.config import ConfigError
from prosper_ng.data.dataset import NO_COLUMNS, Columns, require_memory
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.errors import UserError
from prosper_ng.late_h5py import h5py
from prosper_ng.storage import hdf5, parameter_history, run_file
from prosper_ng.storage.foreign import other_content, other_file
from prosper_ng.storage.status import Status, StatusError, read_status

ALL_ROWS = "all_rows"
"""Of the results: how well all rows are explained, where a coreset of them was learned from."""
_COURSE = {"sweep", "temperature", "data_pruning", "settled", "n_rows_used", "n_accepted"}
"""Columns of the history that say where in its course a run is, not what came out."""

T = TypeVar("T")
Floats = NDArray[np.float64]

_FORMER_ROLES = {"W": "dictionary", "pi": "activity", "sigma": "noise", "Sigma": "noise"}
"""What parameters are in files of earlier versions, which did not say so."""


class RunFileError(UserError):
    """There is no run to read, or it cannot be read."""


class Unreachable(RunFileError):
    """The run may be sound, but cannot be read just now."""


@dataclass(frozen=True)
class RunRecord:
    """All of run.h5 but for the parameters of earlier sweeps, and the status next to it."""

    path: Path
    attributes: dict[str, Any]
    """name, n_rows, n_observed, never_observed, patch_shape, column_names, digest and whatever else the run says of
    itself.
    """
    config: dict[str, Any]
    """The complete configuration."""
    config_text: str
    """The configuration as the user wrote it."""
    origins: dict[str, str]
    """Where each value of the configuration came from."""
    provenance: dict[str, Any]
    """Of the first start; of the second one under `attempt-0002`, and so on."""
    history: dict[str, Floats]
    """Columns of equal length, one entry for each sweep."""
    parameters: dict[str, Floats]
    """The latest."""
    roles: dict[str, str]
    """What each of them is: `dictionary`, `activity`, `noise`, or nothing of these."""
    kept_sweeps: list[int]
    """Sweeps after which parameters were kept; see `params_history`."""
    results: dict[str, Any]
    plug_ins: dict[str, dict[str, str]]
    """Those that the run uses, by name: made_with, kinds, sha256, and of a file its text."""
    status: Status | None
    """None where there is none, or it cannot be read."""
    status_trouble: str | None = None
    """Why the status cannot be read."""

    @property
    def sweeps(self) -> int:
        """Sweeps done, as far as the file knows."""
        return int(max(self.history.get("sweep", ()), default=0))

    @property
    def writer(self) -> str:
        """The program that wrote it last, with its version."""
        attempts = sorted(name for name in self.provenance if name.startswith("attempt-"))
        last = self.provenance[attempts[-1]] if attempts else self.provenance
        return f"prosper_ng {last.get('prosper_ng', 'of unknown version')}"

    @property
    def never_observed(self) -> Columns:
        """Columns of the data of which the model knows nothing; none where the run is too old to say so.

        Raises RunFileError where they are none of the data.
        """
        n_observed = self.attributes.get("n_observed", 0)
        columns = np.atleast_1d(self.attributes.get("never_observed", NO_COLUMNS))
        if columns.dtype.kind not in "iu" or columns.ndim != 1 or not ((columns >= 0) & (columns < n_observed)).all():
            raise RunFileError(f"{self.path} is damaged: never_observed holds no columns from 0 to {n_observed - 1}")
        return columns.astype(np.intp)

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Those of the data; None where they have none. RunFileError where they are not one for each column."""
        stored = self.attributes.get("column_names")
        if stored is None:
            return None
        try:
            names = json.loads(stored)
        except (TypeError, ValueError):
            names = None
        if not isinstance(names, list) or len(names) != self.attributes.get("n_observed"):
            raise RunFileError(f"{self.path} is damaged: column_names holds no name for each column of the data")
        return tuple(map(str, names))

    def of_role(self, role: str) -> str | None:
        """The first parameter of a role; None where the run has none."""
        return next((name for name, own in self.roles.items() if own == role), None)

    @property
    def headline(self) -> dict[str, str]:
        """The columns of the history that people look at first, each with the role of its parameter."""
        stored = self.attributes.get("headline")
        if stored is None:
            columns = [column for name in ("sigma", "pi") for column in (name, f"{name}_mean")]
            return {column: _FORMER_ROLES[parameter_of(column)] for column in columns if column in self.history}
        try:
            columns = [str(column) for column in json.loads(stored)]
        except (TypeError, ValueError) as error:
            raise RunFileError(f"{self.path} is damaged: headline holds no names of columns") from error
        return {column: self.roles.get(parameter_of(column), "") for column in columns}

    def last(self, column: str) -> float | None:
        """The last number of a column of the history, None where there is none."""
        values = self.history.get(column, np.empty(0))
        known = values[np.isfinite(values)]
        return float(known[-1]) if known.size else None

    def params_history(self) -> dict[str, NDArray[Any]]:
        """`sweep` (n,), the sweeps after which parameters were kept, and each parameter (n, *shape) after them.

        Empty where none were kept. They are read now; RunFileError where they cannot be, DataError where they do not
        fit into memory.
        """
        return _reading(self.path, parameter_history.read)

    def preprocessing(self) -> Preprocessing | None:
        """What was done to the rows before they were learned from; None where rows were whitened by an earlier version,
        which kept no whitening. RunFileError where it is damaged.
        """
        found = _reading(self.path, lambda file: _preprocessing(file, self.attributes))
        source = self.config.get("data")
        settings = source if isinstance(source, dict) else {}
        if found is None and settings.get("whiten", "none") == "none":
            return Preprocessing(bool(settings.get("remove_mean", False)))
        return found


def parameter_of(column: str) -> str:
    """The parameter that a column of the history tells of, which may hold means."""
    return column.removesuffix("_mean")


def read_run(folder: Path) -> RunRecord:
    """The run in a folder, or of a run.h5 itself; RunFileError in one sentence where there is none or it is damaged."""
    path = _run_file(folder)
    status, trouble = None, None
    try:
        status = read_status(path.parent)
    except StatusError as error:
        trouble = str(error)
    return _reading(path, lambda file: _record(path, file, status, trouble))


def not_of_this_version(path: Path, writer: str, error: ConfigError) -> UserError:
    """The error that the configuration in a run's file says what this version does not know."""
    return UserError(
        f"{path} was written by {writer}, and its configuration is none of prosper_ng {__version__}: "
        f"{error.mistakes[0].message}"
    )


def last_numbers(record: RunRecord) -> dict[str, float]:
    """What a run came to, as flat names and numbers: the last known number of each column of the history that measures
    something, and the single numbers among the results, such as `psnr_after`.

    `n_evaluated` counts over all sweeps. Where elements of a true dictionary were looked for, `recovered_all` is 1 for
    a run that found all of them, else 0.
    """
    return numbers_of(record.history, record.results)


def numbers_of(history: Mapping[str, Floats], results: Mapping[str, Any]) -> dict[str, float]:
    """See `last_numbers`."""
    found: dict[str, float] = {}
    for name, values in history.items():
        known = values[np.isfinite(values)]
        if known.size and measures(name):
            found[name] = float(known.sum() if name == "n_evaluated" else known[-1])
    for name, result in results.items():
        if name != "truth":
            found |= _numbers_in(name, result)
    if "recovered_found" in found:
        found["recovered_all"] = float(found["recovered_found"] == found["recovered_of"])
    return found


def measures(column: str) -> bool:
    """Whether a column of the history says what came out, rather than where in its course a run is."""
    return column not in _COURSE and not column.startswith("seconds_")


def _numbers_in(name: str, value: Any) -> dict[str, float]:
    """The single numbers in a result, by names with underscores."""
    if isinstance(value, dict):
        return {
            key: number for part, item in value.items() for key, number in _numbers_in(f"{name}_{part}", item).items()
        }
    return {name: float(value)} if isinstance(value, int | float) else {}


def _reading(path: Path, read: Callable[[h5py.File], T]) -> T:
    try:
        with hdf5.opened(path) as file:
            return read(file)
    except access.CannotOpen as error:
        raise Unreachable(str(error)) from error
    except UserError:
        raise  # what is wrong has been said
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        said = other_file(path) or f"{path} is damaged or no file of a run: {reason}"
        raise RunFileError(said) from error


def _run_file(folder: Path) -> Path:
    """The run.h5 of a folder, or the file itself; RunFileError where there is none."""
    try:
        mode = access.kind(folder)
        path = folder if mode is not None and stat.S_ISREG(mode) else folder / run_file.NAME
        found = access.kind(path)
    except access.CannotOpen as error:
        raise Unreachable(str(error)) from error
    except OSError as error:
        raise RunFileError(f"{folder} cannot be looked into: {error.strerror}") from error
    if found is None or not (stat.S_ISREG(found) or stat.S_ISDIR(found)):
        raise RunFileError(_absence(folder))
    return path


def _record(path: Path, file: h5py.File, status: Status | None, trouble: str | None) -> RunRecord:
    attributes = _attributes(file) | _values({name: each for name, each in file.items() if _is_array(each)})
    if attributes.get("format") != run_file.FORMAT:
        raise RunFileError(other_content(path, file))
    version = attributes["format_version"]
    if version > run_file.FORMAT_VERSION:
        raise RunFileError(
            f"{path} has format {version}, and this version of prosper_ng reads up to {run_file.FORMAT_VERSION}: "
            "update prosper_ng"
        )
    names = list(file.get("parameters", ()))
    latest = file["parameters/latest"] if "latest" in names else {}
    return RunRecord(
        path=path,
        attributes=attributes,
        config=dict(json.loads(file["config/resolved"].asstr()[()])),
        config_text=file["config/text"].asstr()[()],
        origins=dict(json.loads(file["config/origins"].asstr()[()])),
        provenance=_provenance(file["provenance"]),
        history=_values(file["history"]),
        parameters=_values(latest),
        roles=_roles(latest),
        kept_sweeps=parameter_history.sweeps(file),
        results=_values(file["results"]) if "results" in file else {},
        plug_ins=_plug_ins(file),
        status=status,
        status_trouble=trouble,
    )


def _preprocessing(file: h5py.File, attributes: dict[str, Any]) -> Preprocessing | None:
    if "preprocessing" not in file:
        return None
    return Preprocessing.from_arrays(_values(file["preprocessing"]), int(attributes.get("n_observed", 0)))


def _roles(parameters: h5py.Group | dict[str, Any]) -> dict[str, str]:
    """What the parameters are; by their names where a file is too old to say so."""
    roles = {name: str(item.attrs["role"]) for name, item in parameters.items() if "role" in item.attrs}
    arrays = (name for name, item in parameters.items() if not hdf5.is_length(item))
    return roles or {name: _FORMER_ROLES.get(name, "") for name in arrays}


def _plug_ins(file: h5py.File) -> dict[str, dict[str, str]]:
    found = _values(file["plug_ins"]) if "plug_ins" in file else {}
    for name, plug_in in found.items():
        if not all(isinstance(plug_in.get(key), str) for key in ("made_with", "kinds", "sha256")):
            raise ValueError(f"plug_ins/{name} does not tell of a plug-in")
    return found


def _attributes(group: h5py.Group) -> dict[str, Any]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in group.attrs.items()}


def _provenance(group: h5py.Group) -> dict[str, Any]:
    later = {name: _provenance(item) for name, item in group.items() if isinstance(item, h5py.Group)}
    return {**_attributes(group), **_values(group), **later}


def _is_array(item: object) -> bool:
    return isinstance(item, h5py.Dataset) and not hdf5.is_scale(item)


def _values(group: h5py.Group | dict[str, h5py.Dataset]) -> dict[str, Any]:
    """The datasets below a group: texts as str, numbers as numbers, arrays as arrays, groups as mappings."""
    found: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            found[name] = _values(item)
        elif hdf5.is_length(item):
            continue
        elif not isinstance(item, h5py.Dataset):
            raise ValueError(f"{item.name} is neither a group nor a dataset")
        elif h5py.check_string_dtype(item.dtype) is not None:
            found[name] = item.asstr()[()]
        else:
            if item.dtype.kind not in "biuf":
                raise ValueError(f"{item.name} holds {item.dtype}, not numbers")
            require_memory(item.nbytes, f"{item.name} of {item.file.filename}")
            value = item[()]
            found[name] = value.item() if isinstance(value, np.generic) else value
    return found


def _absence(folder: Path) -> str:
    """What to say where there is no run.h5."""
    if not folder.exists():
        return f"there is no run folder {folder}"
    runs = sorted(each.parent.name for each in folder.glob(f"*/{run_file.NAME}"))
    if runs:
        more = ", ..." if len(runs) > 5 else ""
        return f"{folder} holds no {run_file.NAME}, but its folders {', '.join(runs[:5])}{more} do: name one of these"
    return f"{folder} is not the folder of a run: it holds no {run_file.NAME}"
