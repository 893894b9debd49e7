"""Small runs for `infer` and `reconstruct`, and what brute force makes of them."""

from pathlib import Path

import h5py
import numpy as np
import yaml
from scipy.special import logsumexp

from prosper_ng.cli import main
from prosper_ng.storage.run_record import read_run
from tests.models.test_bsc import log_joint

N_ROWS = 90
CONFIG = {
    "name": "bars",
    "seed": 2,
    "data": {"kind": "bars", "n_bars": 6, "n_rows": N_ROWS},
    "model": {"kind": "bsc", "n_latents": 6},
    "estep": {"kind": "preselection", "n_candidates": 4, "max_active": 3},
    "training": {"n_sweeps": 30, "annealing": {"temperature": [[0, 4.0], [15, 1.0]]}},
    "output": {"figures": False},
}


def train(folder: Path, **changes) -> Path:
    """The folder of a finished run of the configuration with other sections."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG | changes), encoding="utf-8")
    assert main(["run", str(path), "--output", str(folder / "run"), "--quiet"]) == 0
    return folder / "run"


def commands(tmp_path, capsys):
    """A function (arguments) -> arrays and attributes of out.h5, and what was printed; or the error that was."""

    def run_command(*arguments, output=True):
        path = tmp_path / "out.h5"
        status = main([*map(str, arguments), *(["--output", str(path)] if output else [])])
        said = capsys.readouterr()
        if status:
            assert status == 2
            assert said.out == ""
            assert not list(tmp_path.glob(".*.tmp"))
            return said.err
        return *contents(path), said.out

    return run_command


def contents(path):
    with h5py.File(path) as file:
        arrays = {}
        file.visititems(lambda name, item: arrays.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
        for name in ("states", "means", "prediction", "data"):
            assert name not in file or file[name].fletcher32
        return arrays, dict(file.attrs)


def brute_force(run, values):
    """log p(s, y) (n, 64), posterior weights and all states (64, 6) at the parameters of the run."""
    params = read_run(run).parameters
    states = np.array(list(np.ndindex(*[2] * 6)))
    observed = ~np.isnan(values)

    class Likely:
        kind = "bsc"

    joint = log_joint(Likely(), params, np.where(observed, values, 0.0), states, observed)
    return joint, np.exp(joint - logsumexp(joint, axis=1, keepdims=True)), states
