"""The shipped bars configuration finds all bars from any seed."""

from pathlib import Path

import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.storage.run_record import read_run

CONFIG = Path(__file__).parents[2] / "configs" / "runs" / "bars-bsc.yaml"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(10))
def test_all_bars_are_recovered(tmp_path, seed):
    changes = ("--set", f"seed={seed}", "--set", "output.figures=false")
    assert cli.main(["--quiet", "run", str(CONFIG), "--output", str(tmp_path / "run"), *changes]) == 0
    record = read_run(tmp_path / "run")
    assert record.results["recovered"] == {"found": 10, "of": 10}
    assert record.parameters["sigma"] == pytest.approx(2.0, rel=0.05)
    assert record.parameters["pi"] == pytest.approx(0.2, rel=0.15)
    bars = np.abs(record.parameters["W"])
    assert np.sort(bars.max(axis=0)) == pytest.approx(np.full(10, 10.0), rel=0.15)
