import os
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from prosper_ng import compiling
from prosper_ng.compiling import Progress, alone, missing, told, watched


@pytest.fixture
def seen():
    """What is told of compiling."""
    found = []
    with watched(found.append):
        yield found


def free(folder):
    """Whether nobody holds the lock of a folder."""
    lock = FileLock(folder / compiling._LOCK, blocking=False)
    try:
        with lock:
            return True
    except TimeoutError:
        return False


def test_people_hear_of_it_once_there_is_something_to_compile(seen, tmp_path):
    with told() as outer:
        with told() as inner, alone():
            assert not seen
            assert not missing(tmp_path)
            assert not free(tmp_path)
            compiling.compiled()
        assert inner is outer
        assert free(tmp_path)
        compiling.compiled()
    assert [(each.n_kernels, each.is_done) for each in seen] == [(0, False), (1, False), (2, False), (2, True)]
    assert str(outer).startswith("2 kernels compiled in 0.")


@pytest.mark.parametrize("is_told", [True, False])
def test_nothing_is_said_where_all_is_there_or_nobody_is_to_hear(is_told, seen, tmp_path):
    with told(is_told), alone():
        if not is_told:
            missing(tmp_path)
            compiling.compiled()
    assert seen == []


def test_nobody_waits_who_does_not_expect_to_compile_much(tmp_path):
    with FileLock(tmp_path / compiling._LOCK):
        assert not missing(tmp_path)


def test_threads_of_a_process_share_the_lock(tmp_path):
    with alone():
        assert not missing(tmp_path)

        def other():
            with alone():
                assert not missing(tmp_path)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert not free(tmp_path)
    assert free(tmp_path)


def test_who_waited_looks_again(seen, tmp_path):
    other = FileLock(tmp_path / compiling._LOCK, thread_local=False)
    other.acquire()
    threading.Timer(0.2, other.release).start()
    with told(), alone():
        assert missing(tmp_path)
    assert seen == [Progress(0, 0.0, is_waiting=True)]


def test_a_killed_compiler_is_in_nobodys_way(tmp_path):
    hold = "import filelock, sys, time\nwith filelock.FileLock(sys.argv[1]): print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", hold, str(tmp_path / compiling._LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        was_free = free(tmp_path)
        process.kill()
    assert not was_free
    with alone():
        assert not missing(tmp_path)


def test_a_stuck_compiler_is_waited_for_only_while_it_makes_something(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "_PATIENCE", 0.3)
    began = time.monotonic()

    def make():
        for number in range(4):
            (tmp_path / f"{number}.nbc").touch()
            time.sleep(0.2)

    maker = threading.Thread(target=make)
    with FileLock(tmp_path / compiling._LOCK), alone():
        maker.start()
        assert missing(tmp_path)
        assert time.monotonic() - began > 0.6
        assert not missing(tmp_path)  # nobody waits a second time
    maker.join()


@pytest.mark.parametrize("error", [NotImplementedError, OSError])
def test_where_there_are_no_locks_everybody_compiles(error, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error("no locks")

    monkeypatch.setattr(FileLock, "acquire", fail)
    with alone():
        assert not missing(tmp_path)


def test_what_a_terminal_shows(monkeypatch, tmp_path):
    own, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with told(), alone():
            missing(tmp_path)
            compiling.compiled()
        shown = ""
        while not shown.endswith("\n"):
            shown += os.read(own, 10000).decode()
    os.close(own)
    text = "compiling kernels for this version, about half a minute, once"
    assert shown == f"\r{text}: 0 done, 0 s\r{text}: 1 done, 0 s\r{text}: 1 done, 0 s\r\n"


def test_nothing_where_output_is_captured(capsys, tmp_path):
    with told(), alone():
        missing(tmp_path)
        compiling.compiled()
    assert capsys.readouterr() == ("", "")
