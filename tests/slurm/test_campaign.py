"""A campaign of 9 runs through Slurm: arrays, one run that fails, one that is stopped, submission of what is left."""

import csv
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.campaigns import submissions
from prosper_ng.campaigns.plan import load_plan
from prosper_ng.storage.run_record import read_run
from tests.helpers.campaigns import write_campaign
from tests.helpers.small_runs import SEARCH
from tests.slurm.conftest import ROOT, Run, prosper, wait_for

CAMPAIGN = """
name: sizes
base: base.yaml
sum:
  - grid: {model.n_latents: [4, 5]}
    list: [{estep.n_states: 6}, {estep.n_states: 8}, {estep.n_states: 10}]
  - grid: {model.n_latents: [6, 7]}
  - list: [{data: {kind: npy, path: rows.npy}}]
"""


@pytest.fixture(scope="module")
def folder(cluster, tmp_path_factory):
    """A folder with a campaign, of which one run lacks its data."""
    found = tmp_path_factory.mktemp("campaign")
    (found / "base.yaml").write_text(SEARCH.replace("updates_per_sweep: 3", "updates_per_sweep: 1"), encoding="utf-8")
    (found / "sizes.yaml").write_text(CAMPAIGN, encoding="utf-8")
    return found


def submit(folder, *arguments):
    """The jobs that were made, and what was said."""
    done = prosper("campaign", "submit", "sizes.yaml", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return re.findall(r"^job (\d+), tasks (\S+): runs: (\d+)", done.stdout, re.MULTILINE), done.stdout


def status(folder):
    """The runs as `campaign status` sees them."""
    return json.loads(prosper("campaign", "status", "sizes.yaml", "--json", cwd=folder).stdout)["runs"]


def digests(folder):
    return {path.parent.name: read_run(path.parent).attributes["digest"] for path in folder.glob("runs/*/run.h5")}


def test_a_campaign_of_which_one_run_fails_and_only_that_is_submitted_again(folder, cluster):
    shown = prosper("submit", "sizes.yaml", "--dry-run", "--parallel", "5", cwd=folder)
    assert re.findall(r"^# array \d of 2: sbatch (--array=\S+)", shown.stdout, re.MULTILINE) == [
        "--array=0-7%3",
        "--array=0-0%2",
    ]
    assert not (folder / "runs").exists()

    jobs, _ = submit(folder, "--time", "10", "--parallel", "6")
    assert [(tasks, n_runs) for _, tasks, n_runs in jobs] == [("0-7%3", "8"), ("0-0%3", "1")]
    nothing, said = submit(folder)
    assert (nothing, said.startswith("sizes: nothing to submit; 9 runs in ")) == ([], True)
    numbers = ",".join(job for job, *_ in jobs)
    wait_for("all tasks to be over", lambda: not cluster.ask("squeue", "--noheader", "--jobs", numbers))

    runs = status(folder)
    assert [run["state"] for run in runs] == ["finished"] * 8 + ["failed"]
    assert "rows.npy" in runs[-1]["reason"]
    log = f"logs/slurm-{jobs[1][0]}_0.out"
    assert "rows.npy" in (folder / "runs" / "sizes" / log).read_text(encoding="utf-8")
    assert runs[-1]["log"] == str(Path("runs/sizes") / log)
    assert log in prosper("campaign", "status", "sizes.yaml", cwd=folder).stdout
    assert prosper("campaign", "collect", "sizes.yaml", cwd=folder).returncode == 0
    table = next((folder / "runs" / "sizes").rglob("*.csv"))
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["state"] for row in rows] == [run["state"] for run in runs]

    np.save(folder / "rows.npy", np.random.default_rng(1).standard_normal((60, 9)))
    jobs, said = submit(folder)
    assert [(tasks, n_runs) for _, tasks, n_runs in jobs] == [("0-0", "1")]
    assert said.endswith("1 of 9 runs were submitted; prosper-ng campaign status runs/sizes\n")
    assert cluster.wait_until_over(f"{jobs[0][0]}_0") == "COMPLETED"
    assert {run["state"] for run in status(folder)} == {"finished"}

    assert prosper("campaign", "run", "sizes.yaml", "--output", "here", "--quiet", cwd=folder).returncode == 0
    assert digests(folder / "here") == digests(folder / "runs" / "sizes")
    assert len(digests(folder / "here")) == 9


def test_runs_that_share_jobs_stop_in_time_start_again_and_are_told_one_by_one(cluster, tmp_path):
    held = Run(tmp_path / "held")
    path = write_campaign(tmp_path, "repeats: 4\nfixed: {training.n_sweeps: 100}")
    where = ("--output", tmp_path / "out")
    # A node is stopped under another test.
    options = ("--sbatch", "exclude=n2", "--runs-per-job", "3", "--cpus-per-task", "2", "--site", held.site)
    done = prosper("submit", path, *where, *options)
    assert done.returncode == 0, done.stderr
    job, tasks, n_runs = re.match(r"job (\d+), tasks (\S+): runs: (\d+)", done.stdout).groups()
    assert (tasks, n_runs) == ("0-1", "4")

    def states():
        told = prosper("campaign", "status", path, *where, "--json").stdout
        return [run["state"] for run in json.loads(told)["runs"]]

    wait_for("two runs to run side by side, and one to wait", lambda: states()[:3] == ["running"] * 2 + ["queued"])
    cluster.ask("scancel", "--signal=USR1", "--batch", f"{job}_0")
    wait_for("the first job to stop", lambda: cluster.describe(f"{job}_0")["Restarts"] == "1")
    held.go_on()
    for task in (0, 1):
        assert cluster.wait_until_over(f"{job}_{task}") == "COMPLETED"
    # Only the one that was warned has started again.
    assert [cluster.describe(f"{job}_{task}")["Restarts"] for task in (0, 1)] == ["1", "0"]
    assert states() == ["finished"] * 4
    assert prosper("submit", path, *where, *options).stdout.startswith("trial: nothing to submit")
    assert prosper("campaign", "run", path, "--output", tmp_path / "here", "--quiet").returncode == 0
    assert digests(tmp_path / "here") == digests(tmp_path / "out")


def test_a_slurm_that_does_not_answer_matters_only_where_jobs_were_submitted(cluster, tmp_path, monkeypatch):
    path = write_campaign(tmp_path, "repeats: 2")
    monkeypatch.setenv("SLURM_CONF", str(cluster.out_of_reach(tmp_path)))
    where = ("--output", str(tmp_path / "out"))
    done = prosper("campaign", "status", str(path), *where, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    done = prosper("campaign", "submit", str(path), *where, "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "# jobs that wait are not known, and would be left out: looking into the queue: squeue says: " in done.stdout
    assert re.search(r"^# array 1 of 1: sbatch --array=0-1 ", done.stdout, re.MULTILINE)
    submissions.record(tmp_path / "out", "7", [load_plan(path).runs[0].id])
    done = prosper("campaign", "status", str(path), *where, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: jobs that wait are not known: ")


def test_the_script_of_an_array_by_hand_runs_a_line_of_the_map_in_each_task(cluster, tmp_path):
    runs = [Run(tmp_path / name) for name in ("one", "other")]
    tasks = tmp_path / "tasks.tsv"
    tasks.write_text("".join(f"{run.config}\t{run.folder}\n" for run in runs), encoding="utf-8")
    job = cluster.ask(
        "sbatch", "--parsable", "--array=0-1", "--ntasks-per-node=1", f"--output={tmp_path}/%A_%a.out",
        ROOT / "jobs" / "campaign.sbatch", tasks, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    )  # fmt: skip
    for task, run in enumerate(runs):
        assert cluster.wait_until_over(f"{job}_{task}") == "COMPLETED"
        assert run.status.job == f"{job}_{task}"
        assert f"job {job}_{task} on n" in (tmp_path / f"{job}_{task}.out").read_text(encoding="utf-8")
    assert runs[0].digest == runs[1].digest
