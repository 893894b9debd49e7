"""What the pages on Python show is done: their configurations, commands and blocks of Python, in this order."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page in a language."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def result_of_prosper(folder: Path) -> None:
    """A file as ProSper leaves it, with one entry for each step."""
    rng = np.random.default_rng(1)
    with h5py.File(folder / "result.h5", "w") as file:
        file["W"], file["pi"], file["sigma"] = rng.random((3, 25, 10)), np.full(3, 0.2), np.full(3, 2.0)


PAGES: dict[str, Callable[[Path], object]] = {
    "python": lambda folder: None,
    "from-prosper": result_of_prosper,
    "from-scikit-learn": lambda folder: None,
}
"""The pages, and what makes the files that their readers have."""


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "from-prosper" else []) for name in PAGES]
)
def test_what_a_page_shows_can_be_done(name, tmp_path):
    page, environment = DOCS / f"{name}.md", {**os.environ, "MPLBACKEND": "agg"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    PAGES[name](tmp_path)
    for block in blocks(page, "yaml"):
        if found := re.match(r"name: (\S+)", block):
            (tmp_path / f"{found[1]}.yaml").write_text(block, encoding="utf-8")
    commands = "\n".join(block for block in blocks(page, "bash") if "scripts/" not in block)
    python = "\n".join(blocks(page, "python"))
    assert python
    for command in (["bash", "-euc", commands], [sys.executable, "-W", "error::DeprecationWarning", "-c", python]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
