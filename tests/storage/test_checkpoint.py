"""Checkpoints: what is loaded is what was saved, whatever happened to the writer, the disk or the files."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prosper_ng.errors import NumericalError
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage import atomic, manifest
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.checkpoint_file import Header, Writer
from prosper_ng.storage.manifest import CheckpointError, DataFile, Manifest

N_ROWS = 300


def state(iteration):
    """Everything a checkpoint holds, as a function of the iteration."""
    rng = np.random.default_rng(iteration)
    return {
        "root": {
            "parameters": NamedArrays.of(W=rng.normal(size=(4, 3)), sigma=rng.random(), pi=rng.random(3)),
            "history": np.where(rng.random((iteration, 2)) < 0.5, np.nan, rng.random((iteration, 2))),
            "seen": rng.random() < 0.5,
            "parts": np.zeros((0, 7)),
        },
        "rows": {
            "codes": rng.integers(0, 2**64, size=(N_ROWS, 5, 2), dtype=np.uint64),
            "log_joint": np.where(rng.random((N_ROWS, 5)) < 0.1, -np.inf, rng.normal(size=(N_ROWS, 5))),
        },
        "attributes": {"identity": f"abc{iteration}", "free_energy": -1.5 * iteration, "nested": {"a": [1, None]}},
    }


def save(folder, *iterations, keep=2):
    store = Checkpoints(folder, SerialCommunicator(), keep)
    return [store.save(iteration, starts=[0, N_ROWS], **state(iteration)) for iteration in iterations]


def load(folder, start=0, stop=N_ROWS):
    return Checkpoints(folder, SerialCommunicator()).load_latest(start, stop, N_ROWS)


def assert_is_state(checkpoint, iteration, start=0, stop=N_ROWS):
    expected = state(iteration)
    assert checkpoint.iteration == iteration
    assert checkpoint.attributes == expected["attributes"]
    assert checkpoint.root.keys() == expected["root"].keys()
    for name, value in expected["root"].items():
        found = checkpoint.root[name]
        if isinstance(value, NamedArrays):
            assert found.shapes == value.shapes
            found, value = found.buffer, value.buffer
        assert found.shape == np.shape(value)
        assert found.dtype == np.asarray(value).dtype
        assert found.tobytes() == np.asarray(value).tobytes()
    assert checkpoint.rows.keys() == expected["rows"].keys()
    for name, value in expected["rows"].items():
        assert checkpoint.rows[name].dtype == value.dtype
        assert checkpoint.rows[name].tobytes() == value[start:stop].tobytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pristine")
    assert save(folder, 3, 7) == [None, None]
    return folder


@pytest.mark.parametrize(("start", "stop"), [(0, N_ROWS), (0, 0), (17, 44), (250, N_ROWS), (N_ROWS, N_ROWS)])
def test_any_slice_of_rows_comes_back(two_checkpoints, start, stop):
    checkpoint, notes = load(two_checkpoints, start, stop)
    assert notes == []
    assert_is_state(checkpoint, 7, start, stop)


def test_there_is_nothing_to_load_at_first(tmp_path):
    assert load(tmp_path / "absent") == (None, [])


def test_only_the_newest_stay(tmp_path):
    assert save(tmp_path, *range(1, 6), keep=3) == [None] * 5
    assert manifest.iterations_in(tmp_path) == [5, 4, 3]
    assert len(names(tmp_path)) == 6
    with pytest.raises(ValueError, match="keep is 1"):
        Checkpoints(tmp_path, SerialCommunicator(), keep=1)


def test_an_iteration_can_be_saved_again(tmp_path):
    save(tmp_path, 1, 2)
    store = Checkpoints(tmp_path, SerialCommunicator())
    changed = state(2) | {"attributes": {"identity": "changed"}}
    assert store.save(2, starts=[0, N_ROWS], **changed) is None
    checkpoint, _ = load(tmp_path)
    assert checkpoint.attributes == {"identity": "changed"}
    assert len(names(tmp_path)) == 4


def test_a_run_without_state_sets_is_saved_too(tmp_path):
    store = Checkpoints(tmp_path, SerialCommunicator())
    assert store.save(1, root={"a": np.arange(3)}, rows={}, starts=[0, N_ROWS], attributes={}) is None
    checkpoint, _ = load(tmp_path, 10, 20)
    assert checkpoint.rows == {}
    assert checkpoint.root["a"].tolist() == [0, 1, 2]


def newest(folder, suffix):
    """The name of the data file or the manifest of the newest checkpoint."""
    return next(path.name for path in folder.glob(f"checkpoint-000007*{suffix}"))


def damaged(pristine, target, name, damage):
    """A copy of a folder with one file changed."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(pristine, target)
    path = target / name
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.sampled_from([".h5", ".json"]), place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_a_changed_byte_is_never_loaded(two_checkpoints, tmp_path, which, place, mask):
    name = newest(two_checkpoints, which)

    def flip(data):
        data[int(place * len(data))] ^= mask

    damaged(two_checkpoints, tmp_path / "copy", name, flip)
    checkpoint, notes = load(tmp_path / "copy")
    if which == ".json" and not notes:  # a blank between two words may well become another blank
        assert json.loads((tmp_path / "copy" / name).read_text()) == json.loads((two_checkpoints / name).read_text())
        assert_is_state(checkpoint, 7)
    else:
        assert_is_state(checkpoint, 3)
        assert "checkpoint-000007 was set aside" in notes[0]
        assert len(notes) == 1


@pytest.mark.parametrize(("which", "every"), [(".h5", 401), (".json", 13)])
def test_no_byte_can_be_changed_unnoticed(two_checkpoints, tmp_path, which, every):
    """From the first to the last, every so manieth byte of the newest checkpoint."""
    name = newest(two_checkpoints, which)
    for place in range(0, (two_checkpoints / name).stat().st_size, every):
        damaged(two_checkpoints, tmp_path / "copy", name, lambda data, at=place: data.__setitem__(at, data[at] ^ 0xFF))
        checkpoint, notes = load(tmp_path / "copy")
        assert_is_state(checkpoint, 3)
        assert len(notes) == 1


@pytest.mark.parametrize("which", [".h5", ".json"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_never_loaded(two_checkpoints, tmp_path, which, kept):
    name = newest(two_checkpoints, which)

    def cut(data):
        del data[int(kept * len(data)) :]

    damaged(two_checkpoints, tmp_path / "copy", name, cut)
    checkpoint, notes = load(tmp_path / "copy")
    assert_is_state(checkpoint, 3)
    assert len(notes) == 1


def test_a_damaged_checkpoint_is_kept_with_the_reason_and_training_goes_on(two_checkpoints, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(two_checkpoints, folder)
    next(folder.glob("checkpoint-000007-*.h5")).unlink()
    checkpoint, notes = load(folder)
    assert_is_state(checkpoint, 3)
    assert "is missing" in notes[0]
    assert (folder / "checkpoint-000007.json.bad").exists()
    assert "is missing" in (folder / "checkpoint-000007.reason.txt").read_text()
    assert load(folder)[1] == []
    assert save(folder, 7, 8) == [None, None]
    assert_is_state(load(folder)[0], 8)
    assert (folder / "checkpoint-000007.json.bad").exists()


def test_nothing_is_loaded_where_all_are_damaged(two_checkpoints, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(two_checkpoints, folder)
    for path in folder.glob("*.h5"):
        os.truncate(path, 1000)
    checkpoint, notes = load(folder)
    assert checkpoint is None
    assert len(notes) == 2


def test_rows_with_nan_are_never_loaded(two_checkpoints, tmp_path):
    """As a writer with a defect would leave them: all digests are right, the numbers are not."""
    folder = tmp_path / "copy"
    shutil.copytree(two_checkpoints, folder)
    rows = state(7)["rows"]
    rows["log_joint"][200, 3] = np.nan
    publish(folder, 9, rows, [(0, N_ROWS)])
    checkpoint, notes = load(folder)
    assert_is_state(checkpoint, 7)
    assert "log_joint" in notes[0]


def publish(folder, iteration, rows, ranges):
    """A checkpoint of one data file for each range of rows, as a writer of shards would leave it."""
    files = []
    for start, stop in ranges:
        part = {name: values[start:stop] for name, values in rows.items()}
        shapes = {name: (values.shape, values.dtype.str) for name, values in part.items()}
        path = folder / f"{manifest.stem(iteration)}-{start:08x}.h5"
        writer = Writer(path, Header.of(iteration, stop - start, {}, {}, shapes), {}, start)
        for name, values in part.items():
            writer.rows(name)(start, values)
        writer.close()
        files.append(DataFile(path.name, atomic.sha256_of(path), path.stat().st_size, start, stop))
    Manifest(iteration, N_ROWS, files).write(folder)


@pytest.mark.parametrize(("start", "stop"), [(0, N_ROWS), (90, 110), (100, 120), (0, 0), (250, 290)])
def test_rows_are_read_across_several_files(tmp_path, start, stop):
    rows = state(5)["rows"]
    publish(tmp_path, 5, rows, [(0, 100), (100, 120), (120, N_ROWS)])
    checkpoint, notes = load(tmp_path, start, stop)
    assert notes == []
    for name, values in rows.items():
        assert checkpoint.rows[name].tobytes() == values[start:stop].tobytes()


def test_a_newer_format_is_refused(two_checkpoints, tmp_path, monkeypatch):
    shutil.copytree(two_checkpoints, tmp_path / "copy")
    monkeypatch.setattr(manifest, "FORMAT_VERSION", 0)
    with pytest.raises(CheckpointError, match=r"checkpoint-000007.json has format 1, .* reads up to 0: update"):
        load(tmp_path / "copy")
    assert names(tmp_path / "copy") == names(two_checkpoints)


def test_other_data_are_refused(two_checkpoints):
    store = Checkpoints(two_checkpoints, SerialCommunicator())
    with pytest.raises(CheckpointError, match="holds 300 rows and the data 301"):
        store.load_latest(0, 301, 301)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("root", "parameters", np.nan),
        ("root", "parameters", -np.inf),
        ("rows", "log_joint", np.nan),
        ("rows", "log_joint", np.inf),
    ],
)
def test_a_sick_state_is_not_saved(tmp_path, kind, name, value):
    save(tmp_path, 1)
    sick = state(2)
    array = sick[kind][name]
    (array.buffer if kind == "root" else array[5])[2] = value
    with pytest.raises(NumericalError, match=f"after iteration 2, not all numbers in {name} are finite"):
        Checkpoints(tmp_path, SerialCommunicator()).save(2, starts=[0, N_ROWS], **sick)
    assert_is_state(load(tmp_path)[0], 1)


def test_rows_that_do_not_add_up_are_a_defect(tmp_path):
    with pytest.raises(ValueError, match="no array of 301 rows"):
        Checkpoints(tmp_path, SerialCommunicator()).save(1, starts=[0, 301], **state(1))


def test_a_full_disk_is_a_warning(tmp_path, monkeypatch):
    save(tmp_path, 1)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50_000))
    (warning,) = save(tmp_path, 2)
    assert warning.startswith("no checkpoint was written after iteration 2, the one before stays: 0.1 MB are free in")
    assert_is_state(load(tmp_path)[0], 1)


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    (tmp_path / "taken").write_text("a file")
    (warning,) = save(tmp_path / "taken", 1)
    assert "taken" in warning


@pytest.mark.parametrize("step", ["drop_cached_pages", "sha256_of", "sync_folder", "write_json"])
def test_an_error_of_the_disk_in_any_step_is_a_warning(tmp_path, monkeypatch, step):
    save(tmp_path, 1)

    def fail(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, step, fail)
        (warning,) = save(tmp_path, 2)
    assert "Input/output error" in warning
    assert_is_state(load(tmp_path)[0], 1)
    assert save(tmp_path, 2, 3) == [None, None]
    assert len(names(tmp_path)) == 4


def in_child(action):
    """The wait status of a forked child that does something and ends without any cleaning up."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("limit", [0, 100, 3_000, 20_000, 30_000])
def test_a_write_that_fails_does_not_end_the_run(tmp_path, limit):
    """HDF5 itself would end it, with a segmentation fault."""
    save(tmp_path, 1)

    def write_against_a_limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        (warning,) = save(tmp_path, 2)
        assert "File too large" in warning

    assert in_child(write_against_a_limit) == 0
    assert_is_state(load(tmp_path)[0], 1)


def test_a_kill_at_any_step_leaves_a_good_checkpoint(two_checkpoints, tmp_path):
    """Ends the writer when it opens, writes, syncs, renames or removes a file for the k-th time, for every k."""
    steps = {"open", "write", "truncate", "fsync", "replace", "unlink"}
    for step in range(1000):
        folder = tmp_path / str(step)
        shutil.copytree(two_checkpoints, folder)

        def write_until(step=step, folder=folder):
            left = [step]

            def kill(frame, event, called):
                if event == "c_call" and called.__name__ in steps:
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.setprofile(kill)
            save(folder, 8)

        status = in_child(write_until)
        assert status in {0, signal.SIGKILL}
        checkpoint, notes = load(folder)
        assert notes == []
        assert checkpoint.iteration in ({7, 8} if status else {8})
        assert_is_state(checkpoint, checkpoint.iteration)
        assert save(folder, 9) == [None]
        assert len(names(folder)) == 4
        if status == 0:
            break
    assert step > 20


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_checkpoint import save
    first = int(sys.argv[3])
    for iteration in range(first, first + 10000):
        assert save(Path(sys.argv[2]), iteration) == [None]
        print(iteration, flush=True)
""")


def test_killed_writers_lose_nothing_that_was_done(tmp_path):
    rng = np.random.default_rng(1)
    done = 0
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(tmp_path), str(done + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout.readline().strip() == str(done + 1)
            time.sleep(rng.uniform(0, 0.3))
            writer.kill()
            done = max([done + 1, *map(int, writer.stdout.read().split("\n")[:-1])])
        checkpoint, notes = load(tmp_path)
        assert notes == []
        assert checkpoint.iteration in {done, done + 1}
        assert_is_state(checkpoint, checkpoint.iteration)
        done = checkpoint.iteration
