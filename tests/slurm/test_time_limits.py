"""Runs whose time is over: with a warning, without one, and ended by Slurm. They began before the other tests."""

import re


def finish(run, cluster):
    """Submit what was stopped once more, and wait for its end."""
    run.go_on()
    job = run.submit()
    assert cluster.wait_until_over(job) == "COMPLETED", run.log(job)


def test_the_warning_of_slurm_stops_a_run_that_is_started_again_by_itself(near_the_limit, cluster, digest):
    run, job = near_the_limit["warned"]
    assert cluster.wait_until_over(job, 120) == "COMPLETED", run.log(job)
    log = run.log(job)
    stopped = int(re.search(r"^stopped by SIGUSR1 after sweep (\d+) of 120", log, re.MULTILINE).group(1))
    assert 4 <= stopped < 120
    assert f"starts again from checkpoint-{stopped:06d}.json" in log
    assert f"resumed after sweep {stopped} of 120" in log
    assert log.count(", ranks: 2, by srun --mpi=pmi2 ") == 2
    assert (run.digest, run.status.attempt) == (digest, 2)


def test_a_run_learns_from_squeue_when_its_job_ends(near_the_limit, cluster, digest):
    run, job = near_the_limit["unwarned"]
    assert cluster.wait_until_over(job, 100) == "FAILED"
    assert cluster.describe(job)["ExitCode"] == "75:0"
    assert f"s are left until the end of job {job}, and a sweep, a checkpoint and a margin take" in run.status.reason
    finish(run, cluster)
    assert run.digest == digest


def test_a_run_that_slurm_ends_at_the_limit_goes_on_when_it_is_submitted_again(near_the_limit, cluster, digest):
    run, job = near_the_limit["ended"]
    assert cluster.wait_until_over(job, 130) == "TIMEOUT"
    assert run.status.reason.startswith("stopped by SIGTERM after sweep")
    assert "DUE TO TIME LIMIT" in run.log(job)
    finish(run, cluster)
    assert run.digest == digest
