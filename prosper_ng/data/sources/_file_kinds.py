"""What a file is, told from its first bytes: pointers and pages that came in the place of data, and other formats."""

from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

N_BYTES = 512
"""So many bytes of the start of a file tell what it is."""
_HEADER_BYTES = 64
"""Formats of numbers have no headers that are zero for so long."""


class _Format(NamedTuple):
    kind: str
    starts: tuple[bytes, ...]
    what: str
    advice: str


def _packed(how: str, command: str) -> tuple[str, str]:
    return f"a file compressed by {how}", f"unpack it first: {command}"


_MATLAB = ("a MATLAB file", "say `kind: mat`, and which `variable`")
_IMAGE = ("an image", "say `kind: image`, and the path as `image`")
_FORMATS = tuple(
    _Format(*each)
    for each in (
        ("hdf5", (b"\x89HDF\r\n\x1a\n",), "an HDF5 file", "say `kind: hdf5`, and which `dataset`"),
        ("npy", (b"\x93NUMPY",), "a file of numpy.save", "say `kind: npy`"),
        ("npz", (b"PK\3\4", b"PK\5\6"), "a ZIP archive", "if numpy.savez wrote it, say `kind: npz` and which `array`"),
        ("mat", (b"MATLAB 5", b"MATLAB 7.0"), *_MATLAB),
        ("mat 7.3", (b"MATLAB 7.3",), *_MATLAB),
        (
            "netcdf classic",
            (b"CDF\1", b"CDF\2", b"CDF\5"),
            "a netCDF file of the classic format",
            "convert it with `nccopy -k nc4 OLD NEW`, or in Python with xarray.open_dataset(OLD).to_netcdf(NEW, "
            "engine='h5netcdf'), and say `kind: hdf5`",
        ),
        ("hdf4", (b"\x0e\x03\x13\x01",), "an HDF4 file", "convert it with `h4toh5 OLD NEW`, and say `kind: hdf5`"),
        ("gzip", (b"\x1f\x8b",), *_packed("gzip", "gunzip FILE")),
        ("bzip2", (b"BZh",), *_packed("bzip2", "bunzip2 FILE")),
        ("xz", (b"\xfd7zXZ\0",), *_packed("xz", "unxz FILE")),
        ("zstd", (b"\x28\xb5\x2f\xfd",), *_packed("zstd", "unzstd FILE")),
        ("lz4", (b"\x04\x22\x4d\x18",), *_packed("lz4", "unlz4 FILE")),
        ("7z", (b"7z\xbc\xaf\x27\x1c",), *_packed("7-Zip", "7z x FILE")),
        (
            "pickle",
            (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"),
            "a pickle, which could run any program when loaded",
            "save the array with numpy.save",
        ),
        ("parquet", (b"PAR1",), "a Parquet file", "numpy.save('NEW.npy', pandas.read_parquet(OLD).to_numpy())"),
        ("arrow", (b"ARROW1", b"FEA1"), "an Arrow file", "numpy.save('NEW.npy', pandas.read_feather(OLD).to_numpy())"),
        ("fits", (b"SIMPLE  =",), "a FITS file", "numpy.save('NEW.npy', astropy.io.fits.getdata(OLD))"),
        ("excel", (b"\xd0\xcf\x11\xe0",), "an Excel file", "numpy.save('NEW.npy', pandas.read_excel(OLD).to_numpy())"),
        ("sqlite", (b"SQLite format 3",), "a database of SQLite", "save the numbers with numpy.save"),
        ("pdf", (b"%PDF",), "a PDF document", "give the file of numbers"),
        ("png", (b"\x89PNG",), *_IMAGE),
        ("jpeg", (b"\xff\xd8\xff",), *_IMAGE),
        ("tiff", (b"II*\0", b"MM\0*"), *_IMAGE),
        ("gif", (b"GIF8",), *_IMAGE),
        ("xml", (b"<?xml",), "XML", "is it an error of the server that it was downloaded from?"),
        ("json", (b'{"',), "JSON", "is it an error of the server that it was downloaded from?"),
    )
)


def stand_in(start: bytes, path: Path) -> str | None:
    """Why a file that begins so is no file of data at all, as a sentence: a pointer to one, or a web page."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"version https://git-lfs."):
        return f"{path} is a Git LFS pointer, not the file itself, which `git lfs pull` brings"
    link = start.split(b"\n")[0] if len(start) < N_BYTES else b""
    if text.startswith(b"/annex/objects/") or b".git/annex/objects/" in link:
        return f"{path} is a pointer of git-annex, not the file itself, which `git annex get {path}` brings"
    if text.startswith(b"outs:\n") and b"md5:" in text:
        return f"{path} is a pointer of DVC, not the file itself, which `dvc pull {path}` brings"
    if text.startswith((b"<!doctype html", b"<html")):
        return (
            f"{path} is a web page, as servers send it in the place of a file (for signing in, or with an error); "
            "download the file itself"
        )
    return None


def other_format(start: bytes, expected: Container[str]) -> str | None:
    """What a file that begins so is, if that is known and none of the kinds `expected`: `an HDF5 file; say ...`."""
    for known in _FORMATS:
        if start.startswith(known.starts):
            return None if known.kind in expected else f"{known.what}; {known.advice}"
    if len(start) >= _HEADER_BYTES and not any(start):
        return "nothing but zeros where its header should be; was its download or copy interrupted?"
    return "text" if _is_text(start) else None


def folder_format(folder: Path) -> str | None:
    """What a folder holds in the place of a file, and what to do."""
    if any((folder / name).exists() for name in (".zarray", ".zgroup", "zarr.json")):
        return "a store of zarr; numpy.save('NEW.npy', zarr.open(FOLDER)[:]), with the name of the array where needed"
    return None


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in start) and 127 not in start and start.isascii()
