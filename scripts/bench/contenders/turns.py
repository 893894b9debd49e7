"""How a contender takes its turns; peers.py asks on standard input, answers go to standard output as lines of JSON.

Needs numpy alone: a contender runs under the Python of its own environment.
"""

from __future__ import annotations  # ProSper needs an old Python

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

Sweep = Callable[[], Any]
"""An iteration of EM over all rows; what comes back is the W that it learned."""

_ANSWERS = sys.stdout
sys.stdout = sys.stderr  # what the peers print is no answer


class Start(NamedTuple):
    """What a contender starts from: the files in the folder that it is told."""

    workload: dict[str, Any]
    rows: np.ndarray
    """(n, D)."""
    params: dict[str, np.ndarray]
    states: np.ndarray | None
    """(n, S, H) the state sets, where there are any."""

    @classmethod
    def read(cls, folder: Path, every: int) -> Start:
        """All of it, with every so manieth row."""
        with np.load(folder / "start.npz") as archive:
            params = {name: np.array(archive[name]) for name in archive.files}
        states = np.load(folder / "states.npy")[::every] if (folder / "states.npy").exists() else None
        workload = json.loads((folder / "workload.json").read_text(encoding="utf-8"))
        return cls(workload, np.ascontiguousarray(np.load(folder / "rows.npy")[::every]), params, states)

    @property
    def sizes(self) -> tuple[int, int]:
        """D and H."""
        return self.rows.shape[1], self.workload["model"]["n_latents"]


def take_turns(n_rows: int, n_states: int, version: str, begin: Callable[[], Sweep]) -> None:
    """Answer each line `n_sweeps seconds` with the speed of the first sweeps, begun anew until the seconds are over."""
    _answer(n_states=n_states, version=version)
    for line in sys.stdin:
        wanted, until = int(line.split()[0]), time.process_time() + float(line.split()[1])
        seconds, on_the_clock = [], []
        while not seconds or time.process_time() < until:
            sweep = begin()
            for _ in range(wanted):
                began, began_on_the_clock = time.process_time(), time.perf_counter()
                W = sweep()
                seconds.append(time.process_time() - began)
                on_the_clock.append(time.perf_counter() - began_on_the_clock)
        size = float(np.sqrt(np.mean(np.asarray(W) ** 2)))
        _answer(rate=n_rows / median(seconds), share=sum(seconds) / sum(on_the_clock), size=size)


def _answer(**fields: object) -> None:
    print(json.dumps(fields), file=_ANSWERS, flush=True)
