"""Starts Python on some ranks, as users do, with this checkout's prosper_ng."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_python(n_ranks: int, *arguments: object) -> str:
    """What `python ARGUMENTS` prints, under mpiexec where ranks are several; CalledProcessError where it fails."""
    launcher = ["mpiexec", "-n", str(n_ranks)] if n_ranks > 1 else []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    command = [*launcher, sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
