"""Data that cannot be opened now are said to be in use, elsewhere, or not permitted; never to be damaged."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from prosper_ng import access
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.errors import UserError
from prosper_ng.storage.parameter_file import read_parameters
from tests.helpers.busy_files import IN_USE, SAID, data_files, folder_for_everybody, held, nobody, replaced_by


@pytest.fixture
def open_folder():
    with folder_for_everybody() as folder:
        yield folder


def test_data_that_may_not_be_read(open_folder):
    for path, source in data_files(open_folder).items():
        path.chmod(0)
        with nobody(), pytest.raises(UserError, match=f"^no permission to read {path}$"):
            source.open(0)
    np.savez(open_folder / "p.npz", W=np.zeros((2, 2)))
    (open_folder / "p.npz").chmod(0)
    with nobody(), pytest.raises(UserError, match="no permission to read"):
        read_parameters(open_folder / "p.npz")


@pytest.mark.parametrize("what", SAID)
def test_something_else_in_the_place_of_data(tmp_path, what):
    for path, source in data_files(tmp_path).items():
        replaced_by(path, what)
        said = "has no files" if path.suffix == ".png" and what == "folder" else SAID[what]  # it may hold pictures
        with pytest.raises(UserError, match=said):
            source.open(0)


@pytest.mark.parametrize("name", ["d.h5", "d73.mat"])
def test_data_in_use(tmp_path, name):
    source = data_files(tmp_path)[tmp_path / name]
    with held(tmp_path / name), pytest.raises(UserError, match=f"{name} {IN_USE}") as refusal:
        source.open(0)
    assert "damaged" not in str(refusal.value)
    assert source.open(0).n_rows == (20 if name == "d.h5" else 4)


def test_data_that_a_writer_left_open(tmp_path):
    """Where a program that lets others read along is killed, HDF5 opens its file only after h5clear."""
    code = (
        "import sys, os, h5py\n"
        "file = h5py.File(sys.argv[1], 'w', libver='latest')\n"
        "file['rows'] = [[1.0, 2.0]]\n"
        "file.swmr_mode = True\n"
        "file.flush()\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "d.h5")], check=True)
    with pytest.raises(UserError, match="h5clear -s"):
        Hdf5(path=str(tmp_path / "d.h5"), dataset="rows").open(0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("unable to lock file, errno = 11, error message = 'Resource temporarily unavailable'"), IN_USE),
        (PermissionError(errno.EACCES, "unable to lock file, errno = 13"), IN_USE),
        (OSError(errno.ETXTBSY, ""), IN_USE),
        (PermissionError(errno.EPERM, ""), "no permission to read d.h5"),
        (OSError(errno.ESTALE, ""), f"d.h5 cannot be read: {os.strerror(errno.ESTALE)}"),
        (OSError(errno.ENOLCK, "unable to lock file"), f"d.h5 cannot be read: {os.strerror(errno.ENOLCK)}"),
        (OSError("Can't synchronously read data (errno = 5)"), f"d.h5 cannot be read: {os.strerror(errno.EIO)}"),
    ],
)
def test_what_the_system_says_in_words(error, said):
    assert said in str(access.cannot_open(error, "d.h5"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("file signature not found"),
        OSError(errno.EINVAL, "seek to where no file can be"),
        OSError("file read failed: errno = 0, error message = 'Success'"),
        FileNotFoundError(errno.ENOENT, ""),
        KeyError("object 'x' doesn't exist"),
    ],
)
def test_what_is_about_the_content_or_about_nothing(error):
    assert access.cannot_open(error, "d.h5") is None
