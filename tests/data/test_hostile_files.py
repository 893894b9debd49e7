"""Files made to mislead: no traceback, no hang, no memory beyond what was checked, nothing written elsewhere."""

import json
import os
import resource
import signal
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from scipy.io import savemat

from prosper_ng.data import dataset
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.image import Image
from prosper_ng.data.sources.mat import Mat
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.npz import Npz
from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage import manifest
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.parameter_file import read_parameters
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import StatusError, read_status
from tests.helpers.small_runs import SEARCH, Runner

N_SPOILED = 150
GIBIBYTE = 1 << 30


@pytest.fixture
def runner(tmp_path, capsys):
    """A run that has done 4 of its 12 sweeps, and the digest of an undisturbed one."""
    run, whole = (Runner(tmp_path / name, SEARCH, capsys) for name in ("run", "whole"))
    assert whole().status == 0
    assert run("training.n_sweeps=4").status == 0
    return run, whole.digest


def harmless(action):
    """Whether a forked child does something with at most a sentence, 1 GiB more of memory and 60 seconds."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + GIBIBYTE,) * 2)
            signal.alarm(60)
            action()
            status = 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def spoiled(content, rng):
    """Bytes changed, cut off, repeated, or of other lengths."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(max(len(data), 1)))
        kind = rng.integers(4)
        if kind == 0 and data:
            data[min(place, len(data) - 1)] = int(rng.integers(256))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = rng.bytes(int(rng.integers(1, 9)))
        else:
            data[place : place + 8] = b"\xff" * 8
    return bytes(data)


def data_files(folder):
    """A file of every kind, and what reads it."""
    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.save(folder / "d.npy", rows)
    np.savez_compressed(folder / "d.npz", rows=rows)
    savemat(folder / "d.mat", {"rows": rows}, do_compression=True)
    with h5py.File(folder / "d.h5", "w") as file:
        file.create_dataset("rows", data=rows, chunks=(8, 4), compression="gzip", fletcher32=True)
    pixels = np.random.default_rng(1).integers(0, 255, (20, 20), dtype=np.uint8)
    for name in ("d.png", "d.tif", "d.jpg", "d.gif"):
        Picture.fromarray(pixels).save(folder / name)
    return {
        "d.npy": lambda path: Npy(path=path),
        "d.npz": lambda path: Npz(path=path, array="rows"),
        "d.mat": lambda path: Mat(path=path, variable="rows"),
        "d.h5": lambda path: Hdf5(path=path, dataset="rows"),
        **dict.fromkeys(("d.png", "d.tif", "d.jpg", "d.gif"), lambda path: Image(image=path, patch_size=4)),
    }


@pytest.mark.parametrize("name", ["d.npy", "d.npz", "d.mat", "d.h5", "d.png", "d.tif", "d.jpg", "d.gif"])
def test_spoiled_data_are_read_or_refused_in_a_sentence(tmp_path, name):
    source, content = data_files(tmp_path)[name], (tmp_path / name).read_bytes()
    rng = np.random.default_rng(sum(name.encode()))
    there = sorted(path.name for path in tmp_path.iterdir())

    def read_all():
        sentences = []
        for number in range(N_SPOILED):
            path = tmp_path / f"{number}-{name}"  # HDF5 would not look again at a file that is still open
            path.write_bytes(spoiled(content, rng))
            try:
                found = source(str(path)).open(0)
                found.read(0, min(found.n_rows, 1000))
            except UserError as error:
                sentences.append(str(error))
            path.unlink()
        assert len(sentences) > N_SPOILED // 5
        assert not any("\n" in sentence for sentence in sentences)

    assert harmless(read_all)
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_spoiled_runs_are_read_or_refused_in_a_sentence(runner):
    run, _ = runner
    content = {name: (run.folder / name).read_bytes() for name in ("run.h5", "status.json")}
    rng = np.random.default_rng(3)

    def read_all():
        sentences = []
        for _ in range(N_SPOILED):
            for name, whole in content.items():
                (run.folder / name).write_bytes(spoiled(whole, rng))
            try:
                read_run(run.folder)
            except UserError as error:
                sentences.append(str(error))
        assert len(sentences) > N_SPOILED // 5
        assert not any("\n" in sentence for sentence in sentences)

    assert harmless(read_all)


def test_parameters_that_promise_too_much_or_are_no_numbers(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(1000))
    with pytest.raises(UserError, match="is cut off"):
        read_parameters(tmp_path / "bomb.npz")
    np.savez(tmp_path / "text.npz", W=np.array(["a"]))
    with pytest.raises(UserError, match="W"):
        read_parameters(tmp_path / "text.npz")


def test_what_unpacks_to_more_than_memory_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "zeros.npz", W=np.zeros((512, 1024)))
    with h5py.File(tmp_path / "zeros.h5", "w") as file:
        file.create_dataset("rows", data=np.zeros((512, 1024)), chunks=(512, 1024), compression="gzip")
    assert (tmp_path / "zeros.npz").stat().st_size < 10_000
    monkeypatch.setattr(dataset.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1024}.get(name, 1024))
    for read in (
        lambda: read_parameters(tmp_path / "zeros.npz"),
        lambda: Hdf5(path=str(tmp_path / "zeros.h5"), dataset="rows").open(0),
    ):
        with pytest.raises(UserError, match=r"takes 0\.00391 GiB; this machine has 0\.000977 GiB"):
            read()


def replaced(path, name, how):
    with h5py.File(path, "r+") as file:
        del file[name]
        how(file)


LEADS_ELSEWHERE = {
    "external": lambda file: file.__setitem__("config/text", h5py.ExternalLink("other.h5", "/x")),
    "soft": lambda file: file.__setitem__("config/text", h5py.SoftLink("/config/resolved")),
    "raw": lambda file: file.create_dataset("config/text", (4,), "f8", external=[("/etc/hostname", 0, 32)]),
    "huge": lambda file: file.create_dataset("results/x", (10**6, 10**6), "f8", chunks=(1, 1000)),
    "records": lambda file: file.create_dataset("results/x", data=np.zeros(2, [("a", "f8")])),
    "number for text": lambda file: file.create_dataset("config/text", data=1.0),
    "type for data": lambda file: file.__setitem__("results/x", np.dtype("f8")),
}


@pytest.mark.parametrize("how", LEADS_ELSEWHERE)
def test_a_run_file_that_leads_elsewhere_or_holds_what_it_should_not_is_refused(runner, how):
    run, digest = runner
    replaced(run.folder / "run.h5", "config/text", LEADS_ELSEWHERE[how])
    with pytest.raises(UserError, match=r"run\.h5|results/x") as refusal:
        read_run(run.folder)
    assert "\n" not in str(refusal.value)
    done = run()
    assert (done.status, "Traceback" in done.err) == (0, False)
    assert run.digest == digest


@pytest.mark.parametrize(
    "name", ["history", "parameters", "provenance", "config", "parameters/sweep-x", "history/sweep"]
)
def test_a_run_goes_on_beside_a_run_file_of_another_layout(runner, name):
    run, digest = runner
    with h5py.File(run.folder / "run.h5", "r+") as file:
        if name in file:
            del file[name]
        file[name] = 1.0
    done = run()
    assert (done.status, "Traceback" in done.err) == (0, False)
    assert "run.h5 is damaged" in done.err
    assert run.digest == digest
    assert run.history["sweep"].tolist() == list(range(1, 13))


def write_manifest(folder, content):
    fields = {"format_version": 1, **content}
    folder.mkdir(exist_ok=True)
    text = json.dumps({**fields, "digest": manifest._digest(fields)})
    (folder / "checkpoint-000007.json").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", ["../../victim", "/etc/hostname", "checkpoint-000007.json", "", "run.h5"])
def test_a_manifest_is_believed_about_files_of_its_folder_only(tmp_path, name):
    (tmp_path / "victim").write_text("untouched")
    folder = tmp_path / "run"
    files = [{"name": name, "sha256": "0", "n_bytes": 9, "start": 0, "stop": 3}]
    write_manifest(folder, {"iteration": 7, "n_rows": 3, "files": files})
    found, notes = Checkpoints(folder, SerialCommunicator()).load_latest(0, 3, 3)
    assert found is None
    assert "names files that are none of a checkpoint" in notes[0]
    assert (tmp_path / "victim").read_text() == "untouched"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRY = st.dictionaries(st.sampled_from(["name", "sha256", "n_bytes", "start", "stop", "x"]), ANYTHING)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "iteration": st.just(7) | ANYTHING,
        "n_rows": st.just(3) | ANYTHING,
        "files": st.lists(ENTRY, max_size=2) | ANYTHING,
        "format_version": ANYTHING,
    },
)


@settings(max_examples=60, deadline=None)
@given(FIELDS)
def test_any_manifest_is_set_aside_or_refused_in_a_sentence(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("manifest")
    write_manifest(folder, content)
    sentence = None
    try:
        found, notes = Checkpoints(folder, SerialCommunicator()).load_latest(0, 3, 3)
    except UserError as error:
        sentence = str(error)
    if sentence is None:
        assert (found, len(notes)) == (None, 1)
        (sentence,) = notes
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "{" * 10, '{"state": 1}', "null", '{"state": "running", "heartbeat": "x"}']
)
def test_a_status_that_makes_no_sense(tmp_path, content):
    (tmp_path / "status.json").write_text(content)
    with pytest.raises(StatusError, match="is damaged"):
        read_status(tmp_path)


def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path):
    for name in ("status.json", "run.h5", "checkpoint-000007.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(StatusError, match="no file"):
        read_status(tmp_path)
    with pytest.raises(UserError, match=r"holds no run\.h5"):
        read_run(tmp_path)
    assert "no file" in Checkpoints(tmp_path, SerialCommunicator()).load_latest(0, 3, 3)[1][0]
