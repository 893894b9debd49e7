"""What the campaign commands say, without running anything for long."""

import io
import json
import os
import pty
import select
import sys
import termios
import tty

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.campaigns.cost import cost_of
from prosper_ng.campaigns.local import Ended
from prosper_ng.campaigns.run_state import RunState
from prosper_ng.report.campaign_progress import CampaignProgress
from prosper_ng.storage.status import Status
from tests.helpers.campaigns import planned, write_campaign
from tests.helpers.terminals import on_a_terminal

GRID = "repeats: 2\ngrid:\n  model.n_latents: [4, 6]\n  estep.n_states: [8, 12]\n"


def said(capsys, *arguments):
    status = cli.main(["campaign", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_the_plan_is_a_table_with_its_cost(tmp_path, capsys):
    path = write_campaign(tmp_path, GRID)
    status, out, _ = said(capsys, "plan", path, "--output", tmp_path / "out")
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == f"trial: 8 runs of 4 points in {tmp_path / 'out'}: 8 waiting"
    assert lines[1].split() == ["model.n_latents", "estep.n_states", "runs", "sweeps", "first", "id", "state"]
    assert lines[2].split()[:4] == ["4", "8", "2", "6"]
    assert lines[6].startswith("computing for up to 10 s on this machine")
    assert lines[7].startswith("what is left takes about ")
    assert "on disk" in lines[7]
    assert not (tmp_path / "out").exists()


def test_the_plan_tells_which_runs_could_not_begin(tmp_path, capsys):
    path = write_campaign(
        tmp_path, "repeats: 2\ngrid:\n  data.n_rows: [30, 60]\n  training.updates_per_sweep: [1, 3, 4]\n"
    )
    status, out, _ = said(capsys, "plan", path, "--pilot", "0")
    lines = [line for line in out.splitlines() if line.startswith("cannot be run: ")]
    assert status == 0
    assert [line.split(": ")[1].partition(" (")[0] for line in lines] == ["2 of 12 runs", "2 of 12 runs"]
    assert all("training.updates_per_sweep is " in line for line in lines)
    assert "cannot be run" not in said(capsys, "plan", path, "--no-data")[1]


def test_the_plan_opens_the_data(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.ones((50, 4)))
    sources = ", ".join(f"{{kind: npy, path: {tmp_path / name}}}" for name in ("rows.npy", "nowhere.npy"))
    path = write_campaign(tmp_path, f"repeats: 2\ngrid:\n  data: [{sources}]\n  model.n_latents: [2, 3]\n")
    out = said(capsys, "plan", path)[1]
    assert "cannot be run: 4 of 8 runs (data={kind: npy, path: " in out
    assert out.count("nowhere.npy: no such file") == 1
    assert "what is left takes about " in out


def test_the_plan_for_programs(tmp_path, capsys):
    path = write_campaign(tmp_path, GRID)
    _, out, _ = said(capsys, "plan", path, "--json")
    found = json.loads(out)
    assert found["axes"] == ["model.n_latents", "estep.n_states"]
    assert [run["id"] for run in found["runs"]] == [run.id for run in planned(tmp_path, GRID).runs]


def test_many_points_are_cut_unless_all_are_asked_for(tmp_path, capsys):
    path = write_campaign(tmp_path, f"grid: {{model.n_latents: {list(range(1, 71))}}}\n")
    assert "and 10 more points; --all shows them" in said(capsys, "plan", path, "--pilot", "0")[1]
    assert "more points" not in said(capsys, "plan", path, "--pilot", "0", "--all")[1]


def test_points_without_a_pilot_are_taken_to_be_like_the_others(tmp_path):
    plan = planned(tmp_path, GRID)
    for _ in range(5):  # pilots are measured, and others may be at work meanwhile
        few, all_ = cost_of(plan.runs, 0.0), cost_of(plan.runs, 60.0)
        assert (few.n_points, few.n_piloted, all_.n_piloted) == (4, 1, 4)
        if 0.2 < few.core_hours / all_.core_hours < 5:
            break
    assert 0.2 < few.core_hours / all_.core_hours < 5
    assert all_.slowest < all_.core_hours * 3600
    assert all_.n_runs == 8
    one = cost_of(plan.runs[:2], 60.0)
    assert one.disk < all_.disk


def test_what_cannot_be_tried_is_said(tmp_path):
    plan = planned(
        tmp_path, "sum:\n  - list: [{data: {kind: npy, path: none.npy}}]\n  - list: [{model.n_latents: 4}]\n"
    )
    found = cost_of(plan.runs, 60.0)
    assert found.problems == ("none.npy: no such file",)
    assert (found.n_points, found.n_piloted) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rerun", "FILE", "zzz"], "no run of FILE has an id that begins with 'zzz'; `campaign status` lists all"),
        (["rerun", "FILE", ""], "8 runs of FILE have an id that begins with ''"),
        (["plan", "FOLDER", "--set", "repeats=2"], "a campaign's folder; --set and --output go with a campaign's file"),
        (["plan", "FOLDER"], "holds no plan.json that can be read"),
        (["plna", "FILE"], "invalid choice: 'plna'"),
        (["run", "FILE", "--cores", "0"], "--cores"),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(tmp_path, capsys, arguments, message):
    path = write_campaign(tmp_path, GRID)
    words = {"FILE": str(path), "FOLDER": str(tmp_path)}
    status, _, err = said(capsys, *(words.get(word, word) for word in arguments))
    assert status == 2
    assert message.replace("FILE", str(path)) in err


def test_runs_that_are_no_part_of_the_campaign_are_refused(tmp_path, capsys):
    path = write_campaign(tmp_path, GRID)
    status, out, err = said(capsys, "run", path, "--output", tmp_path / "out", "--only", "ab12", "cd34")
    assert (status, out) == (2, "")
    assert err == f"error: {path} has no run ab12 or cd34; `campaign status` lists the ids of all\n"
    assert not (tmp_path / "out").exists()


def test_nothing_has_failed_so_nothing_is_begun_anew(tmp_path, capsys):
    path = write_campaign(tmp_path, GRID)
    assert said(capsys, "rerun", path)[:2] == (0, "no run has failed; nothing is restarted\n")


def arrived(reader):
    """What comes until nothing more does: a terminal hands on long texts piece by piece."""
    found = b""
    while select.select([reader], [], [], 0.3)[0]:
        found += reader.read(1 << 16)
    return found


@pytest.fixture(params=["file", "terminal"])
def shown(request, tmp_path):
    """A stream, and a function that says what was written to it."""
    leader, follower = pty.openpty()
    tty.setraw(follower)
    termios.tcsetwinsize(follower, (40, 120))
    with os.fdopen(leader, "rb", 0) as reader, os.fdopen(follower, "w") as terminal:
        if request.param == "terminal":
            yield terminal, lambda: arrived(reader).decode()
        else:
            path = tmp_path / "out.txt"
            with path.open("w", encoding="utf-8") as stream:
                yield stream, path.read_text


def test_progress_has_a_line_for_each_run_that_ends(tmp_path, shown, monkeypatch):
    plan = planned(tmp_path, GRID)
    out, written = shown
    if out.isatty():
        monkeypatch.setattr(sys, "stderr", out)
        monkeypatch.setenv("TERM", "xterm")
    progress = CampaignProgress(8, 6, stream=out)
    progress.opened(plan.folder, plan.runs[6:], 2)
    done = RunState("finished", Status("finished", 6, 6, -12.5))
    broken = RunState("failed", None, "[no] such file\nmore", "do this")
    for run, run_state in zip(plan.runs[6:], (done, broken), strict=True):
        progress.began(run)
        progress.ended(Ended(run, run_state, 1.25))
    progress.close()
    progress.conclude([done, broken, broken], "1 finished, 2 failed", plan)
    out.flush()
    text = written()
    assert f"8 runs in {plan.folder}, 6 are finished; 2 to run on 2 cores" in text
    assert f"7/8  {plan.runs[6].id}  finished     1.2 s  {plan.runs[6].title}  F -12.5000" in text
    assert "repeat 1  [no] such file\n" in text
    assert "2 failed: [no] such file" in text
    assert text.count("do this") == 1
    assert ("\x1b[" in text) == out.isatty()


def test_quiet_progress_says_nothing(tmp_path):
    plan = planned(tmp_path, GRID)
    out = io.StringIO()
    progress = CampaignProgress(8, 0, quiet=True, stream=out)
    progress.opened(plan.folder, plan.runs, 2)
    progress.began(plan.runs[0])
    progress.ended(Ended(plan.runs[0], RunState("finished", None), 1.0))
    progress.close()
    progress.conclude([], "8 finished", plan)
    assert out.getvalue() == ""


def test_a_terminal_is_shown_how_many_runs_were_read(tmp_path, capsys):
    plan = planned(tmp_path, "repeats: 3")
    plan.folder.mkdir()
    arguments = ("collect", plan.path, "--output", plan.folder, "--no-figures")
    text = on_a_terminal(sys.executable, "-m", "prosper_ng", "campaign", *arguments)
    assert "reading runs" in text
    assert "100%" in text
    status, *both = said(capsys, *arguments)
    assert (status, "reading runs" in "".join(both)) == (0, False)


def test_a_persons_own_folder_and_tables_are_left_alone(tmp_path, capsys):
    path = write_campaign(tmp_path, GRID)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for action in ("plan", "run", "status", "collect"):
        status, out, err = said(capsys, action, path, "--output", tmp_path / "mine")
        assert (status, out) == (2, "")
        assert "is not empty and holds no campaign, but notes.txt" in err
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    out = tmp_path / "out"
    for _ in range(2):
        assert said(capsys, "collect", path, "--output", out, "--no-figures")[0] == 0
    for name in ("runs.csv", "points.csv", "table.h5"):
        before = (out / name).read_bytes()
        (out / name).write_text("height,width\n1,2\n", encoding="utf-8")
        status, _, err = said(capsys, "collect", path, "--output", out, "--no-figures")
        assert status == 2
        assert f"{name} is not a table of this campaign" in err
        assert (out / name).read_text(encoding="utf-8").startswith("height")
        (out / name).write_bytes(before)
