"""Files that cannot be opened now: held by another process, not permitted, replaced by something else."""

import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import h5py
import numpy as np
from PIL import Image as Picture
from scipy.io import savemat

from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.image import Image
from prosper_ng.data.sources.mat import Mat
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.npz import Npz

HOLD = """
import sys, h5py
with h5py.File(sys.argv[1], sys.argv[2]) as file:
    if sys.argv[3] == "writing":
        file.attrs["opened by"] = "a notebook"
        file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""
IN_USE = "is in use by another program"


@contextlib.contextmanager
def held(path: Path, mode: str = "r+", use: str = "writing"):
    """Another process has the file open for writing."""
    command = [sys.executable, "-c", HOLD, str(path), mode, use]
    environment = {name: value for name, value in os.environ.items() if name != "HDF5_USE_FILE_LOCKING"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            yield
        finally:
            holder.stdin.close()
            holder.wait(30)


@contextlib.contextmanager
def nobody():
    """This process as a user who is not root, and may not read what root alone may."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def folder_for_everybody():
    """A folder that everybody may write to, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="prosper-ng-test-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but for the log."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "log.txt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def everybodys(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)


def replaced_by(path: Path, what: str) -> None:
    path.unlink(missing_ok=True)
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to("nowhere")
    else:
        path.symlink_to("/proc/self/mem")  # a regular file, and reading its first byte is an error of the device


SAID = {"folder": "is a folder", "link": "is a link to nowhere", "device": os.strerror(errno.EIO)}


def without_free_handles(action) -> bool:
    """Whether a forked child does something while it may open no more files."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            n_open = max(map(int, os.listdir("/proc/self/fd"))) + 1
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (n_open, hard))
            with contextlib.suppress(OSError):
                taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(n_open + 1)]
                assert not taken
            action()
            status = 0
        except BaseException as error:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            os.write(2, "".join(traceback.format_exception(error)).encode())
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def data_files(folder: Path):
    """A data source of every kind by its file."""
    rows = np.random.default_rng(0).normal(size=(20, 4))
    np.save(folder / "d.npy", rows)
    np.savez(folder / "d.npz", rows=rows)
    savemat(folder / "d.mat", {"rows": rows})
    for name in ("d.h5", "d73.mat"):
        with h5py.File(folder / name, "w") as file:
            file["rows"] = rows
    Picture.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "d.png")
    return {
        folder / "d.npy": Npy(path=str(folder / "d.npy")),
        folder / "d.npz": Npz(path=str(folder / "d.npz"), array="rows"),
        folder / "d.mat": Mat(path=str(folder / "d.mat"), variable="rows"),
        folder / "d73.mat": Mat(path=str(folder / "d73.mat"), variable="rows"),
        folder / "d.h5": Hdf5(path=str(folder / "d.h5"), dataset="rows"),
        folder / "d.png": Image(image=str(folder / "d.png"), patch_size=4),
    }
