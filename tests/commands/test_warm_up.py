import os
import subprocess
import sys

import pytest

from prosper_ng import compiling
from prosper_ng.cli import main
from tests.helpers.small_runs import complaint

LEARN = """
import numpy as np, prosper_ng
from prosper_ng import compiling
rows = np.random.default_rng(0).normal(size=(100, 9))
gaps = np.where(rows > 2, np.nan, rows)
with compiling.told() as told:
    for n_latents in (5, 20):
        prosper_ng.learn(rows, {"kind": "bsc", "n_latents": n_latents}).posterior(rows)
        prosper_ng.learn(gaps, {"kind": "bsc", "n_latents": n_latents}, missing=True).reconstruct(gaps, missing=True)
print(told.n_kernels)
"""
RUN = """
name: run
data: {kind: bars, n_bars: 6, n_rows: 60}
model: {kind: bsc, n_latents: 6}
training: {n_sweeps: 3, updates_per_sweep: 2}
output: {figures: false}
"""


@pytest.mark.slow
def test_what_is_warmed_up_compiles_nothing_at_its_first_use(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")

    def done(*command):
        ended = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    first = done("-m", "prosper_ng", "warm-up", "bsc").splitlines()
    assert " kernels compiled in " in first[0]
    assert first[1].startswith(f"kernels are in {tmp_path / 'cache'}")
    assert done("-m", "prosper_ng", "warm-up", "bsc").splitlines()[0] == "bsc        all kernels are there"
    assert done("-c", LEARN) == "0\n"
    done("-m", "prosper_ng", "run", "run.yaml")
    assert "compiled in" not in (tmp_path / "runs" / "run" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.heavy
def test_models_are_named_with_what_was_done(capsys):
    assert main(["warm-up", "dsc", "tsc"]) == 0
    capsys.readouterr()
    assert main(["warm-up", "dsc", "tsc"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ["dsc        all kernels are there", "tsc        all kernels are there"]
    assert last.startswith("kernels are in ")


def test_a_model_of_which_nobody_knows_the_options_is_left_out(capsys, monkeypatch):
    monkeypatch.setattr("prosper_ng.running.first_use._OPTIONS", {})
    assert main(["warm-up", "dsc"]) == 0
    said = "has options without a default, and so is compiled in its first run"
    assert capsys.readouterr().out.splitlines()[0] == f"dsc        {said}"


def test_a_model_that_is_none_is_named(capsys):
    assert complaint(capsys, "warm-up", "bcs") == (
        "error: there is no model 'bcs'; there are bsc, bvae, dsc, ef_mca, glyphs, gsc, laplace, mca, mfa, mixture, "
        "mmca, noisy_or, sbn, streams, tsc\n"
    )


def test_where_kernels_cannot_be_kept_it_says_so(capsys, monkeypatch):
    from prosper_ng import kernel_cache

    monkeypatch.setattr(kernel_cache, "places", lambda: kernel_cache.Places())
    assert "compiled kernels can be kept nowhere" in complaint(capsys, "warm-up", "bsc")
    assert compiling._lock._held is None
