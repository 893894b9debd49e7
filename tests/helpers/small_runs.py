"""Runs through the command line that take a moment each, in this process or in one forked from it."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from prosper_ng import cli
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.storage.checkpoint import Checkpoints
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import Status, read_status

SEARCH = """
name: small
seed: 3
data: {kind: bars, n_bars: 6, n_rows: 120}
model: {kind: bsc, n_latents: 6}
estep: {kind: search, n_states: 12}
training: {n_sweeps: 12, updates_per_sweep: 3, block_rows: 16}
output: {figures: false, checkpoint_sweeps: 4}
"""

ANNEALED = """
name: annealed
seed: 3
data: {kind: bars, n_bars: 6, n_rows: 120}
model: {kind: bsc, n_latents: 6, shared_pi: true}
estep: {kind: preselection, n_candidates: 4, max_active: 3}
training:
  n_sweeps: 10
  block_rows: 16
  annealing:
    temperature: [[0, 3.0], [6, 1.0]]
    data_pruning: [[0, 0.0], [5, 1.0]]
    row_fraction: [[0, 0.6], [5, 1.0]]
    data_noise: [[0, 1.0], [5, 0.0]]
    parameter_noise: {W: [[0, 1.0], [4, 0.0]]}
output: {figures: false, checkpoint_sweeps: 3}
"""

RESTARTS = """
name: restarts
seed: 3
data: {kind: bars, n_bars: 6, n_rows: 120, missing: 0.1, held_out: 0.2}
model: {kind: bsc, n_latents: 6}
estep: {kind: search, n_states: 12}
training:
  n_sweeps: 6
  restarts: 3
  restart_sweeps: 3
  updates_per_sweep: 2
  block_rows: 16
  annealing: {row_fraction: [[0, 0.5], [5, 1.0]], data_noise: [[0, 0.5], [3, 0.0]], parameter_noise: {W: 0.01}}
output: {figures: false, checkpoint_sweeps: 2}
"""
"""15 sweeps, which know of 24 rows that they do not learn from."""

DENOISE = """
name: image
data: {kind: image, image: IMAGE, noise: 25.0, patch_size: 4}
model: {kind: bsc, n_latents: 12}
estep: {kind: search, n_states: 10}
training: {n_sweeps: 8, updates_per_sweep: 4}
task: {kind: denoise, every: 3}
"""


def complaint(capsys, *arguments) -> str:
    """The one line that a command fails with."""
    assert cli.main([*map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def undisturbed(folder: Path, text: str = SEARCH) -> Path:
    """The folder of a run that nothing disturbs; its configuration lies beside it."""
    path = folder.with_suffix(".yaml")
    path.write_text(text, encoding="utf-8")
    assert cli.main(["--quiet", "run", str(path), "--output", str(folder)]) == 0
    return folder


class Done(NamedTuple):
    """How one start of the command ended."""

    status: int
    out: str
    err: str


class Runner:
    """Runs one configuration in one folder, again and again."""

    def __init__(self, folder: Path, text: str, capsys) -> None:
        self.folder, self._capsys = folder, capsys
        self.file = folder.with_suffix(".yaml")
        self.file.write_text(text, encoding="utf-8")

    def arguments(self, *changes: str) -> list[str]:
        overrides = [argument for change in changes for argument in ("--set", change)]
        return ["run", str(self.file), "--output", str(self.folder), *overrides]

    def __call__(self, *changes: str) -> Done:
        """Run to the end, with changes such as `seed=2`."""
        self._capsys.readouterr()
        status = cli.main(self.arguments(*changes))
        return Done(status, *self._capsys.readouterr())

    def fork(self, *changes: str) -> int:
        """The process id of a run that goes on in a process of its own, without output."""
        child = os.fork()
        if child:
            return child
        status = 99
        try:
            status = cli.main(["--quiet", *self.arguments(*changes)])
        finally:
            os._exit(status)

    @property
    def status(self) -> Status:
        return read_status(self.folder)

    @property
    def digest(self) -> str:
        digest = read_run(self.folder).attributes["digest"]
        assert digest == self.status.digest
        assert len(digest) == 64
        return digest

    @property
    def history(self) -> dict[str, np.ndarray]:
        return read_run(self.folder).history

    @property
    def checkpoints(self) -> list[int]:
        """The sweeps of the checkpoints."""
        manifests = (self.folder / "checkpoints").glob("checkpoint-*.json")
        return sorted(int(path.stem.rpartition("-")[2]) for path in manifests)

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8")


def newest_checkpoint(folder: Path, n_rows: int):
    """The whole content of the newest checkpoint."""
    found, notes = Checkpoints(folder / "checkpoints", SerialCommunicator()).load_latest(0, n_rows, n_rows)
    assert (found is not None, notes) == (True, [])
    return found


def wait_for(process: int) -> int:
    """The exit status of a child, -N where signal N ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def write_image(path: Path, shape: tuple[int, int] = (24, 24)) -> None:
    """A picture of dark and bright rectangles."""
    rng = np.random.default_rng(5)
    pixels = np.full(shape, 90.0)
    for _ in range(12):
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        pixels[top : top + rng.integers(3, 12), left : left + rng.integers(3, 12)] = rng.integers(20, 235)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
