"""Single runs as jobs: submitted, cancelled, killed, left by their node, started with the wrong launcher."""

import os
import shutil
import signal
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from prosper_ng.slurm.queue import queue
from prosper_ng.storage import batch_job
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import read_status
from tests.helpers.small_runs import SEARCH
from tests.mpi.test_reliability import open_mpi
from tests.slurm.conftest import ROOT, Run, prosper, wait_for


def test_a_run_on_two_nodes_and_what_is_said_of_it(run, cluster, digest):
    job = run.submit("--nodes", "2", "--time", "10m", "--sbatch", "comment=it's 5 #1")
    again = prosper("submit", run.config, "--output", run.folder)
    assert again.returncode == 2
    assert again.stderr.startswith(f"error: {run.folder} is in the queue as job {job} (")
    assert queue()[job].name == run.folder.name
    run.wait_for_checkpoint()
    run.go_on()
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)
    assert cluster.describe(job)["Comment"] == "it's"
    assert ", ranks: 2, by srun --mpi=pmi2 " in run.log(job)
    assert run.digest == digest
    done = prosper("submit", run.config, "--output", run.folder)
    assert (done.returncode, done.stdout) == (
        0,
        f"nothing to submit: {run.folder} is finished (all 120 sweeps are done)\n",
    )


def test_the_script_by_hand(run, cluster, digest):
    run.go_on()
    folder = run.folder.with_name("by hand")
    job = cluster.ask(
        "sbatch", "--parsable", "--ntasks-per-node=2", f"--output={folder}.out",
        ROOT / "jobs" / "train.sbatch", run.config, folder, "--quiet",
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        SLURM_ARRAY_JOB_ID="3", SLURM_ARRAY_TASK_ID="7", OMP_NUM_THREADS="64",
    )  # fmt: skip
    assert cluster.wait_until_over(job) == "COMPLETED", Path(f"{folder}.out").read_text()
    assert Run(folder).digest == digest
    assert Run(folder).status.job == job
    assert f"job {job} on n" in Path(f"{folder}.out").read_text()


def test_the_script_for_pbs_by_the_qsub_that_stands_before_slurm(run, cluster, digest, tmp_path):
    """Two ranks, deleted amid the run, and the same command again; what a PBS tells its jobs is told by a line more."""
    if shutil.which("qsub") is None:
        pytest.skip("qsub is not installed; Debian's slurm-wlm-torque has one")
    text = (ROOT / "jobs" / "train.pbs").read_text()
    text = text.replace("select=1:ncpus=4:mpiprocs=4:ompthreads=1", "nodes=1:ppn=2")
    directives, rest = text.split("#PBS -j oe\n")
    told = "export PBS_O_WORKDIR=$SLURM_SUBMIT_DIR PBS_JOBID=$SLURM_JOB_ID PBS_NODEFILE=$(generate_pbs_nodefile)\n"
    script, folder = tmp_path / "train.pbs", tmp_path / "by_qsub"
    script.write_text(f"{directives}#PBS -o {tmp_path}/said -e {tmp_path}/said\n{told}. '{run.site}'\n{rest}")
    config = tmp_path / "run.yaml"
    config.write_text(run.config.read_text())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ("qsub", "-V", "-v", f"CONFIG={config},FOLDER={folder}", script)
    job = cluster.ask(*command, PATH=path)
    Run.wait_for_checkpoint(SimpleNamespace(folder=folder))
    cluster.ask("qdel", job)
    cluster.wait_until_over(job)
    wait_for("the run to stop", lambda: read_status(folder).state == "stopped")
    run.go_on()
    again = cluster.ask(*command, PATH=path)
    assert cluster.wait_until_over(again) == "COMPLETED", (tmp_path / "said").read_text()
    found = read_run(folder)
    assert (found.attributes["digest"], found.provenance["pbs_jobid"]) == (digest, job)


def test_open_mpi_is_started_with_what_works_for_it(run, cluster):
    (mpiexec, *_), library = open_mpi()
    run.disturb(**library, PATH=f"{Path(mpiexec).parent}:{os.environ['PATH']}")
    run.go_on()
    run.config.write_text(SEARCH)
    done = prosper(
        "submit", run.config, "--output", run.folder, "--site", run.site, "--ntasks-per-node", "2", **library
    )
    job = done.stdout.split()[1].rstrip(":")
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)
    assert "srun --mpi=pmi2 --kill-on-bad-exit=1 does not start 2 ranks that find each other" in run.log(job)
    assert read_run(run.folder).provenance["n_ranks"] == 2


def test_a_wrong_launcher_is_refused_and_the_job_does_not_come_back(run, cluster):
    run.go_on()
    done = prosper(
        "submit", run.config, "--output", run.folder, "--ntasks-per-node", "2", PROSPER_NG_LAUNCHER="srun --mpi=none"
    )
    job = done.stdout.split()[1].rstrip(":")
    assert cluster.wait_until_over(job) == "FAILED"
    assert "the launcher was asked for 2 ranks, but this process finds itself in a group of 1" in run.log(job)
    assert cluster.describe(job)["Restarts"] == "0"
    assert run.status is None


def test_a_cancelled_run_has_its_checkpoint_and_continues_when_submitted_again(run, cluster, digest):
    job = run.submit("--ntasks-per-node", "2")
    run.wait_for_checkpoint()
    cluster.ask("scancel", job)
    assert cluster.wait_until_over(job) == "CANCELLED"
    wait_for("the last checkpoint", lambda: run.status.state == "stopped")
    assert run.status.reason.startswith("stopped by SIG")
    assert any(run.folder.glob(f"checkpoints/*{run.status.iteration:06d}.json"))
    run.go_on()
    assert cluster.wait_until_over(run.submit()) == "COMPLETED"
    assert run.digest == digest


def test_a_file_stop_is_not_answered_with_a_restart(run, cluster):
    job = run.submit()
    run.wait_for_checkpoint()
    (run.folder / "stop").touch()
    assert cluster.wait_until_over(job) == "FAILED"
    assert cluster.describe(job)["ExitCode"] == "75:0"
    assert "stopped as it was told to" in run.log(job)


def test_a_killed_rank_ends_the_attempt_and_the_next_one_continues_on_the_same_node(run, cluster, digest):
    job = run.submit("--ntasks-per-node", "2", "--sbatch", "nodelist=n3")
    run.wait_for_checkpoint()
    os.kill(run.status.pid, signal.SIGKILL)
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)
    assert cluster.describe(job)["Restarts"] == "1"
    assert run.log(job).count("on n3") == 3
    assert run.digest == digest


def test_restarts_without_progress_come_to_an_end(run, cluster):
    run.config.write_text(run.config.read_text().replace("checkpoint_sweeps: 2", "checkpoint_sweeps: 100"))
    run.disturb(FALL=signal.SIGKILL.value)
    job = run.submit()
    assert cluster.wait_until_over(job) == "FAILED", run.log(job)
    assert cluster.describe(job)["Restarts"] == "3"
    assert "ended with status 137 after 3 restarts that came no further than the beginning" in run.log(job)


def test_what_slurm_says_about_jobs(run, cluster, monkeypatch):
    job = run.submit("--time", "7")
    cluster.wait_until(job, "RUNNING")
    assert not batch_job.is_gone(job)
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    told = batch_job.end_time()
    monkeypatch.delenv("SLURM_TIME_FORMAT")
    assert told == datetime.fromisoformat(cluster.describe(job)["EndTime"]).timestamp()
    assert 6 * 60 < batch_job.seconds_left() <= 7 * 60
    cluster.ask("scancel", job)
    cluster.wait_until(job, "CANCELLED")
    assert batch_job.is_gone(job)
    assert batch_job.is_gone("4000000")
    assert job not in queue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--partition", "nowhere"), "sbatch says: invalid partition specified: nowhere; Batch job submission failed"),
        (("--partition", "short", "--time", "10"), "Requested time limit is invalid (missing or exceeds some limit)"),
        (("--nodes", "9"), "Node count specification invalid"),
        (("--sbatch", "frobnicate=3"), "unrecognized option '--frobnicate=3'"),
        (("--sbatch", "time=3"), "sbatch's option 'time' is set by the script"),
    ],
)
def test_what_slurm_refuses_is_said_in_its_own_words(run, cluster, arguments, said):
    done = prosper("submit", run.config, "--output", run.folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_controller_that_does_not_answer(run, cluster, tmp_path):
    done = prosper("submit", run.config, "--output", run.folder, SLURM_CONF=str(cluster.out_of_reach(tmp_path)))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Unable to contact slurm controller" in done.stderr
