"""`prosper_ng.learn(..., folder=...)`: rows in memory, kept as a run is."""

import signal
import threading

import numpy as np
import pytest

import prosper_ng
from prosper_ng import cli
from prosper_ng.data.sources.npy import Npy
from prosper_ng.errors import UserError
from prosper_ng.models.bsc import BSC
from prosper_ng.storage.run_record import read_run

SETTINGS = {
    "model": {"kind": "gsc", "n_latents": 5},
    "estep": {"kind": "search", "n_states": 9},
    "training": {"n_sweeps": 6, "updates_per_sweep": 3, "block_rows": 16},
    "seed": 7,
}
ROWS = np.random.default_rng(4).normal(size=(140, 6)) * [3, 1, 1, 2, 1, 1]


@pytest.fixture(scope="module")
def in_memory():
    return prosper_ng.learn(ROWS, **SETTINGS)


def in_folder(folder, data=ROWS, n_sweeps=6, **changes):
    settings = SETTINGS | {"training": SETTINGS["training"] | {"n_sweeps": n_sweeps}}
    return prosper_ng.learn(data, folder=folder, **settings | changes)


def as_file(folder):
    """The configuration of a run on the same rows in a file."""
    np.save(folder / "rows.npy", ROWS)
    return {"name": "a", "data": {"kind": "npy", "path": str(folder / "rows.npy")}, **SETTINGS}


def same(found, expected):
    """Whether all is the same but where it was kept, and for how long it took."""
    assert (found.digest, found.data_digest) == (expected.digest, expected.data_digest)
    assert found.params.buffer.tobytes() == expected.params.buffer.tobytes()
    for name, values in expected.history.items():
        if not name.startswith(("seconds_", "elapsed")):
            assert found.history[name].tobytes() == values.tobytes(), name
    return (found.n_sweeps, found.ending) == (expected.n_sweeps, expected.ending)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_it_is_what_is_learned_without_one(tmp_path, in_memory, n_jobs, capfd):
    assert same(in_folder(tmp_path / "a", n_jobs=n_jobs), in_memory)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"checkpoints", "log.txt", "run.h5", "status.json"}
    record = read_run(tmp_path / "a")
    assert (record.config["data"]["kind"], record.config["name"]) == ("array", "a")
    assert record.status.state == "finished"
    assert capfd.readouterr() == ("", "")


def test_the_same_call_goes_on_and_then_only_says_what_is_there(tmp_path, in_memory):
    seen = []
    assert in_folder(tmp_path / "a", n_sweeps=2).n_sweeps == 2
    for _ in range(2):
        found = in_folder(tmp_path / "a", n_jobs=2, on_sweep=lambda report, params: seen.append(report.sweep))
        assert same(found, in_memory)
    assert seen == [3, 4, 5, 6]


def test_other_rows_or_settings_are_refused(tmp_path):
    in_folder(tmp_path / "a", n_sweeps=1)
    kept = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    for changes, sentence in (
        ({"data": ROWS + 1}, "holds a run on other data: the array does not hold the rows that it began with"),
        ({"data": ROWS[:-1]}, "holds 140 rows and the data 139: continue with the data that the run was started with"),
        ({"data": ROWS[:, :-1]}, "holds a run on other data"),
        ({"seed": 8}, "holds a run of another configuration, which differs in\n  seed: 7 -> 8"),
        ({"start": {"sigma": 2.0}}, "holds a run that was begun without `start`; begin with the same"),
    ):
        with pytest.raises(UserError) as caught:
            in_folder(tmp_path / "a", **changes)
        assert sentence in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()} == kept


def test_what_it_started_from_belongs_to_it(tmp_path, in_memory):
    whole = prosper_ng.learn(ROWS, **SETTINGS, start=in_memory)
    for n_sweeps in (2, 6):
        found = in_folder(tmp_path / "a", n_sweeps=n_sweeps, start=dict(in_memory.params.items()))
    assert same(found, whole)
    for start in ({"W": in_memory.params["W"] + 1}, {"W": in_memory.params["W"]}):
        with pytest.raises(UserError, match="was begun from other parameters than those of `start`"):
            in_folder(tmp_path / "a", start=start)
    with pytest.raises(UserError, match="from parameters given as `start`, which are missing here"):
        in_folder(tmp_path / "a")
    with pytest.raises(UserError, match="from parameters given as `start`, which are missing here"):
        prosper_ng.run(as_file(tmp_path), tmp_path / "a")


def test_a_listener_ends_it_once_and_for_all(tmp_path):
    def listen(report, params):
        seen.append(report.sweep)
        params["W"] = 0.0  # a copy
        return report.sweep == 2

    seen = []
    for n_sweeps, n_seen in ((6, 2), (6, 2), (4, 4)):
        found = in_folder(tmp_path / "a", n_sweeps=n_sweeps, on_sweep=listen)
        assert len(seen) == n_seen
    assert found.ending == "all 4 sweeps are done"
    assert (
        found.digest == prosper_ng.learn(ROWS, **SETTINGS | {"training": SETTINGS["training"] | {"n_sweeps": 4}}).digest
    )


def test_an_error_of_the_listener_comes_out_and_the_folder_says_so(tmp_path, in_memory):
    def listen(report, params):
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        in_folder(tmp_path / "a", on_sweep=listen)
    assert read_run(tmp_path / "a").status.state == "failed"
    with pytest.warns(UserWarning, match="holds this run without a checkpoint; it is begun anew"):
        assert same(in_folder(tmp_path / "a"), in_memory)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_keeps_the_sweep_that_it_comes_in(tmp_path, in_memory, n_jobs):
    def interrupt(report, params):
        if report.sweep == 3:
            signal.raise_signal(signal.SIGINT)

    threads, handlers = threading.active_count(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT after sweep 3 of 6") as caught:
        in_folder(tmp_path / "a", on_sweep=interrupt, n_jobs=n_jobs)
    assert caught.value.learned.n_sweeps == 3
    assert caught.value.learned.params.buffer.tobytes() == prosper_ng.load(tmp_path / "a").params.buffer.tobytes()
    assert [path.name[:17] for path in sorted((tmp_path / "a" / "checkpoints").iterdir())] == 2 * ["checkpoint-000003"]
    assert (threading.active_count(), signal.getsignal(signal.SIGINT)) == (threads, handlers)
    assert same(in_folder(tmp_path / "a"), in_memory)


def test_commands_know_such_a_folder(tmp_path, capsys, in_memory):
    folder = tmp_path / "a"
    in_folder(folder)
    np.save(tmp_path / "rows.npy", ROWS)
    assert cli.main(["show", str(folder)]) == 0
    assert in_memory.digest in capsys.readouterr().out
    assert cli.main(["infer", str(folder), str(tmp_path / "rows.npy")]) == 0
    assert "results are in" in capsys.readouterr().out
    assert cli.main(["infer", str(folder), "--force"]) == 2
    assert "are rows that a program in Python had in memory, and no file holds them" in capsys.readouterr().err
    (tmp_path / "a.yaml").write_text(read_run(folder).config_text, encoding="utf-8")
    assert cli.main(["run", str(tmp_path / "a.yaml")]) == 2
    assert (
        "prosper_ng.learn goes on with them where it is given the same rows and this folder" in capsys.readouterr().err
    )


def test_a_run_on_a_file_with_these_rows_goes_on_with_it_and_it_with_the_run(tmp_path, in_memory):
    in_folder(tmp_path / "a", n_sweeps=2)
    prosper_ng.run(as_file(tmp_path), tmp_path / "b", overrides="training.n_sweeps=2")
    with pytest.warns(UserWarning, match=r"the data hold the same rows as before, though .*data.kind: array -> npy"):
        assert same(prosper_ng.run(as_file(tmp_path), tmp_path / "a").learned, in_memory)
    with pytest.warns(UserWarning, match=r"the data hold the same rows as before, though .*data.kind: npy -> array"):
        assert same(in_folder(tmp_path / "b"), in_memory)


def test_whitened_rows_are_told_from_others(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    whitened = Npy(path=str(tmp_path / "rows.npy"), whiten="zca").open(0)
    found = in_folder(tmp_path / "a", data=whitened, n_sweeps=1)
    assert read_run(tmp_path / "a").config["data"]["whiten"] == "zca"
    assert not found.preprocessing.is_identity
    with pytest.raises(UserError, match=r"data.whiten: zca -> none"):
        in_folder(tmp_path / "a", n_sweeps=1)


def test_a_class_that_no_file_could_name_is_refused(tmp_path):
    class Mine(BSC):
        pass

    with pytest.raises(UserError, match=r"learn\(...\): the folder of a run says by their kind .* and Mine is none"):
        in_folder(tmp_path / "a", model=Mine(n_latents=3))
    with pytest.raises(UserError, match=r"learn\(...\): folder must be a path, not int"):
        in_folder(3)
    assert not (tmp_path / "a").exists()


def test_restarts_and_rows_held_out_are_the_same_from_every_face(tmp_path):
    training = {"n_sweeps": 4, "restarts": 2, "restart_sweeps": 2, "stopping": {"held_out_gain": 0.0}}
    settings = {**SETTINGS, "training": training}
    expected = prosper_ng.learn(ROWS, held_out=0.25, **settings)
    assert expected.history["restart"][:4].tolist() == [1, 1, 2, 2]
    assert np.isfinite(expected.history["held_out_free_energy"]).all()
    for _ in range(2):
        assert same(prosper_ng.learn(ROWS, held_out=0.25, folder=tmp_path / "a", **settings), expected)
    config = as_file(tmp_path) | settings
    config["data"] |= {"held_out": 0.25}
    config["memory"] = {"data_budget": "1kB", "states_budget": "1kB"}
    assert prosper_ng.run(config, tmp_path / "b").learned.digest == expected.digest
    with pytest.raises(UserError, match=r"data.held_out: 0.25 -> 0.5"):
        prosper_ng.learn(ROWS, held_out=0.5, folder=tmp_path / "a", **settings)
    with pytest.raises(UserError, match=r"data.held_out: 0.25 -> null"):
        prosper_ng.learn(ROWS, folder=tmp_path / "a", **(settings | {"training": training | {"stopping": {}}}))
