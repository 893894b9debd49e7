"""Sources are separated and spikes decoded: the scripts behind these pages, and the way by files, on few rows."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.numerics.matching import cosines

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(program, *arguments):
    command = [sys.executable, str(ROOT / "scripts" / "bench" / program), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_sparse_sources_are_separated_by_gsc_and_binary_ones_by_tsc(tmp_path):
    few = ("--seeds", 1, "--latents", 4, "--rows", 2000, "--picture", tmp_path / "sources.png")
    said = run("sources.py", *few, "--kinds", "spike and slab, 0.2", "binary")
    sparse, binary = (re.findall(r"([\d.]+), [\d.]+ s", line) for line in said.splitlines()[2:4])
    fastica, gsc = float(sparse[0]), float(sparse[1])
    assert gsc < max(0.05, 2 * fastica)
    assert float(binary[3]) < 0.05 < float(binary[1])
    assert (tmp_path / "sources.png").read_bytes().startswith(b"\x89PNG")


def test_spikes_in_a_file_are_decoded_by_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("discrete_signals.py", "--frames", 2000, "--write", tmp_path)
    assert cli.main(["--quiet", "run", str(ROOT / "configs/runs/spikes-dsc.yaml"), "--output", "run"]) == 0
    assert cli.main(["--quiet", "infer", "run", "spikes.npy", "--top-k", "1"]) == 0
    with h5py.File("run/inference.h5") as found, h5py.File("run/run.h5") as learned:
        states, templates = found["states"][:, 0], learned["parameters/latest/W"][()]
        sigma, pi = (learned[f"parameters/latest/{name}"][()] for name in ("sigma", "pi"))
    truth = np.load("truth.npz")
    similarity = cosines(truth["templates"], templates)
    partners = similarity.argmax(axis=1)
    assert sorted(partners) == list(range(8))
    assert similarity.max(axis=1).min() > 0.97
    assert sigma == pytest.approx(1.5, rel=0.05)
    assert pi == pytest.approx([0.8, 0.08, 0.06, 0.06], abs=0.02)
    assert np.mean(states[:, partners] == truth["amplitudes"]) > 0.9
