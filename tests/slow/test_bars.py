"""The shipped bars configurations find all bars, the noise level and the sparsity."""

from pathlib import Path

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.storage.run_record import read_run

CONFIGS = Path(__file__).parents[2] / "configs" / "runs"
MODELS = ("bsc", "tsc", "dsc", "mca", "mmca", "gsc")

pytestmark = pytest.mark.slow


def learned(model: str, folder: Path, *changes: str):
    command = ["--quiet", "run", str(CONFIGS / f"bars-{model}.yaml"), "--output", str(folder / "run")]
    for change in ("output.figures=false", *changes):
        command += ["--set", change]
    assert cli.main(command) == 0
    return read_run(folder / "run")


def activity(pi: np.ndarray) -> float:
    """One minus the probability of 0, where pi holds those of all values."""
    return float(pi if pi.ndim == 0 else 1 - pi[0] if pi.sum() == pytest.approx(1.0) else pi.mean())


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("model", MODELS)
def test_all_bars_are_recovered(tmp_path, model, seed):
    record = learned(model, tmp_path, f"seed={seed}")
    assert record.results["recovered"] == {"found": 10, "of": 10}
    truth = record.results["truth"]
    assert record.parameters["sigma"] == pytest.approx(float(truth["sigma"]), rel=0.05)
    active, truly = (activity(np.asarray(each["pi"])) for each in (record.parameters, truth))
    assert active == pytest.approx(truly, rel=0.06)
    if model != "gsc":  # where slabs and fields share the scale
        assert np.sort(np.abs(record.parameters["W"]).max(axis=0)) == pytest.approx(np.full(10, 10.0), rel=0.15)


@pytest.mark.parametrize("model", MODELS)
def test_all_bars_are_recovered_from_half_of_the_pixels(tmp_path, model):
    rows = ["data.n_rows=2000"] if model == "gsc" else []
    assert learned(model, tmp_path, "data.missing=0.5", "seed=0", *rows).results["recovered"] == {"found": 10, "of": 10}
