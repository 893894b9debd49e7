"""Sampling, inference and reconstruction write the same bytes on any number of ranks, and fail with one message."""

import os
import sys

import numpy as np
import pytest
import yaml

from prosper_ng.cli import main
from prosper_ng.data.images import save_png

# Several commands in one group of ranks, which starts slowly.
PROGRAM = """
import sys
from prosper_ng.cli import main
for line in sys.argv[1].split(";"):
    status = main(line.split())
    assert status == 0, line
"""
CONFIG = {
    "name": "bars",
    "data": {"kind": "bars", "n_bars": 6, "n_rows": 200, "activity": 0.4, "missing": 0.1},
    "model": {"kind": "bsc", "n_latents": 6},
    "estep": {"kind": "preselection", "n_candidates": 3, "max_active": 2},
    "training": {"n_sweeps": 4},
    "output": {"figures": False},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs over rows with missing values, over the patches of an image, and over rows that were prepared."""
    folder = tmp_path_factory.mktemp("runs")
    i, j = np.indices((16, 15))
    save_png(folder / "picture.png", 120.0 + 60 * ((i + j) % 5 > 2))
    image = {"kind": "image", "image": str(folder / "picture.png"), "patch_size": 4, "noise": 5.0}
    search = {"kind": "search", "n_states": 6}
    np.save(folder / "rows.npy", np.random.default_rng(3).standard_normal((200, 9)) + np.arange(9))
    np.savetxt(folder / "rows.csv", np.load(folder / "rows.npy"), "%.17g", ";")
    white = {"kind": "npy", "path": str(folder / "rows.npy"), "remove_mean": True, "whiten": "zca"}
    means = {"kind": "npy", "path": str(folder / "rows.npy"), "remove_mean": True}
    np.save(folder / "gaps.npy", np.where(np.arange(200)[:, None] % 50 == 7, np.nan, np.load(folder / "rows.npy")))
    runs = {"bars": {}, "patches": {"data": image, "estep": search}, "white": {"data": white}, "means": {"data": means}}
    for name, sections in runs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(CONFIG | sections), encoding="utf-8")
        assert main(["run", str(folder / f"{name}.yaml"), "--output", str(folder / name), "--quiet"]) == 0
    return folder


COMMANDS = {
    "sample.h5": "sample bars --rows 1500 --states",
    "infer.h5": "infer bars --adaptive --top-k 3",
    "search.h5": "infer patches --adaptive --sweeps 3",
    "filled.h5": "reconstruct bars",
    "white.h5": "reconstruct white rows.npy",
    "table.h5": "reconstruct white rows.csv",
    "drawn.h5": "sample white --rows 700",
    "level.h5": "reconstruct means gaps.npy --missing",
    "sample.npz": "sample bars --rows 700 --states",
    "infer.mat": "infer bars",
    "means.npy": "infer bars",
    "filled.csv": "reconstruct bars",
    "alone.tif": 'reconstruct patches --set estep={"kind":"preselection"}',
    "image.h5": 'reconstruct patches --set estep={"kind":"preselection"}',
}


def test_any_number_of_ranks_writes_the_same_files(mpiexec, folder):
    for n_ranks in (1, 3):
        out = folder / str(n_ranks)
        out.mkdir()
        lines = [f"{command} --quiet --output {out}/{name}" for name, command in COMMANDS.items()]
        # The files tell the state of the checkout too, which may change meanwhile.
        no_checkout = {"GIT_DIR": os.devnull}
        done = mpiexec(n_ranks, ";".join(lines), code=PROGRAM, cwd=folder, timeout=240, env=no_checkout)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    names = sorted(path.name for path in (folder / "1").iterdir())
    assert names == sorted([*COMMANDS, "image.png"])
    for name in names:
        contents = {(folder / str(n_ranks) / name).read_bytes() for n_ranks in (1, 3)}
        assert len(contents) == 1, name


def test_what_is_wrong_is_told_once(mpiexec, folder):
    np.save(folder / "wide.npy", np.zeros((300, 5)))
    done = mpiexec(3, sys.executable, "-m", "prosper_ng", "infer", "bars", "wide.npy", "--output", "x.h5", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("learned from rows of 9") == 1
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*x.h5*"))


def test_a_row_that_cannot_be_read_ends_all_ranks(mpiexec, folder):
    values = np.zeros((300, 9))
    values[290, 4] = np.inf
    np.save(folder / "bad.npy", values)
    done = mpiexec(3, sys.executable, "-m", "prosper_ng", "infer", "bars", "bad.npy", "--output", "x.h5", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("row 290, column 4") == 1
    assert "on rank 2 of 3" in done.stderr
    assert not list(folder.glob("*x.h5*"))
