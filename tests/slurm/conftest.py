"""A real Slurm on this machine for all tests in this folder; they are skipped where it cannot be had."""

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from prosper_ng import cli
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import Status, read_status
from tests.conftest import PATIENCE
from tests.helpers.small_runs import SEARCH, undisturbed

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "slurm-dev-cluster.sh"
TEXT = (
    SEARCH.replace("n_sweeps: 12", "n_sweeps: 120")
    .replace("updates_per_sweep: 3", "updates_per_sweep: 1")
    .replace("checkpoint_sweeps: 4", "checkpoint_sweeps: 2")
)
OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}


def wait_for(what, is_so, seconds=PATIENCE):
    """Look until something is so, and hand it on; a test fails that waits too long."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.1)
    return found


class Cluster:
    """What tests ask of Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def control(self, *arguments, check=True):
        """The cluster's script, finished."""
        environment = {**os.environ, "SLURM_DEV_FOLDER": str(self.folder)}
        return subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=check
        )

    def ask(self, *command, **environment):
        """What a program of Slurm prints."""
        arguments = {"capture_output": True, "text": True, "timeout": PATIENCE, "check": True}
        return subprocess.run([*map(str, command)], env={**os.environ, **environment}, **arguments).stdout.strip()

    def out_of_reach(self, folder: Path) -> Path:
        """A configuration, in this folder, by which the controller cannot be reached."""
        text = (self.folder / "slurm.conf").read_text()
        port = next(line for line in text.splitlines() if line.startswith("SlurmctldPort="))
        (folder / "slurm.conf").write_text(text.replace(port, "SlurmctldPort=9") + "MessageTimeout=2\n")
        return folder / "slurm.conf"

    def describe(self, job):
        """What Slurm knows of a job or task."""
        described = self.ask("scontrol", "--oneliner", "show", "job", str(job)).splitlines()[-1]
        return dict(re.findall(r"(\w+)=(\S*)", described))

    def state(self, job):
        return self.describe(job)["JobState"]

    def wait_until(self, job, *states, seconds=PATIENCE):
        """What is known of a job once it is in one of the states.

        Where it was put back into the queue, it is spared most of the two minutes that Slurm makes it wait. Not all:
        Slurm would take the end of the attempt before for that of the next one.
        """
        last, due = {}, []

        def is_there():
            last.update(self.describe(job))
            waits = last["JobState"] == "PENDING" and last["Reason"] == "BeginTime"
            due[:] = (due or [time.monotonic() + 2]) if waits else []
            if due and time.monotonic() > due[0]:
                self.ask("scontrol", "update", f"job={job}", "StartTime=now")
            return last["JobState"] in states

        wait_for(f"job {job} to be {' or '.join(states)}", is_there, seconds)
        return last

    def wait_until_over(self, job, seconds=PATIENCE):
        return self.wait_until(job, *OVER, seconds=seconds)["JobState"]


class Run:
    """A run folder, and how to hold the run in it still in the first attempt of a job."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.config = folder.with_suffix(".yaml")
        self.config.write_text(text, encoding="utf-8")
        self.hold = folder.with_suffix(".hold")
        self.hold.touch()
        self.site = folder.with_suffix(".sh")
        self.disturb()

    def disturb(self, **variables):
        """The lines with which jobs begin: they let the run be disturbed."""
        known = {"PYTHONPATH": Path(__file__).parent / "programs", "HOLD": self.hold, **variables}
        lines = [f"export {name}='{value}'" for name, value in known.items()]
        self.site.write_text(
            "\n".join([*lines, '[ -z "${SLURM_RESTART_COUNT:-}" ] || unset HOLD', ""]), encoding="utf-8"
        )

    def submit(self, *arguments):
        """The job that `prosper-ng submit` makes of it."""
        done = prosper("submit", self.config, "--output", self.folder, "--site", self.site, *arguments)
        assert done.returncode == 0, done.stderr
        return re.match(r"job (\d+): ", done.stdout).group(1)

    @property
    def status(self) -> Status | None:
        return read_status(self.folder)

    @property
    def digest(self):
        return read_run(self.folder).attributes["digest"]

    def wait_for_checkpoint(self, seconds=PATIENCE):
        wait_for(f"a checkpoint in {self.folder}", lambda: any(self.folder.glob("checkpoints/*.json")), seconds)

    def go_on(self):
        """Hold it no longer."""
        self.hold.unlink()

    def log(self, job):
        return (self.folder / f"slurm-{job}.out").read_text(encoding="utf-8")


def prosper(*arguments, cwd=".", **environment):
    """The command line, finished; in this process, for there are many of these."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = cli.main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The cluster, stopped in the end without anything left of it."""
    found = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    started = found.control("start", check=False)
    if started.returncode and re.search(r"is not installed|only root", started.stderr):
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(found.folder / "slurm.conf")
    try:
        yield found
    finally:
        found.control("stop")
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
        assert not found.folder.exists()


@pytest.fixture(scope="session")
def digest(tmp_path_factory):
    """The digest of the run that nothing disturbs."""
    return read_run(undisturbed(tmp_path_factory.mktemp("alone") / "run", TEXT)).attributes["digest"]


@pytest.fixture
def run(cluster, tmp_path):
    """A run that is held still after a few sweeps."""
    return Run(tmp_path / "a run")


@pytest.fixture(scope="session", autouse=True)
def begun(cluster, tmp_path_factory):
    """Runs in which something happens that takes its time, begun before all tests, so that nobody has to wait for it.

    "warned", "unwarned" and "ended" may take a minute; the node of "lost" is stopped.
    """
    folder = tmp_path_factory.mktemp("begun")
    runs = {name: Run(folder / name) for name in ("warned", "unwarned", "ended", "lost")}
    elsewhere = ("--sbatch", "exclude=n2")
    jobs = {"lost": runs["lost"].submit("--sbatch", "nodelist=n2")}
    jobs["warned"] = runs["warned"].submit("--time", "1", "--warning", "15", "--ntasks-per-node", "2", *elsewhere)
    program = f"{sys.executable} -m prosper_ng run"
    for name, path in (("unwarned", os.environ["PATH"]), ("ended", "where/no/squeue/is")):
        each = runs[name]
        each.folder.mkdir()
        command = f". {each.site}; PATH={path}; exec {program} {each.config} --output {each.folder}"
        options = ("--parsable", "--time=1", "--exclude=n2", f"--output={each.folder}/slurm-%j.out")
        jobs[name] = cluster.ask("sbatch", *options, "--wrap", command)
    runs["lost"].wait_for_checkpoint()
    cluster.control("stop", "n2")
    return {name: (runs[name], jobs[name]) for name in runs}
