"""The endings of results, and what each makes of them: one table.

Every result is first written as HDF5, block by block as the ranks bring it. What another ending asks for is made from
that file by root, a block at a time where the format allows: its bytes and its memory do not depend on ranks either.
"""

from __future__ import annotations

import csv
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prosper_ng.data.images import save_picture
from prosper_ng.errors import UserError
from prosper_ng.late_h5py import h5py

ATTRIBUTES = "attributes"
"""The name, in formats that hold several arrays, of what HDF5 keeps as attributes."""
_OF_DATA = ("filled", "prediction", "rows")
"""Arrays whose columns are those of the data."""
_BLOCK_BYTES = 1 << 24
_LARGEST_MAT = (1 << 31) - 1
_NAME_IN_MAT = re.compile(r"[A-Za-z]\w{0,62}", re.ASCII)
_HEADER_OF_MAT = b"MATLAB 5.0 MAT-file written by prosper_ng".ljust(116)
"""In the place of the date, so that the same results are the same bytes."""


class Format(NamedTuple):
    """What is written into a file of some ending."""

    write: Callable[[h5py.File, str, Path], None] | None
    """Makes it from the file in HDF5 and the name of the main array there; None for HDF5 itself."""
    holds_one: bool = False
    """Whether it holds the main array and nothing else."""
    is_table: bool = False
    """Whether that must be a table of rows and columns."""
    is_picture: bool = False


def format_of(path: Path, has_picture: bool = False) -> Format:
    """What the ending of a file asks for. Raises UserError with all endings where there is no such format.

    `has_picture` says whether pictures may be among them.
    """
    require_no_folder(path)
    found = FORMATS.get(path.suffix.lower())
    if found is not None and (has_picture or not found.is_picture):
        return found
    if found is not None:
        raise UserError(f"{path}: {path.suffix} is a picture, and only `reconstruct` makes one; {_legal(False)}")
    what = f"ends in {path.suffix}, which no format of results has" if path.suffix else "has no ending"
    raise UserError(f"{path} {what}; {_legal(has_picture)}")


def require_no_folder(path: Path) -> None:
    """Raise UserError where a folder is in the place of a file to be written."""
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder; give the name of a file to write")


def require_fit(path: Path, form: Format, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Raise UserError where a file of this format cannot hold an array; `name` is that of the array."""
    if form.is_table and not (len(shape) <= 2 or (len(shape) == 3 and shape[2] == 1)):
        raise UserError(
            f"{path}: {path.suffix} holds a table of rows and columns, and {name} has the shape {shape}; choose .npy "
            "or .h5" + (", or a picture such as .png" if name == "image" else "")
        )
    if form.write is _write_mat:
        words = name.split("/")
        if not all(map(_NAME_IN_MAT.fullmatch, words)):
            raise UserError(
                f"{path}: MATLAB has no names like {name}, but letters, digits and _, up to 63 of them and a letter "
                "first; choose .h5 or .npz"
            )
        n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
        if n_bytes > _LARGEST_MAT:
            raise UserError(
                f"{path}: {name} of shape {shape} takes {n_bytes:,} bytes, and a .mat file holds arrays below 2 GiB; "
                "choose .h5, which MATLAB reads as well"
            )


def _legal(has_picture: bool) -> str:
    legal = [ending for ending, form in FORMATS.items() if has_picture or not form.is_picture]
    return f"legal are {', '.join(legal[:-1])} and {legal[-1]}"


def _blocks(item: h5py.Dataset) -> Iterator[NDArray[Any]]:
    """The values of an array, some rows at a time."""
    if item.ndim == 0 or item.size == 0:
        yield np.asarray(item[()])
        return
    n_rows = max(1, _BLOCK_BYTES * len(item) // max(item.nbytes, 1))
    for start in range(0, len(item), n_rows):
        yield item[start : start + n_rows]


def _arrays(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All datasets by their names."""
    found: dict[str, h5py.Dataset] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


def _about(file: h5py.File) -> dict[str, Any]:
    """The attributes as JSON has them."""
    return {
        name: value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        for name, value in sorted(file.attrs.items())
    }


def _text_of(item: h5py.Dataset) -> str | None:
    """What a dataset says that holds a text; None for numbers."""
    return item.asstr()[()] if h5py.check_string_dtype(item.dtype) is not None else None


def _column_names(file: h5py.File) -> list[str]:
    """The names of the columns of the data, where they have any: the first line of a table of them."""
    note = file.get("notes/column_names")
    stored = file.attrs.get("column_names", "[]") if note is None else _text_of(note)
    return list(json.loads(str(stored)))


def _put_npy(stream: IO[bytes], item: h5py.Dataset) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(item.dtype), "fortran_order": False, "shape": item.shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for block in _blocks(item):
        stream.write(np.ascontiguousarray(block).tobytes())


def _write_npy(file: h5py.File, name: str, path: Path) -> None:
    with path.open("wb") as stream:
        _put_npy(stream, file[name])
        _sync(stream)


def _write_npz(file: h5py.File, name: str, path: Path) -> None:
    with path.open("wb") as stream:
        with zipfile.ZipFile(stream, "w") as archive:

            def entry(key: str) -> Any:
                return archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True)

            for key, item in _arrays(file).items():
                with entry(key) as member:
                    text = _text_of(item)
                    _put_npy(member, item) if text is None else np.lib.format.write_array(member, np.array(text))
            with entry(ATTRIBUTES) as member:
                np.lib.format.write_array(member, np.array(json.dumps(_about(file))))
        _sync(stream)


def _write_mat(file: h5py.File, name: str, path: Path) -> None:
    import scipy.io

    content: dict[str, Any] = {ATTRIBUTES: {key.replace("-", "_"): value for key, value in _about(file).items()}}
    for key, item in _arrays(file).items():
        *groups, last = key.split("/")
        place = content
        for group in groups:
            place = place.setdefault(group, {})
        text = _text_of(item)
        place[last] = item[()] if text is None else text
    with path.open("w+b") as stream:
        scipy.io.savemat(stream, content, long_field_names=True, oned_as="column")
        stream.seek(0)
        stream.write(_HEADER_OF_MAT)
        _sync(stream)


def _write_table(separator: str) -> Callable[[h5py.File, str, Path], None]:
    def write(file: h5py.File, name: str, path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as stream:
            names = _column_names(file)
            if name in _OF_DATA and file[name].shape[1:] == (len(names),):
                csv.writer(stream, delimiter=separator, lineterminator="\n").writerow(names)
            for block in _blocks(file[name]):
                for row in block.reshape(len(block), -1).tolist():
                    # The shortest decimals that are read as the same numbers.
                    stream.write(separator.join(map(repr, row)) + "\n")
            _sync(stream)

    return write


def _write_picture(ending: str) -> Callable[[h5py.File, str, Path], None]:
    def write(file: h5py.File, name: str, path: Path) -> None:
        save_picture(path, file[name][()], ending)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())

    return write


def _sync(stream: IO[Any]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


FORMATS = {
    ".h5": Format(None),
    ".hdf5": Format(None),
    ".npz": Format(_write_npz),
    ".mat": Format(_write_mat),
    ".npy": Format(_write_npy, holds_one=True),
    ".csv": Format(_write_table(","), holds_one=True, is_table=True),
    ".tsv": Format(_write_table("\t"), holds_one=True, is_table=True),
    ".txt": Format(_write_table(" "), holds_one=True, is_table=True),
} | {
    ending: Format(_write_picture(ending), holds_one=True, is_picture=True)
    for ending in (".png", ".tif", ".tiff", ".jpg", ".jpeg")
}
"""By the ending of the name of a file, in small letters."""
