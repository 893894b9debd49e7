"""What an installed package holds, and what type checkers see of it."""

import ast
import configparser
import os
import re
import subprocess
import sys
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

import prosper_ng

ROOT = Path(__file__).parents[1]
SCRIPT = """
import numpy as np
import prosper_ng
from prosper_ng import Learned

found: Learned = prosper_ng.learn(np.zeros((3, 4)), {"kind": "bsc", "n_latents": 2}, seed=1)
reveal_type(found)
reveal_type(prosper_ng.load("run"))
reveal_type(found.posterior(np.zeros((1, 4))).means)
reveal_type(found.digest)
found.digesd
prosper_ng.learn(np.zeros((3, 4)), 3)
prosper_ng.lern
"""


def test_all_files_of_the_package_are_installed():
    config = configparser.RawConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    installed = [
        f"{package.replace('.', '/')}/{pattern}"
        for package, patterns in config["options.package_data"].items()
        for pattern in patterns.split()
    ]
    kept = subprocess.run(["git", "ls-files", "prosper_ng"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = kept.stdout.split() or [path.relative_to(ROOT).as_posix() for path in (ROOT / "prosper_ng").rglob("*.*")]
    others = [file for file in files if not file.endswith((".py", ".pyc"))]
    assert "prosper_ng/py.typed" in others
    assert [file for file in others if not any(fnmatch(file, pattern) for pattern in installed)] == []
    folders = {str(Path(file).parent) for file in files if file.endswith(".py")}
    assert [folder for folder in folders if f"{folder}/__init__.py" not in files] == []


def test_type_checkers_see_the_names_that_are_there():
    stub = ast.parse((ROOT / "prosper_ng" / "__init__.pyi").read_text(encoding="utf-8"))
    seen = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == prosper_ng._PUBLIC


@pytest.mark.slow
def test_a_script_is_checked_against_the_types_of_the_package(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "script.py"]
    # An editable install is hidden from mypy, so it is told where the package lies.
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^script.py:(\d+): (\w+): (.*)$", done.stdout, re.MULTILINE)
    learned, floats = (
        "prosper_ng.inference.learned.Learned",
        "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    )
    assert [(line, what.partition("  [")[0]) for line, _, what in found] == [
        ("7", f'Revealed type is "{learned}"'),
        ("8", f'Revealed type is "{learned}"'),
        ("9", f'Revealed type is "{floats}"'),
        ("10", 'Revealed type is "str | None"'),
        ("11", '"Learned" has no attribute "digesd"; maybe "digest"?'),
        ("12", 'Argument 2 to "learn" has incompatible type "int"; expected "Model | Mapping[str, Any] | str"'),
        ("13", 'Module has no attribute "lern"; maybe "learn"?'),
    ]


@pytest.mark.slow
def test_a_run_from_the_wheel_needs_no_compiler_and_no_mpi(tmp_path):
    """In an empty environment, with a wheel that was made of the sdist."""
    build = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, cwd=tmp_path, capture_output=True, check=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "CITATION.cff",
        "configs/runs/bars-bsc.yaml",
        "docs/conf.py",
        "scripts/test.sh",
        "tests/conftest.py",
    } <= held
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "empty")], check=True)
    programs = tmp_path / "empty" / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "-q", str(wheel)], check=True)
    config = [str(ROOT / "configs" / "runs" / "bars-bsc.yaml"), "--set", "training={n_sweeps: 2}"]
    done = subprocess.run(
        [programs / "prosper-ng", "run", *config, "--output", "run"],
        cwd=tmp_path, env={"PATH": str(programs), "HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "run.h5").is_file()


def test_the_workflow_is_the_script_of_all_tests():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert commands == ["bash scripts/test.sh"]
    config = configparser.RawConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    least = config["options"]["python_requires"].removeprefix(">=")
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"][0] == least
    assert f"Programming Language :: Python :: {least}" in config["metadata"]["classifiers"]
