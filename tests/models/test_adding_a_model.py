"""The model of the document on adding models, as it stands there, learns and keeps to what every model promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from prosper_ng.storage.run_record import read_run

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding-a-model.md"
QUICK = "reference or statistics or distribution or likelihood or moments or identity"
"""In plain NumPy the other checks take their time, and say nothing about the document."""


@pytest.fixture
def folder(tmp_path):
    """The model, its configuration and its case, each in a file."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for name, text in zip(("plain_or.py", "my-bars.yaml", "test_plain_or.py"), blocks, strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def finished(folder, *arguments):
    """A process in the folder, of which the files can be imported."""
    path = os.pathsep.join([str(folder), str(DOCUMENT.parents[1])])
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True,
        check=False, timeout=240,
    )  # fmt: skip


def test_it_learns_from_its_configuration(folder):
    fewer = ["--set", "data.n_rows=60", "--set", "training.n_sweeps=41"]
    run = finished(
        folder, "-m", "prosper_ng", "run", "my-bars.yaml", "--import", "plain_or.py", "--output", "run", *fewer
    )
    assert run.returncode == 0, run.stderr
    free_energy = read_run(folder / "run").history["free_energy"]
    assert free_energy[-1] > free_energy[0] + 1


def test_its_case_passes(folder):
    tests = finished(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plain_or.py", "-k", QUICK)
    assert tests.returncode == 0, tests.stdout
    assert re.search(r"\d passed, 1 skipped", tests.stdout), tests.stdout
