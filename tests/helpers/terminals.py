"""Programs whose output goes to a terminal."""

import os
import pty
import subprocess
import termios


def on_a_terminal(*command, columns=120) -> str:
    """All that a command shows on a terminal; it has to end with status 0."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (40, columns))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.Popen([*map(str, command)], stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    found = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:
            break
        found += piece
    os.close(leader)
    assert done.wait() == 0, found
    return found.decode()
