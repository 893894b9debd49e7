"""Figures are drawn for files, whatever matplotlib is told to show windows or notebooks with."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

DRAW = """
import os, sys
from pathlib import Path
from prosper_ng.errors import UserError
from prosper_ng.drawing.style import drawn, save, svg
try:
    with drawn(400, 200, layout="constrained") as figure:
        figure.add_subplot().plot([1, 2])
        save(figure, Path("a.png"))
        assert svg(figure, "a", "a").startswith("<svg")
        assert figure.get_facecolor() == (1.0, 1.0, 1.0, 1.0)
except UserError as error:
    print(error)
    sys.exit()
import matplotlib
kept = matplotlib.rcParams._get("backend")
print(os.environ["MPLBACKEND"], kept if isinstance(kept, str) else None, "matplotlib.pyplot" in sys.modules)
"""

HAS_INLINE = find_spec("matplotlib_inline") is not None


def drawing(folder, backend):
    """What a process says that draws in a folder, in which its settings are, too."""
    environment = os.environ | {"MPLBACKEND": backend, "XDG_CONFIG_HOME": str(folder)}
    command = [sys.executable, "-c", DRAW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("backend", "is_kept"),
    [("module://matplotlib_inline.backend_inline", HAS_INLINE), ("garbage", False), ("TkAgg", True)],
)
def test_the_backend_that_the_environment_names_is_not_needed_and_stays(tmp_path, backend, is_kept):
    (tmp_path / "matplotlib" / "stylelib").mkdir(parents=True)
    (tmp_path / "matplotlib" / "stylelib" / "broken.mplstyle").write_bytes(b"\xff\xfe")
    (tmp_path / "matplotlibrc").write_text("backend: nonsense\nfigure.facecolor: red\nno setting\n")
    said, kept, has_pyplot = drawing(tmp_path, backend).split()
    assert (said, has_pyplot) == (backend, "False")
    assert (kept == backend) == is_kept
    assert (tmp_path / "a.png").exists()


def test_settings_that_are_no_text_are_one_sentence(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe")
    said = drawing(tmp_path, "agg")
    assert said.startswith("pictures need matplotlib, which does not work here (UnicodeDecodeError: ")
    assert said.endswith("the one that MPLCONFIGDIR names, or install it anew")


def test_a_command_has_matplotlib_without_its_docstrings_and_the_same_pictures(tmp_path):
    pictures = []
    for first in ("", "from prosper_ng.environment import be_command\nbe_command()\n"):
        told = "from matplotlib import _docstring as d, lines\nprint(len(lines.Line2D.set.__doc__ or ''))"
        kept = "\nassert d.Substitution.__call__.__module__ == d.__name__"
        command = [sys.executable, "-c", f"{first}{DRAW}\n{told}{kept}"]
        environment = os.environ | {"MPLBACKEND": "agg"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=240)
        assert done.returncode == 0, done.stderr
        pictures.append((tmp_path / "a.png").read_bytes())
        assert (int(done.stdout.split()[-1]) > 100) == (not first)
    assert pictures[0] == pictures[1]
