"""Runs that are stopped, killed, or find their folder damaged end with the bits of an undisturbed run."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from prosper_ng import cli
from prosper_ng.models.bsc import BSC
from prosper_ng.report.narrator import Narrator
from prosper_ng.storage.run_record import read_run
from tests.helpers.small_runs import ANNEALED, RESTARTS, SEARCH, Runner, wait_for

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
LONG = SEARCH.replace("n_sweeps: 12", "n_sweeps: 60").replace("checkpoint_sweeps: 4", "checkpoint_sweeps: 5")
EVERY_SWEEP = LONG.replace("checkpoint_sweeps: 5", "checkpoint_sweeps: 1")


@pytest.fixture
def runner(tmp_path, capsys):
    """A function (text, folder name) -> a Runner."""
    return lambda text=SEARCH, name="run": Runner(tmp_path / name, text, capsys)


@pytest.fixture(scope="module")
def digest_of(tmp_path_factory):
    """The digest of an undisturbed run, by the text of its configuration."""
    known = {}

    def of(text):
        if text not in known:
            folder = tmp_path_factory.mktemp("reference") / "run"
            folder.with_suffix(".yaml").write_text(text, encoding="utf-8")
            arguments = ["--quiet", "run", str(folder.with_suffix(".yaml")), "--output", str(folder)]
            assert cli.main(arguments) == 0
            known[text] = read_run(folder).attributes["digest"]
        return known[text]

    return of


@pytest.fixture
def signal_after(monkeypatch):
    """A function (sweep, *signals) that has this process send itself signals after that sweep, once."""
    original = Narrator.sweep

    def arrange(sweep, *numbers):
        left = list(numbers)

        def heard(self, done, *told):
            original(self, done, *told)
            while done == sweep and left:
                os.kill(os.getpid(), left.pop())

        monkeypatch.setattr(Narrator, "sweep", heard)

    return arrange


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("text", [SEARCH, ANNEALED])
def test_a_signal_ends_the_run_with_a_checkpoint_and_a_sentence(runner, digest_of, signal_after, number, text):
    run, n_sweeps = runner(text), 12 if text == SEARCH else 10
    handlers = [signal.getsignal(each) for each in SIGNALS]
    signal_after(4, number)
    done = run()
    sentence = f"stopped by {signal.Signals(number).name} after sweep 5 of {n_sweeps}"
    assert done.status == 75
    assert done.out.splitlines()[-2:] == [f"results are in {run.folder}", f"{sentence}; the same command continues"]
    assert done.err == ""
    assert (run.status.state, run.status.iteration, run.status.reason) == ("stopped", 5, sentence)
    assert run.checkpoints[-1] == 5
    assert [signal.getsignal(each) for each in SIGNALS] == handlers
    again = run()
    assert again.status == 0
    assert again.out.startswith(f"resumed after sweep 5 of {n_sweeps}\n")
    assert run.digest == digest_of(text)
    assert run.history["sweep"].tolist() == list(range(1, n_sweeps + 1))


def test_a_run_that_is_stopped_again_and_again(runner, digest_of, monkeypatch):
    run, original, expected = runner(), Narrator.sweep, digest_of(SEARCH)

    def heard(self, done, *told):
        original(self, done, *told)
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(Narrator, "sweep", heard)
    statuses = []
    while 0 not in statuses:
        statuses.append(run().status)
    # Every start does a sweep, sees the request in the next one, and stops; the last one ends on its own.
    assert statuses == [75] * 5 + [0]
    assert run.digest == expected


def test_killed_in_each_restart_and_between_them(runner, digest_of, monkeypatch):
    run, original, ends = runner(RESTARTS), Narrator.sweep, [11, 6, 5, 3]

    def heard(self, done, *told):
        original(self, done, *told)
        if ends and done == ends[-1]:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Narrator, "sweep", heard)
    while ends:
        assert wait_for(run.fork("output.checkpoint_sweeps=1")) == -signal.SIGKILL
        ends.pop()
    assert run().status == 0
    assert run.digest == digest_of(RESTARTS)
    assert run.history["restart"][:9].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    first = run.history["free_energy"]
    assert run("training.n_sweeps=7").status == 0
    assert run.history["free_energy"][:-1].tolist() == first.tolist()
    assert run("training.n_sweeps=6").status == 2


def test_a_signal_before_the_first_sweep_is_not_lost(runner, monkeypatch):
    run, original = runner(), Narrator.opened

    def opened(self, folder, n_done):
        original(self, folder, n_done)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Narrator, "opened", opened)
    assert run().status == 75
    assert run.status.iteration == 1


def test_a_signal_in_the_last_sweep_changes_nothing(runner, digest_of, signal_after):
    run = runner()
    signal_after(11, signal.SIGTERM)
    assert run().status == 0
    assert run.digest == digest_of(SEARCH)


def test_a_second_ctrl_c_ends_the_run_at_once(runner, digest_of, signal_after):
    run = runner()
    signal_after(6, signal.SIGINT, signal.SIGINT)
    done = run()
    assert (done.status, done.err) == (130, "interrupted before the end\n")
    assert (run.status.state, run.status.reason) == ("failed", "KeyboardInterrupt")
    assert run.checkpoints == [4]
    assert run().status == 0
    assert run.digest == digest_of(SEARCH)


def test_the_wall_time_ends_the_run_before_it_is_over(runner, digest_of):
    run, statuses = runner(), []
    while 0 not in statuses:
        statuses.append(run("training.stopping.wall_time=0.001").status)
        assert len(statuses) <= 12
        if statuses[-1] == 75:
            assert run.status.iteration == len(statuses)
            assert run.status.reason.endswith("s have passed of the 0.001 that stopping.wall_time allows")
    assert statuses == [75] * 11 + [0]
    assert run.digest == digest_of(SEARCH)


def test_ctrl_c_on_the_command_itself(runner, digest_of):
    """A process of its own, with two starts in one folder on the way."""
    run = runner(LONG)
    program = [sys.executable, "-m", "prosper_ng", *run.arguments("training.n_sweeps=100000")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (run.folder / "run.h5").exists():
            assert process.poll() is None
            time.sleep(0.02)
        second = run("training.n_sweeps=100000")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
    assert second.status == 2
    assert second.err.startswith(f"error: {run.folder} is in use by process {process.pid} on host ")
    assert (process.returncode, err) == (75, "")
    assert "stopped by SIGINT after sweep" in out.splitlines()[-1]
    if run.status.iteration < 60:
        assert run().status == 0
        assert run.digest == digest_of(LONG)


@pytest.mark.heavy
def test_killed_at_any_moment(runner, digest_of):
    run, rng, kills = runner(LONG), random.Random(1), 0
    expected = digest_of(LONG)
    while True:
        child = run.fork()
        # The first ones early, so that a fast machine does not get done before it is disturbed; later and later, so
        # that a slow one, on which a start takes longer than that, comes to an end.
        time.sleep(rng.uniform(0.05, 0.3) if kills < 3 else rng.uniform(0.3, 1.4) * 1.2 ** (kills - 3))
        os.kill(child, signal.SIGKILL)
        if wait_for(child) == 0:
            break
        kills += 1
        assert kills < 60
    assert kills >= 2
    assert run.digest == expected
    assert run.history["sweep"].tolist() == list(range(1, 61))
    assert run.status.state == "finished"
    # What dead writers left behind is gone.
    assert not list(run.folder.rglob(".*.tmp"))


@pytest.mark.heavy
@pytest.mark.parametrize("n_cycles", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_while_a_checkpoint_is_written(runner, digest_of, n_cycles):
    """At a random moment of a write; the run goes on, or is begun anew once it is done."""
    run, rng = runner(EVERY_SWEEP), random.Random(2)
    expected, n_kills = digest_of(EVERY_SWEEP), 0
    folder = run.folder / "checkpoints"
    while n_kills < n_cycles:
        child = run.fork()
        for _ in range(rng.randrange(1, 4)):
            while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) and not is_writing(folder):
                pass
            before = is_writing(folder)
            while before and is_writing(folder) == before and rng.random() > 0.001:
                pass
        os.kill(child, signal.SIGKILL)
        if wait_for(child):
            n_kills += 1
        else:
            assert run.digest == expected
            shutil.rmtree(run.folder)
    assert run().status == 0
    assert run.digest == expected
    assert not list(run.folder.rglob(".*.tmp"))


def is_writing(folder):
    """The temporary files of a checkpoint, and their sizes."""
    try:
        return [(path.name, path.stat().st_size // 4096) for path in folder.glob(".checkpoint-*.tmp")]
    except OSError:
        return []


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(runner, digest_of, signal_after):
    run = runner()
    signal_after(9, signal.SIGTERM)
    run()
    assert run.checkpoints == [8, 10]
    flip(*(run.folder / "checkpoints").glob("checkpoint-000010-*.h5"))
    done = run()
    assert done.status == 0
    assert "resumed after sweep 8 of 12\n" in done.out
    assert done.err.startswith(f"checkpoint {run.folder}/checkpoints/checkpoint-000010 was set aside: ")
    assert run.digest == digest_of(SEARCH)
    assert run.history["sweep"].tolist() == list(range(1, 13))


def test_with_every_checkpoint_damaged_the_run_is_begun_anew(runner, digest_of, signal_after):
    run = runner()
    signal_after(9, signal.SIGTERM)
    run()
    for path in (run.folder / "checkpoints").glob("*.json"):
        path.write_bytes(b"{}")
    done = run()
    assert done.status == 0
    assert done.err.count("was set aside") == 2
    assert "begun anew" in done.err
    assert run.digest == digest_of(SEARCH)
    assert run.history["sweep"].tolist() == list(range(1, 13))


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
@pytest.mark.parametrize("name", ["run.h5", "status.json", "log.txt"])
def test_the_other_files_of_a_run_may_be_damaged_or_lost(runner, digest_of, signal_after, name, damage):
    run = runner()
    signal_after(5, signal.SIGTERM)
    run()
    path = run.folder / name
    if damage == "flip":
        flip(path)
    elif damage == "truncate":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    done = run()
    assert done.status == 0
    assert "Traceback" not in done.err
    assert run.digest == digest_of(SEARCH)
    assert run.history["sweep"].tolist() == list(range(1, 13))


def test_a_breakdown_of_the_numbers_is_told_and_left_behind(runner, digest_of, monkeypatch):
    run, original = runner(), BSC.maximize
    n_calls = 0

    def breaking(self, params, sums, step):
        nonlocal n_calls
        n_calls += 1
        new = original(self, params, sums, step)
        if n_calls > 3 * 8:
            new["sigma"] = float("nan")
        return new

    with monkeypatch.context() as patch:
        patch.setattr(BSC, "maximize", breaking)
        done = run()
    assert done.status == 3
    sentence = run.status.reason
    assert done.err == f"error: {sentence}\n"
    assert sentence.endswith("parameter sigma of model bsc is not finite any more")
    assert (run.status.state, run.status.iteration) == ("failed", len(run.history["sweep"]))
    assert run().status == 0
    assert run.digest == digest_of(SEARCH)


def test_a_run_that_lost_its_lock_leaves_the_folder_to_its_new_owner(runner, monkeypatch):
    run, original, seen = runner(), Narrator.sweep, {}

    def heard(self, done, *told):
        original(self, done, *told)
        if done == 5:
            (run.folder / "run.lock").write_text('{"host": "elsewhere", "pid": 7, "token": "other"}')
            (run.folder / "status.json").write_text("of the other process")
            seen["run.h5"] = (run.folder / "run.h5").read_bytes()

    monkeypatch.setattr(Narrator, "sweep", heard)
    done = run()
    assert done.status == 2
    assert done.err.startswith(f"error: the lock of this run on {run.folder} was lost; it now belongs to process 7")
    assert (run.folder / "run.lock").read_text().startswith('{"host": "elsewhere"')
    assert (run.folder / "status.json").read_text() == "of the other process"
    assert (run.folder / "run.h5").read_bytes() == seen["run.h5"]
    assert run.checkpoints == [4]


def test_a_folder_that_cannot_be_made_or_written_to_is_one_sentence(runner, tmp_path):
    run = runner()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", "/proc/run"):
        run.folder = folder
        done = run()
        assert (done.status, done.out) == (2, "")
        assert re.fullmatch(
            f"error: the run folder {folder} cannot be made: .*\n  while opening the run folder\n", done.err
        )
    run.folder = "/proc"
    done = run()
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: the folder /proc is not empty and holds no run, but ")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_sentence(runner, tmp_path):
    run = runner()
    run.folder.mkdir(mode=0o500)
    assert run().err.startswith(f"error: {run.folder} cannot be written to (Permission denied)\n")


def test_a_full_disk_ends_nothing_but_is_told(runner, digest_of, tmp_path):
    """Files can grow to 8 KiB only, as if the disk were full: results are computed, and said to be nowhere."""
    run = runner()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        err = os.open(tmp_path / "err", os.O_CREAT | os.O_WRONLY)
        os.dup2(err, 2)
        sys.stderr = os.fdopen(2, "w")
        status = 99
        try:
            status = cli.main(run.arguments())
        finally:
            sys.stderr.flush()
            os._exit(status)
    status = wait_for(child)
    said = (tmp_path / "err").read_text()
    assert "no checkpoint was written after iteration 4, the one before stays: " in said
    assert "run.h5 was not brought up to date" in said
    assert "Traceback" not in said
    assert status == 0
    assert run.status.digest == digest_of(SEARCH)
    assert run().status == 0
    assert run.digest == digest_of(SEARCH)
