"""What all commands make of a configuration, and what brute force makes of its rows."""

from itertools import product
from typing import Any, NamedTuple

import h5py
import numpy as np

from prosper_ng.cli import main
from prosper_ng.config.loader import load
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.storage.run_record import read_run


class Made(NamedTuple):
    """Of a run with binary latents, from its own rows."""

    results: dict[str, Any]
    """All datasets of `infer --adaptive`, `reconstruct` and `sample --rows 500`."""
    params: Any
    values: np.ndarray
    """(N, D) the rows, NaN where an entry is missing."""
    states: np.ndarray
    """(2^H, H) all states."""
    weights: np.ndarray
    """(N, 2^H) their exact posterior."""


def made_by_all_commands(text, folder, model, log_joint, *reconstructing) -> Made:
    """Run, infer, reconstruct (with more arguments), sample and report by the configuration `text`; all succeed."""
    config, run, found = folder / "config.yaml", folder / "run", {}
    config.write_text(text, encoding="utf-8")
    assert main(["run", str(config), "--output", str(run), "--quiet"]) == 0
    commands = {"infer": ["--adaptive"], "reconstruct": list(reconstructing), "sample": ["--rows", "500"]}
    for command, arguments in commands.items():
        path = folder / f"{command}.h5"
        assert main([command, str(run), *arguments, "--output", str(path)]) == 0
        with h5py.File(path, "r") as file:
            found |= {name: values[()] for name, values in file.items() if isinstance(values, h5py.Dataset)}
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").exists()
    settings = load(config, RunConfig).value
    values, params = settings.data.open(settings.seed).read(0, settings.data.n_rows), read_run(run).parameters
    states = np.array(list(product((0, 1), repeat=model.n_latents)))
    joint = log_joint(model, params, np.nan_to_num(values), states, ~np.isnan(values))
    return Made(found, params, values, states, np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None]))
