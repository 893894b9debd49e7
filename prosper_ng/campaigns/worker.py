"""The process in which one run of a campaign runs on this machine."""

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing import connection, parent_process
from pathlib import Path
from types import FrameType

_INTERVAL = 0.2
"""Seconds between two looks at a launcher."""
_PROGRAM = [sys.executable, "-m", "prosper_ng"]


def work(command: Sequence[str], output: Path, stop_file: Path) -> None:
    """Run a command and end this process with its exit status; what it prints goes to `output`.

    SIGTERM lets the run stop with a checkpoint, and so does the end of the campaign's own process. A command of this
    program runs in this very process, which its server has forked with everything imported; any other is started and,
    when it is to stop, asked to by `stop_file`: launchers pass on few signals.
    """
    os.setsid()  # Ctrl-C in the terminal is for the campaign, which tells its runs
    _redirect(output)
    if list(command[:3]) == _PROGRAM:
        threading.Thread(target=_follow_parent, name="campaign watch", daemon=True).start()
        sys.argv = ["prosper_ng", *command[3:]]
        runpy.run_module("prosper_ng", run_name="__main__", alter_sys=True)
    sys.exit(_launch(command, stop_file))


def _redirect(output: Path) -> None:
    """Standard output and error go to a file that begins empty."""
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def _follow_parent() -> None:
    """Ask this process to stop when the campaign's process is gone, however it ended."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _launch(command: Sequence[str], stop_file: Path) -> int:
    """Run a launcher and pass on the wish to stop; its exit status."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, ask)
    threading.Thread(target=_follow_parent, name="campaign watch", daemon=True).start()
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"error: {command[0]} cannot be started ({error.strerror}), which `ranks` above 1 need", file=sys.stderr)
        return 2
    with process:
        while True:
            try:
                return process.wait(_INTERVAL)
            except subprocess.TimeoutExpired:
                if asked.is_set():
                    stop_file.touch()
                    asked.clear()
