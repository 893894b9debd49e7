"""An option that is added later changes no identity, and so no campaign folder, no seed, and no run that goes on."""

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import prosper_ng
from prosper_ng.campaigns.plan import load_plan
from prosper_ng.config import SourceText, identity, load
from prosper_ng.config.first_fields import FIRST_FIELDS
from prosper_ng.experiments.run_config import RunConfig

CONFIG = """
name: old
data: {kind: bars, n_bars: 4, n_rows: 24}
model: {kind: bsc, n_latents: 4}
estep: {kind: preselection, n_candidates: 3, max_active: 2}
training: {n_sweeps: 2, block_rows: 8}
output: {figures: false}
"""
PATCHES = """
name: patches
seed: 7
data: {kind: image, image: house.png, noise: 25.0, patch_size: 8, whiten: zca}
model: {kind: gsc, n_latents: 64}
estep:
  kind: search
  n_states: 30
  variations: [{kind: evolution}, {kind: sampling, n_samples: 5}, {kind: neighborhood}]
training:
  n_sweeps: 50
  annealing: {temperature: [[0, 3.0], [6, 1.0]]}
  stopping: {relative_change: 1e-4}
task: {kind: denoise, every: 3}
memory: {precision: single}
"""
ROWS = """
name: rows
data: {kind: npz, path: rows.npz, array: x, missing: true}
model: {kind: dsc, n_latents: 12, values: [-1, 0, 2], data_mean: true}
estep: {kind: auto}
"""
CAMPAIGN = "name: trial\nbase: run.yaml\nrepeats: 2\ngrid:\n  model.n_latents: [4, 6]\n  training.block_rows: [8, 12]\n"
OF_0_1 = {
    CONFIG: "f30ee562aa3e4585f9d9ba0fa7b9743bba45ed75233850d678ede4272ca7145a",
    PATCHES: "6d38ffc00b4e73ff612caebea9b12bf579fd5081a7b64735bf1e197fa026a55e",
    ROWS: "b3f5e4c8acc61fb135d62e2478b75e188ce9cf2ed2910961b1de9039f475a4e5",
}
"""Identities that version 0.1.0 gave."""
RUNS_OF_0_1 = [
    ["runs/trial/runs/c88f493f0aff", 365852707],
    ["runs/trial/runs/06a6a07304ed", 896385872],
    ["runs/trial/runs/2b1ea2469df4", 562769311],
    ["runs/trial/runs/74b41030c619", 117144596],
    ["runs/trial/runs/be02578b6e8c", 3902173578],
    ["runs/trial/runs/7a2ea240bf25", 584866041],
    ["runs/trial/runs/a320e820283b", 1108865280],
    ["runs/trial/runs/c73cb46b7fff", 2063743567],
]
"""Folders and seeds that version 0.1.0 gave the runs of the campaign."""


@pytest.mark.parametrize("text", OF_0_1, ids=["bars", "patches", "rows"])
def test_identities_are_those_of_the_first_version(text):
    assert identity(load(SourceText("run.yaml", text), RunConfig).lasting) == OF_0_1[text]


def class_of(name: str) -> type:
    module, _, cls = name.rpartition(".")
    return getattr(importlib.import_module(f"prosper_ng.{module}"), cls)


@pytest.mark.parametrize("name", FIRST_FIELDS)
def test_every_field_of_the_first_version_is_still_there(name):
    """Where one is renamed or removed on purpose, the list follows, and the change log says what identities change."""
    assert set(FIRST_FIELDS[name].split()) <= set(class_of(name).__dataclass_fields__)


def add_option(package: Path, name: str) -> None:
    """Give a class one more field, with a default, in the sources of a package."""
    module, _, cls = name.rpartition(".")
    file = package / f"{module.replace('.', '/')}.py"
    text = file.read_text(encoding="utf-8")
    (found,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == cls]
    lines = text.splitlines(keepends=True)
    end = found.body[0].end_lineno  # of the docstring
    lines.insert(end, '\n    tempering: int = 7\n    """An option of a later version."""\n')
    file.write_text("".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """A folder with this package, every settings class of which has one more option."""
    folder = tmp_path_factory.mktemp("later")
    ignored = shutil.ignore_patterns("__pycache__")
    package = Path(shutil.copytree(Path(prosper_ng.__file__).parent, folder / "prosper_ng", ignore=ignored))
    for name in FIRST_FIELDS:
        add_option(package, name)
    return folder


def run_later(later: Path, cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the later version, whose kernels are compiled once."""
    environment = {**os.environ, "PYTHONPATH": str(later), "NUMBA_CACHE_DIR": str(later / "kernels")}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, text=True, capture_output=True, check=False, timeout=300
    )


TELL = """
import json, sys
from pathlib import Path
import prosper_ng
from prosper_ng.campaigns.plan import load_plan
from prosper_ng.config import identity, load
from prosper_ng.experiments.run_config import RunConfig
loaded = load("run.yaml", RunConfig)
assert loaded.resolved["tempering"] == loaded.resolved["model"]["tempering"] == 7
plan = load_plan(Path("campaign.yaml"))
used = load("run.yaml", RunConfig, ["model.tempering=8"])
print(json.dumps([
    prosper_ng.__file__, identity(loaded.lasting), [[str(run.folder), run.seed] for run in plan.runs],
    identity(used.lasting),
]))
"""


def test_identities_folders_and_seeds_stay(later, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN, encoding="utf-8")
    runs = [[str(run.folder), run.seed] for run in load_plan(Path("campaign.yaml")).runs]
    assert runs == RUNS_OF_0_1
    done = run_later(later, tmp_path, "-c", TELL)
    assert done.stderr == ""
    file, found, found_runs, used = json.loads(done.stdout)
    assert Path(file).is_relative_to(later)
    assert (found, found_runs) == (OF_0_1[CONFIG], runs)
    assert used != found


@pytest.mark.heavy
def test_a_run_goes_on_with_the_later_version_but_not_back(later, tmp_path):
    def run_now(*changes):
        command = [sys.executable, *start, *changes]
        return subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, check=False)

    (tmp_path / "run.yaml").write_text(CONFIG, encoding="utf-8")
    start = ["-m", "prosper_ng", "run", "run.yaml", "--output", "out"]
    first = run_now()
    assert first.returncode == 0, first.stderr
    other = run_later(later, tmp_path, *start, "--set", "model.tempering=8", "--set", "training.n_sweeps=3")
    assert other.returncode == 2
    assert "model.tempering: 7 -> 8" in other.stderr
    again = run_later(later, tmp_path, *start, "--set", "training.n_sweeps=3")
    assert again.returncode == 0, again.stderr
    assert "resumed after sweep 2 of 3" in again.stdout
    back = run_now("--set", "training.n_sweeps=4")
    assert back.returncode == 2
    assert "was written by prosper_ng" in back.stderr
    assert "unknown field `tempering`" in back.stderr
