"""`prosper_ng.run`: what the command does, from Python."""

import logging
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import yaml

import prosper_ng
from prosper_ng import cli
from prosper_ng.config import load
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.models.bsc import BSC
from prosper_ng.report.narrator import Narrator
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import SEARCH

CONFIG = yaml.safe_load(SEARCH)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The record of what the command makes of the configuration, and its file."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "run.yaml").write_text(SEARCH, encoding="utf-8")
    assert cli.main(["--quiet", "run", str(folder / "run.yaml"), "--output", str(folder / "run")]) == 0
    return folder / "run.yaml", read_run(folder / "run")


@pytest.fixture
def interrupted_after(monkeypatch):
    """A function (*sweeps) that has Ctrl-C come after these, each once."""
    original = Narrator.sweep

    def arrange(*sweeps):
        left = [*sweeps]

        def heard(self, done, *told):
            original(self, done, *told)
            if done in left:
                left.remove(done)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Narrator, "sweep", heard)

    return arrange


@pytest.mark.parametrize("form", ["path", "mapping", "components", "settings"])
def test_whatever_holds_the_configuration_it_is_the_run_of_the_command(command, tmp_path, form):
    file, record = command
    config = {
        "path": str(file),
        "mapping": CONFIG,
        "components": CONFIG | {"model": BSC(n_latents=6), "seed": np.int64(CONFIG["seed"])},
        "settings": load(file, RunConfig).value,
    }[form]
    outcome = prosper_ng.run(config, tmp_path / "run")
    assert (outcome.finished, outcome.sentence, outcome.folder) == (
        True,
        "recovered 6 of 6 dictionary elements",
        tmp_path / "run",
    )
    found = read_run(tmp_path / "run")
    assert found.attributes["digest"] == record.attributes["digest"] == outcome.learned.digest
    assert found.history["free_energy"].tobytes() == record.history["free_energy"].tobytes()
    assert outcome.results["recovered"] == {"found": 6, "of": 6}
    assert "sweep 12: free energy" in (tmp_path / "run" / "log.txt").read_text()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in record.path.parent.iterdir()}
    assert found.config == {**record.config, "output": found.config["output"]}


def test_the_command_goes_on_with_it_and_it_with_the_command(command, tmp_path):
    file, record = command
    few = ("training.n_sweeps=4",)
    prosper_ng.run(file, tmp_path / "a", overrides=few)
    assert cli.main(["--quiet", "run", str(file), "--output", str(tmp_path / "a")]) == 0
    assert cli.main(["--quiet", "run", str(file), "--output", str(tmp_path / "b"), "--set", *few]) == 0
    prosper_ng.run(CONFIG, tmp_path / "b")
    for name in "ab":
        assert read_run(tmp_path / name).attributes["digest"] == record.attributes["digest"]


def test_the_folder_is_that_of_the_configuration_where_none_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert str(prosper_ng.run(CONFIG, overrides=["training.n_sweeps=1", "name=mine"]).folder) == "runs/mine"
    assert (tmp_path / "runs" / "mine" / "run.h5").exists()
    assert capfd.readouterr() == ("", "")


def test_progress_is_lines_where_it_is_asked_for(tmp_path, capsys):
    for _ in range(2):
        prosper_ng.run(CONFIG, tmp_path / "run", overrides=["training.n_sweeps=1"], progress=True)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("sweep 1/1  F -")
    assert second == "resumed after sweep 1 of 1"


def test_ctrl_c_brings_the_sweep_to_its_end_and_the_same_call_goes_on(command, tmp_path, interrupted_after):
    handlers, threads = signal.getsignal(signal.SIGINT), threading.active_count()
    interrupted_after(4)
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT after sweep 5 of 12") as caught:
        prosper_ng.run(CONFIG, tmp_path / "run")
    outcome = caught.value.outcome
    assert (outcome.finished, outcome.learned.n_sweeps) == (False, 5)
    assert read_run(tmp_path / "run").status.state == "stopped"
    assert (signal.getsignal(signal.SIGINT), threading.active_count()) == (handlers, threads)
    assert prosper_ng.run(CONFIG, tmp_path / "run").finished
    assert read_run(tmp_path / "run").attributes["digest"] == command[1].attributes["digest"]


def test_a_second_ctrl_c_ends_it_at_once(command, tmp_path, interrupted_after):
    threads = threading.active_count()
    interrupted_after(6, 7)  # in the first the run is told, the second is brought to its end
    with pytest.raises(KeyboardInterrupt) as caught:
        prosper_ng.run(CONFIG, tmp_path / "run")
    assert not hasattr(caught.value, "outcome")
    assert threading.active_count() == threads
    status = read_run(tmp_path / "run").status
    assert (status.state, status.reason) == ("failed", "KeyboardInterrupt")
    prosper_ng.run(CONFIG, tmp_path / "run")
    assert read_run(tmp_path / "run").attributes["digest"] == command[1].attributes["digest"]


def test_it_works_in_threads_side_by_side_each_with_its_own_log(command, tmp_path):
    threads = [threading.Thread(target=prosper_ng.run, args=(CONFIG, tmp_path / name)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "ab":
        assert read_run(tmp_path / name).attributes["digest"] == command[1].attributes["digest"]
        log = (tmp_path / name / "log.txt").read_text()
        assert [log.count(f"sweep {sweep}: free energy") for sweep in (1, 12)] == [1, 1]
    assert not logging.getLogger("prosper_ng").handlers


def test_a_time_limit_ends_it_and_is_no_interruption(tmp_path):
    outcome = prosper_ng.run(CONFIG, tmp_path / "run", time_limit="1s", overrides=["training.n_sweeps=100000"])
    assert not outcome.finished
    assert "are left until the time limit of 1 s" in outcome.sentence


def test_what_is_doubtful_is_a_warning_here(tmp_path):
    np.save(tmp_path / "rows.npy", 1e8 + np.random.default_rng(0).normal(size=(40, 4)))
    config = CONFIG | {"data": {"kind": "npy", "path": str(tmp_path / "rows.npy")}}
    with pytest.warns(UserWarning, match="the data lie far from 0 for how little they vary") as caught:
        prosper_ng.run(config, tmp_path / "run", overrides=["training.n_sweeps=1"])
    assert {warning.filename for warning in caught if warning.category is UserWarning} == {__file__}
    assert (
        "WARNING model bsc here has no mean of its own, and the data lie far"
        in (tmp_path / "run" / "log.txt").read_text()
    )


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        (3, {}, "run(...): config must be the path of a YAML file, a mapping, or a RunConfig, not int"),
        ("none.yaml", {}, "none.yaml: error: there is no such file"),
        (CONFIG | {"modle": "bsc"}, {}, "run(...): error: unknown field `modle`; did you mean `model`?"),
        (CONFIG, {"overrides": ["seed=-1"]}, "--set seed=-1: error: `seed` must be an integer"),
        (CONFIG, {"time_limit": "soon"}, "run(...): time_limit: 'soon' is not a duration"),
        (CONFIG, {"time_limit": [1]}, "run(...): time_limit is a number of seconds, or a text such as 1h30m, not list"),
        (CONFIG, {"folder": 3}, "run(...): folder must be a path, not int"),
        (CONFIG, {"progress": "loud"}, "progress must be True, False or \"auto\", not 'loud'"),
        (CONFIG, {"comm": "world"}, "comm must be None or a communicator of mpi4py, not str"),
        (CONFIG | {"data": "array"}, {}, "data of kind `array` are rows that a program in Python had in memory"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(tmp_path, config, changes, sentence):
    with pytest.raises(UserError) as caught:
        prosper_ng.run(config, **{"folder": tmp_path / "run"} | changes)
    assert sentence in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_class_that_no_file_could_name_is_refused(tmp_path):
    class Mine(BSC):
        pass

    config = replace(load(_written(tmp_path), RunConfig).value, model=Mine(n_latents=6))
    with pytest.raises(UserError, match=r"run\(...\): the folder of a run says by their kind .* and Mine is none"):
        prosper_ng.run(config, tmp_path / "run")


def test_the_file_of_a_campaign_is_told_from_that_of_a_run(tmp_path):
    (tmp_path / "a.yaml").write_text("name: a\nbase: run.yaml\nsweep: {seed: [1, 2]}\n", encoding="utf-8")
    with pytest.raises(UserError, match="describes a campaign, and a single run is wanted"):
        prosper_ng.run(tmp_path / "a.yaml")


def _written(folder):
    (folder / "run.yaml").write_text(SEARCH, encoding="utf-8")
    return folder / "run.yaml"
