"""Files that are given in the place of a run's, told by what they hold."""

from __future__ import annotations

from pathlib import Path

from prosper_ng.data.sources._file_kinds import N_BYTES, other_format
from prosper_ng.late_h5py import h5py

_OWN = "give the folder of a run, its run.h5, or a file that Learned.save wrote"


def other_file(path: Path) -> str | None:
    """What to say of a file of another format; None where nothing is known of it."""
    try:
        with path.open("rb") as stream:
            found = other_format(stream.read(N_BYTES), ("hdf5",))
    except OSError:
        return None
    return None if found is None else f"{path} is damaged or no file of a run: it is {found.partition(';')[0]}; {_OWN}"


def other_content(path: Path, file: h5py.File) -> str:
    """What to say of an HDF5 file that does not say that it is one of a run."""
    dictionary = file.get("W")
    if isinstance(dictionary, h5py.Dataset) and dictionary.ndim == 3:
        return (
            f"{path} seems to be a result of ProSper: it has the parameters after each step, and does not say of which "
            "model; start from the last of them, as by learn(data, model, start={'W': file['W'][-1]}), or save them as "
            "arrays of a .npz file for training.initial_file"
        )
    return f"{path} is damaged or no file of a run: it does not say that it is one"
