"""Mixtures, decoders, and data that are not Gaussian: the same bits on any number of ranks, and after a stop."""

import sys

import pytest
import yaml

from prosper_ng.storage.run_record import read_run

pytestmark = pytest.mark.mpi

BARS = {"kind": "bars", "n_bars": 6, "n_rows": 150, "missing": 0.1}
MEANS = BARS | {"superposition": "max"}
PAGE = {"kind": "page", "characters": "ab", "height": 60, "width": 90, "patch_size": 12, "stride": 6}
SEARCH = {"kind": "search", "n_states": 10}
CLUSTERS = {"kind": "clusters", "n_states": 2, "n_near": 4}
ESTEPS = {"streams": {"kind": "amortized", "n_samples": 2}}
MODELS = {
    "normal": (MEANS | {"observable": "normal"}, {"kind": "ef_mca", "observable": "normal", "n_latents": 8}),
    "gamma": (
        MEANS | {"observable": "gamma", "background": 1.0, "V": 4.0},
        {"kind": "ef_mca", "observable": "gamma", "n_latents": 8},
    ),
    "sbn": (
        BARS | {"observable": "bernoulli", "amplitude": 0.9, "noise": 0.05},
        {"kind": "sbn", "n_latents": 8, "n_top": 2},
    ),
    "bvae": (BARS, {"kind": "bvae", "n_latents": 8, "hidden": [6]}),
    "mixture": (MEANS | {"observable": "normal"}, {"kind": "mixture", "n_components": 20, "unused": "redraw"}),
    "mfa": (BARS, {"kind": "mfa", "n_components": 6, "n_factors": 2}),
    "glyphs": (PAGE, {"kind": "glyphs", "n_components": 4, "positions": 9}),
    "streams": (BARS, {"kind": "streams", "n_latents": 2, "n_dimensions": 2, "hidden": [8]}),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_number_of_ranks_and_an_interruption_give_the_same_bits(name, mpiexec, tmp_path):
    data, model = MODELS[name]
    config = {
        "name": name, "seed": 4, "data": data, "model": model,
        "estep": ESTEPS.get(model["kind"], CLUSTERS if "n_components" in model else SEARCH),
        "training": {"n_sweeps": 6, "updates_per_sweep": 2, "block_rows": 16},
        "output": {"figures": False}, "task": "clean" if model["kind"] == "glyphs" else "train",
    }  # fmt: skip

    def run(n_ranks, folder, n_sweeps):
        config["training"]["n_sweeps"] = n_sweeps
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        arguments = ("-m", "prosper_ng", "--quiet", "run", tmp_path / "run.yaml", "--output", tmp_path / folder)
        done = mpiexec(n_ranks, sys.executable, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return read_run(tmp_path / folder).attributes["digest"]

    whole = run(1, "whole", 6)
    assert run(3, "parts", 3) != whole
    assert run(2, "parts", 6) == whole
    if name == "glyphs":
        pages = [(tmp_path / folder / "cleaned.png").read_bytes() for folder in ("whole", "parts")]
        assert pages[0] == pages[1]
