"""Compiles the kernels that most tests use, one time, before several processes run the tests: a few tiny runs.

What does not run here costs time only: a test compiles what it misses.
"""

import contextlib
import io
import tempfile
from pathlib import Path

from prosper_ng import cli

RUN = """
name: warm
data: {kind: bars, n_bars: 6, n_rows: 60}
model: {kind: MODEL, n_latents: 6}
estep: {kind: ESTEP}
training: {n_sweeps: 2, updates_per_sweep: 3, block_rows: 16}
output: {figures: false}
"""
ESTEPS = {
    "search": "search, n_states: 12, variations: [{kind: evolution}, {kind: neighborhood}, {kind: sampling}]",
    "preselection": "preselection, n_candidates: 4, max_active: 3",
    "exhaustive": "exhaustive",
}
OF_MODELS = {"bsc": ESTEPS, "mca": ESTEPS, "gsc": ESTEPS, "gsc, noise: full": ["search"]}


def warm_kernels(folder: Path) -> None:
    """Run all of these, and infer with the first, in an empty folder."""
    for number, (model, estep) in enumerate((model, estep) for model, names in OF_MODELS.items() for estep in names):
        file = folder / f"{number}.yaml"
        file.write_text(RUN.replace("MODEL", model).replace("ESTEP", ESTEPS[estep]), encoding="utf-8")
        cli.main(["--quiet", "run", str(file), "--output", str(folder / str(number))])
    cli.main(["--quiet", "infer", str(folder / "0"), "--output", str(folder / "found.h5")])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        warm_kernels(Path(folder))
