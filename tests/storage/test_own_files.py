import os

import pytest

from prosper_ng.campaigns import kept_plan, local, plan, results, submissions
from prosper_ng.commands import submit
from prosper_ng.errors import UserError
from prosper_ng.experiments import run_folder
from prosper_ng.report import log, page
from prosper_ng.storage import own_files
from prosper_ng.storage.own_files import (
    files_named_in,
    files_of_run,
    require_campaign_folder,
    require_no_input,
    require_run_folder,
)

IN_RUNS = (
    run_folder.RUN_FILE, run_folder.LOCK_FILE, run_folder.STOP_FILE, run_folder.CHECKPOINT_FILE, run_folder.FOLDER,
    log.NAME, page.NAME, submit._SCRIPT, submit._CONFIG, submit._JOB, plan.CONFIG_FILE, "status.json", "output.txt",
)  # fmt: skip
IN_CAMPAIGNS = (
    kept_plan.NAME, plan.RUNS, local.ASIDE, submissions.FOLDER, submissions.LOGS, results.RUNS_CSV, results.POINTS_CSV,
    results.TABLE_FILE, page.NAME, "figures",
)  # fmt: skip
LEFT_BY_OTHERS = (".gitkeep", ".DS_Store", "._x", ".nfs0001", "lost+found")


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "names",
    [
        (),
        IN_RUNS,
        LEFT_BY_OTHERS,
        ("log.txt", "slurm-12.out", "restarts.txt"),
        (".run.lock.0a1b.tmp",),
        ("bars.yaml", "config.yaml"),
        ("run.h5", "notes.txt"),
        ("run.lock", "notes.txt"),
        ("checkpoints/checkpoint-000004.json", "notes.txt"),
    ],
)
def test_folders_that_runs_begin_or_go_on_in(names, tmp_path):
    require_run_folder(fill(tmp_path, *names), ())
    require_run_folder(tmp_path / "new", ())


@pytest.mark.parametrize(
    "names",
    [("notes.txt",), ("photo.png", "log.txt"), ("checkpoints/best.pt", "train.py"), (".bashrc",), ("runs/a/run.h5",)],
)
def test_a_persons_own_folder_is_no_run_folder(names, tmp_path):
    with pytest.raises(UserError, match=r"is not empty and holds no run, but .*; choose a new folder for the run"):
        require_run_folder(fill(tmp_path, *names), ())


def test_a_status_that_is_one_makes_a_run(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "status.json").write_text('{"jobs": 3}', encoding="utf-8")
    with pytest.raises(UserError, match="holds no run"):
        require_run_folder(tmp_path, ())
    run_folder.StatusFile(tmp_path, 3).write()
    require_run_folder(tmp_path, ())


def test_a_campaigns_folder_is_its_own_or_empty(tmp_path):
    require_campaign_folder(tmp_path / "new")
    require_campaign_folder(fill(tmp_path / "own", *IN_CAMPAIGNS, "notes.txt"))
    require_campaign_folder(fill(tmp_path / "begun", *IN_CAMPAIGNS[1:], *LEFT_BY_OTHERS, "campaign.yaml"))
    with pytest.raises(UserError, match=r"is not empty and holds no campaign, but a.py, b, c, …; choose a new folder"):
        require_campaign_folder(fill(tmp_path / "other", "a.py", "b", "c", "d"))


@pytest.mark.parametrize("name", ["run.h5", "log.txt", "curves.png", "checkpoints/checkpoint-000003-0.h5"])
def test_a_run_does_not_write_over_what_it_reads(name, tmp_path):
    fill(tmp_path / "x", "run.h5", name)
    fill(tmp_path, "data.npy")
    require_run_folder(tmp_path / "x", [tmp_path / "data.npy"])
    (tmp_path / "other").hardlink_to(tmp_path / "x" / name)
    for way in (tmp_path / "x" / name, tmp_path / "other"):
        with pytest.raises(UserError, match=r"the run reads .* and would replace it"):
            require_run_folder(tmp_path / "x", [way])


def test_no_output_is_an_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path, "data.npy", "equal.npy")
    (tmp_path / "soft.npy").symlink_to("data.npy")
    (tmp_path / "hard.npy").hardlink_to("data.npy")
    for name in ("data.npy", "./data.npy", "soft.npy", "hard.npy", f"../{tmp_path.name}/data.npy"):
        with pytest.raises(UserError, match="is never replaced, not even with --force"):
            require_no_input(tmp_path / name, files_named_in("data.npy"))
    require_no_input(tmp_path / "equal.npy", files_named_in("data.npy"))
    require_no_input(tmp_path / "new.npy", files_named_in("data.npy"))


def test_files_that_settings_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path, "a.npy", "b.npy", "sub/c.npy", "mask.png")
    settings = {
        "kind": "x", "path": "~/a.npy", "paths": ["b.npy", "none.npy"], "more": "sub/*.npy",
        "task": {"clean": "mask.png", "dataset": "data"}, "n": 3, "nothing": None, "who": "~nosuchuser/a", "nul": "a\0",
    }  # fmt: skip
    found = [os.path.relpath(path) for path in files_named_in(settings)]
    assert found == ["a.npy", "b.npy", "sub/c.npy", "mask.png"]


def test_files_of_a_run_are_all_it_has_written(tmp_path):
    fill(tmp_path / "run", "run.h5", "status.json", "checkpoints/checkpoint-000002.json", "notes.txt")
    names = {"run.h5", "status.json", "checkpoints/checkpoint-000002.json"}
    for path in (tmp_path / "run", tmp_path / "run" / "run.h5"):
        assert {each.relative_to(tmp_path / "run").as_posix() for each in files_of_run(path)} == names
    fill(tmp_path, "model.h5", "log.txt")
    assert list(files_of_run(tmp_path / "model.h5")) == [tmp_path / "model.h5"]


def test_the_pictures_of_a_run_are_known():
    assert set(own_files.PICTURES) <= set(own_files.WRITTEN)
