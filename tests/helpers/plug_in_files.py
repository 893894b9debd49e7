"""A model in a file of its own, what is no component, and commands in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.small_runs import SEARCH

FILE = Path(__file__).parent / "plug_ins" / "bright_start.py"
TEXT = FILE.read_text(encoding="utf-8")
CONFIG = SEARCH.replace("kind: bsc,", "kind: bright_start,")
"""The configuration of a run with that model."""
ANOTHER = TEXT.replace('"models"', '"models", kind="bsc"')
POOR = "import prosper_ng\n\n@prosper_ng.plugin('GROUP')\nclass Poor:\n    def check(self, dataset): ...\n"


def prosper(*arguments, folder, **environment):
    return python("-m", "prosper_ng", *arguments, folder=folder, **environment)


def python(*arguments, folder, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, timeout=240, check=False, cwd=folder, env=os.environ | environment,
    )  # fmt: skip
