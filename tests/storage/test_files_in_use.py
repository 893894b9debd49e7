"""What cannot be opened now is not damage: it is named in a sentence, and nothing is renamed, passed over or lost."""

import os
import shutil
from pathlib import Path

import pytest

from prosper_ng import cli
from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.lock import LockError, RunLock, is_held
from prosper_ng.storage.manifest import CheckpointError
from prosper_ng.storage.parameter_file import read_parameters
from prosper_ng.storage.run_record import RunFileError, Unreachable, read_run
from prosper_ng.storage.status import StatusError, read_status
from tests.helpers.busy_files import (
    IN_USE,
    SAID,
    contents,
    data_files,
    everybodys,
    folder_for_everybody,
    held,
    nobody,
    replaced_by,
    without_free_handles,
)
from tests.helpers.small_runs import SEARCH, Runner, complaint

COMMANDS = (["show"], ["plot"], ["report"], ["infer"], ["reconstruct", "--output", "x.h5"])
MORE = "training.n_sweeps=8"
KEPT = SEARCH.replace("checkpoint_sweeps: 4", "checkpoint_sweeps: 4, parameter_sweeps: 1")


@pytest.fixture
def open_folder():
    with folder_for_everybody() as folder:
        yield folder


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
