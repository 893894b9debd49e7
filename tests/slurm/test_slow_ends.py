"""Runs whose time is over, with and without a warning, or whose node is lost. They began before the other tests."""

import re

from tests.slurm.conftest import wait_for


def finish(run, cluster):
    """Submit what was stopped once more, and wait for its end."""
    run.go_on()
    job = run.submit()
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)


def test_the_warning_of_slurm_stops_a_run_that_is_started_again_by_itself(begun, cluster, digest):
    run, job = begun["warned"]
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)
    log = run.log(job)
    stopped = int(re.search(r"^stopped by SIGUSR1 after sweep (\d+) of 120", log, re.MULTILINE).group(1))
    assert 4 <= stopped < 120
    assert f"starts again from checkpoint-{stopped:06d}.json" in log
    assert f"resumed after sweep {stopped} of 120" in log
    # On a busy machine a minute may be too short for all that is left.
    assert log.count(", ranks: 2, by srun --mpi=pmi2 ") == run.status.attempt >= 2
    assert run.digest == digest


def test_a_run_learns_from_squeue_when_its_job_ends(begun, cluster, digest):
    run, job = begun["unwarned"]
    assert cluster.wait_until_over(job) == "FAILED"
    assert cluster.describe(job)["ExitCode"] == "75:0"
    assert f"s are left until the end of job {job}, and a sweep, a checkpoint and a margin take" in run.status.reason
    finish(run, cluster)
    assert run.digest == digest


def test_a_run_that_slurm_ends_at_the_limit_goes_on_when_it_is_submitted_again(begun, cluster, digest):
    run, job = begun["ended"]
    assert cluster.wait_until_over(job) == "TIMEOUT"
    assert run.status.reason.startswith("stopped by SIGTERM after sweep")
    assert "DUE TO TIME LIMIT" in run.log(job)
    finish(run, cluster)
    assert run.digest == digest


def test_a_run_whose_node_is_lost_goes_on_elsewhere_and_the_lost_one_gives_way(begun, cluster, digest):
    run, job = begun["lost"]
    cluster.ask("scontrol", "update", f"job={job}", "ReqNodeList=")
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)
    assert cluster.describe(job)["Restarts"] == "1"
    assert cluster.describe(job)["NodeList"] != "n2"
    assert "which is gone, was taken over" in run.log(job)
    run.go_on()
    wait_for("the lost one to give way", lambda: f"the lock of this run on {run.folder} was lost" in run.log(job))
    assert run.digest == digest
