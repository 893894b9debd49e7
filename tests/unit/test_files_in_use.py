"""What cannot be opened now is not damage: it is named in a sentence, and nothing is renamed, passed over or lost."""

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
import pytest
from PIL import Image as Picture
from scipy.io import savemat

from prosper_ng import cli
from prosper_ng.errors import UserError
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage import access
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.lock import LockError, RunLock, is_held
from prosper_ng.storage.manifest import CheckpointError
from prosper_ng.storage.parameter_file import read_parameters
from prosper_ng.storage.run_file import RunFile, StoredConfig
from prosper_ng.storage.run_record import RunFileError, Unreachable, read_run
from prosper_ng.storage.sources.hdf5 import Hdf5
from prosper_ng.storage.sources.image import Image
from prosper_ng.storage.sources.mat import Mat
from prosper_ng.storage.sources.npy import Npy
from prosper_ng.storage.sources.npz import Npz
from prosper_ng.storage.status import StatusError, read_status
from tests.unit.small_runs import SEARCH, Runner, complaint

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
COMMANDS = (["show"], ["plot"], ["report"], ["infer"], ["reconstruct", "--output", "x.h5"])
MORE = "training.n_sweeps=8"
KEPT = SEARCH.replace("checkpoint_sweeps: 4", "checkpoint_sweeps: 4, parameter_sweeps: 1")


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


@pytest.fixture
def open_folder():
    """A folder that everybody may write to, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="prosper-ng-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but for the log."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "log.txt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def everybodys(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)


@pytest.fixture
def begun(open_folder, capsys):
    """A run that has done 4 of its 12 sweeps and kept the parameters of each."""
    run = Runner(open_folder / "run", KEPT, capsys)
    assert run("training.n_sweeps=4").status == 0
    everybodys(run.folder)
    return run


@pytest.fixture
def digest_of_8(tmp_path, capsys):
    """The digest of an undisturbed run of 8 sweeps."""
    whole = Runner(tmp_path / "whole", KEPT, capsys)
    assert whole(MORE).status == 0
    return whole.digest


def newest(run: Runner, suffix: str) -> Path:
    (found,) = (run.folder / "checkpoints").glob(f"checkpoint-000004*{suffix}")
    return found


@pytest.mark.parametrize("mode", ["r+", "a"])
def test_a_run_file_in_use_is_said_to_be_in_use(begun, capsys, mode):
    with held(begun.folder / "run.h5", mode):
        before = contents(begun.folder)
        for command in COMMANDS:
            said = complaint(capsys, *command, begun.folder)
            assert f"run.h5 {IN_USE}" in said
            assert "damaged" not in said
        with pytest.raises(Unreachable, match=IN_USE):
            read_parameters(begun.folder)
        assert contents(begun.folder) == before
    assert cli.main(["show", str(begun.folder)]) == 0


def test_a_run_goes_on_beside_its_run_file_in_use_and_loses_nothing(begun, digest_of_8):
    with held(begun.folder / "run.h5"):
        done = begun(MORE)
        assert done.status == 0
        assert f"run.h5 {IN_USE}" in done.err
        assert "was not brought up to date" in done.err
        assert begun.status.iteration == 8
    assert not list(begun.folder.glob("*.bad"))
    assert read_run(begun.folder).kept_sweeps == [1, 2, 3, 4]
    assert begun(MORE).status == 0
    assert begun.digest == digest_of_8
    assert begun.history["sweep"].tolist() == list(range(1, 9))
    assert read_run(begun.folder).kept_sweeps[:4] == [1, 2, 3, 4]


def test_a_folder_without_checkpoints_whose_run_file_is_in_use_is_not_begun_anew(begun, capsys):
    shutil.rmtree(begun.folder / "checkpoints")
    with held(begun.folder / "run.h5"):
        before = contents(begun.folder)
        done = begun(MORE)
        assert (done.status, IN_USE in done.err) == (2, True)
        assert contents(begun.folder) == before


CONFIG = StoredConfig({"name": "tiny"}, "name: tiny\n", {})


def swept(file: RunFile, *sweeps: int) -> None:
    for sweep in sweeps:
        file.record(sweep, {"free_energy": -1.0 / sweep})
        file.set_parameters(NamedArrays.of(sigma=float(sweep)), keep_as_sweep=sweep)


@pytest.fixture
def half_written(tmp_path):
    """A run file with two sweeps on disk."""
    file = RunFile(tmp_path, CONFIG, {"host": "node7"}, {"name": "tiny"})
    swept(file, 1, 2)
    assert file.flush() is None
    return file


def test_what_could_not_be_written_is_written_later(half_written):
    with held(half_written.path):
        swept(half_written, 3)
        assert IN_USE in half_written.flush()
        swept(half_written, 4)
        half_written._flushed_at = -np.inf
        assert IN_USE in half_written.flush_when_due()
        half_written._flushed_at = -np.inf
        assert half_written.flush_when_due() is None, "the same sentence is not said twice in a row"
    swept(half_written, 5)
    assert half_written.flush() is None
    record = read_run(half_written.path)
    assert (record.sweeps, record.kept_sweeps) == (5, [1, 2, 3, 4, 5])
    assert record.attributes["opened by"] == "a notebook"
    assert np.isfinite(record.history["free_energy"]).all()
    assert sorted(path.name for path in half_written.path.parent.iterdir()) == ["run.h5"]


def test_a_start_beside_a_run_file_in_use_goes_on_with_it_later(half_written):
    with held(half_written.path):
        again = RunFile(half_written.path.parent, CONFIG, {"host": "node8"}, {"name": "tiny"}, half_written.history)
        assert [IN_USE in note for note in again.notes] == [True]
        swept(again, 3)
        assert IN_USE in again.flush()
    assert again.flush() is None
    record = read_run(half_written.path)
    assert (record.sweeps, record.kept_sweeps) == (3, [1, 2, 3])
    assert record.provenance["attempt-0002"]["host"] == "node8"


def removed(path: Path) -> None:
    path.unlink()


def overwritten(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1.0


def shortened(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["history/free_energy"].resize((1,))


def cut_off(path: Path) -> None:
    os.truncate(path, 900)


@pytest.mark.parametrize("spoil", [removed, overwritten, shortened, cut_off])
def test_a_run_file_that_another_program_spoiled_meanwhile_is_begun_anew(half_written, spoil):
    """Nothing is filled in where the numbers of earlier sweeps were."""
    spoil(half_written.path)
    swept(half_written, 3)
    assert "begun anew" in half_written.flush()
    assert half_written.flush() is None
    record = read_run(half_written.path)
    assert record.history["free_energy"].tolist() == [-1.0, -1 / 2, -1 / 3]
    assert (record.attributes["name"], record.config, record.provenance["host"]) == ("tiny", {"name": "tiny"}, "node7")
    assert record.parameters == {"sigma": 3.0}
    assert half_written.path.with_name("run.h5.bad").exists() == (spoil is not removed)


def test_a_checkpoint_in_use_is_not_passed_over(begun, digest_of_8):
    path = newest(begun, ".h5")
    with held(path, use="looking"):
        before = contents(begun.folder)
        done = begun(MORE)
        assert (done.status, f"{path} {IN_USE}" in done.err) == (2, True)
        assert contents(begun.folder) == before
    assert begun(MORE).status == 0
    assert begun.digest == digest_of_8


@pytest.mark.parametrize("place", ["run.h5", "checkpoints", "manifest", "data", "run.lock"])
def test_what_may_not_be_read_stops_a_run_and_loses_nothing(begun, digest_of_8, place):
    paths = {"manifest": newest(begun, ".json"), "data": newest(begun, ".h5")}
    path = paths.get(place, begun.folder / place)
    if place == "run.lock":
        path.write_text("{}")
    before = contents(begun.folder)
    mode = path.stat().st_mode
    path.chmod(0)
    with nobody():
        done = begun(MORE)
    assert done.status == 2
    assert f"no permission to read {path}" in done.err
    path.chmod(mode)
    assert contents(begun.folder) == before
    if place != "run.lock":
        assert begun(MORE).status == 0
        assert begun.digest == digest_of_8
        assert read_run(begun.folder).kept_sweeps == list(range(1, 9))


@pytest.mark.parametrize("name", ["run.h5", "."])
def test_a_run_that_may_not_be_read_is_said_so(begun, capsys, name):
    (begun.folder / name).chmod(0)
    with nobody():
        for command in COMMANDS:
            said = complaint(capsys, *command, begun.folder)
            assert f"no permission to read {begun.folder}" in said
        with pytest.raises(UserError, match="no permission to read"):
            read_parameters(begun.folder / "run.h5")
    (begun.folder / name).chmod(0o777)


def test_a_status_that_may_not_be_read_is_said_so(begun, capsys):
    path = begun.folder / "status.json"
    path.chmod(0)
    capsys.readouterr()
    with nobody():
        with pytest.raises(StatusError, match=f"^no permission to read {path}$"):
            read_status(begun.folder)
        assert cli.main(["show", str(begun.folder)]) == 0
    assert f"unknown (no permission to read {path})" in capsys.readouterr().out


def replaced_by(path: Path, what: str) -> None:
    path.unlink(missing_ok=True)
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to("nowhere")
    else:
        path.symlink_to("/proc/self/mem")  # a regular file, and reading its first byte is an error of the device


SAID = {"folder": "is a folder", "link": "is a link to nowhere", "device": os.strerror(errno.EIO)}


@pytest.mark.parametrize("what", SAID)
def test_something_else_in_the_place_of_the_run_file(begun, capsys, what):
    path = begun.folder / "run.h5"
    replaced_by(path, what)
    before = sorted(begun.folder.iterdir())
    done = begun(MORE)
    assert (done.status, SAID[what] in done.err) == (2, True)
    assert SAID[what] in complaint(capsys, "show", begun.folder)
    assert sorted(begun.folder.iterdir()) == before


@pytest.mark.parametrize("what", SAID)
def test_something_else_in_the_place_of_status_and_lock(tmp_path, what):
    replaced_by(tmp_path / "status.json", what)
    with pytest.raises(StatusError, match=SAID[what]):
        read_status(tmp_path)
    replaced_by(tmp_path / "run.lock", what)
    with pytest.raises(LockError, match=f"whether .* is in use cannot be told: .*{SAID[what]}"):
        RunLock(tmp_path).acquire()
    assert isinstance(is_held(tmp_path), bool)
    assert os.path.lexists(tmp_path / "run.lock")


@pytest.mark.parametrize("place", ["checkpoints", "manifest", "data"])
@pytest.mark.parametrize("what", ["link", "device"])
def test_a_checkpoint_that_is_elsewhere_is_waited_for(begun, digest_of_8, place, what):
    """As where the scratch disk that a link leads to is not mounted."""
    paths = {"manifest": newest(begun, ".json"), "data": newest(begun, ".h5"), "checkpoints": begun.folder / place}
    path = paths[place]
    elsewhere = begun.folder.with_name("elsewhere")
    path.rename(elsewhere)
    replaced_by(path, what)
    done = begun(MORE)
    if (place, what) == ("data", "device"):
        assert "has 0 bytes, not" in done.err
        return
    assert done.status == 2
    assert (SAID[what] if place != "checkpoints" or what == "link" else "is a file, not a folder") in done.err
    path.unlink()
    elsewhere.rename(path)
    assert begun(MORE).status == 0
    assert begun.digest == digest_of_8


@pytest.mark.parametrize("n_bytes", [0, 1000])
def test_what_is_cut_off_is_damage(begun, digest_of_8, n_bytes):
    for path in (begun.folder / "run.h5", newest(begun, ".json"), newest(begun, ".h5")):
        os.truncate(path, min(n_bytes, path.stat().st_size - 1))
    with pytest.raises(RunFileError, match="damaged") as refusal:
        read_run(begun.folder)
    assert not isinstance(refusal.value, Unreachable)
    assert "set aside" in begun(MORE).err
    assert begun.digest == digest_of_8


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


def test_too_many_open_files_are_no_damage(begun, tmp_path):
    data = data_files(tmp_path)
    for source in data.values():
        source.open(0)  # what is imported for it is then there
    expected = [(read_status, StatusError), (read_run, Unreachable), (RunLock.acquire, LockError)]

    def act():
        for action, kind in expected:
            with pytest.raises(kind, match=r"[Tt]oo many"):
                action(RunLock(begun.folder) if action == RunLock.acquire else begun.folder)
        with pytest.raises(CheckpointError, match="too many files are open"):
            Checkpoints(begun.folder / "checkpoints", SerialCommunicator()).load_latest(0, 1, 1)
        for source in data.values():
            with pytest.raises(UserError, match="too many files are open"):
                source.open(0)

    before = contents(begun.folder)
    assert without_free_handles(act)
    assert contents(begun.folder) == before


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
        with pytest.raises(UserError, match=SAID[what]):
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
