"""The workloads on which prosper_ng and its predecessors are timed, and the rows and parameters they start from."""

import json
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.config import from_mapping
from prosper_ng.data.sources.bars import Bars
from prosper_ng.data.sources.image import Image
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.assembly import Assembly
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.training.em import TruncatedEM, start
from prosper_ng.training.settings import Training

HOUSE = Path(__file__).parents[3] / "shared" / "data" / "house.png"
MODELS = ("bsc", "tsc", "dsc", "mca", "mmca", "gsc")
BARS: dict[str, dict[str, Any]] = {
    "bsc": {},
    "tsc": {"latents": "ternary"},
    "dsc": {"latents": "discrete", "values": (1.0, 2.0)},
    "mca": {"superposition": "max"},
    "mmca": {"superposition": "max_magnitude"},
    "gsc": {"latents": "gaussian", "noise": 1.0, "slab_mean": 1.0},
}


class Workload(NamedTuple):
    """Rows, model and E-step of one line of the table."""

    name: str
    data: str
    """bars, binary for 16 bars that are switched on, patches, house, or large: patches of 16 x 16 of House."""
    n_rows: int
    model: dict[str, Any]
    estep: dict[str, Any]
    peers: dict[str, int]
    """The peers that can do this; of the rows each gets every so manieth, where all would take it too long."""


def preselection(model: str, data: str, n_rows: int, n_latents: int, size: tuple[int, int]) -> Workload:
    """Expectation Truncation with `size` = (candidates, most active)."""
    fields: dict[str, Any] = {"kind": model, "n_latents": n_latents}
    if model == "dsc":
        fields["values"] = [0.0, 1.0, 2.0]
    if model in ("mca", "mmca"):
        fields["superposition"] = "soft"  # ProSper has no other
    if model not in ("dsc", "gsc"):
        fields["shared_pi"] = True
    estep = {"kind": "preselection", "n_candidates": size[0], "max_active": size[1]}
    return Workload(f"{data}-{model}", data, n_rows, fields, estep, {"prosper": 1})


def evolution(data: str, model: str, n_latents: int, peers: dict[str, int]) -> Workload:
    """Evolutionary search over patches of House, as EVO and TVO know it: fit parents, generations of offspring."""
    variation = {
        "kind": "evolution", "n_parents": 10, "n_children": 1, "n_generations": 2, "selection": "fitness",
        "parents": "offspring", "mutation": "flip",
    }  # fmt: skip
    estep = {"kind": "search", "n_states": 60, "variations": [variation]}
    fields = {"kind": model, "n_latents": n_latents}
    return Workload(f"{data}-{model}", data, 10_000, fields, estep, peers)


WORKLOADS = {
    workload.name: workload
    for workload in [
        *(preselection(model, "patches", 2000, 100, (6, 3) if model == "gsc" else (8, 4)) for model in MODELS),
        *(preselection(model, "bars", 1000, 10, (8, 5) if model == "mca" else (7, 4)) for model in MODELS),
        evolution("house", "bsc", 256, {"evo": 1, "tvo": 1}),
        evolution("house", "gsc", 256, {"evo": 10, "tvo": 20}),
        evolution("large", "gsc", 512, {"evo": 100, "tvo": 100}),
        evolution("binary", "noisy_or", 24, {"tvo": 1}),
    ]
}


def rows_of(workload: Workload, image: str) -> np.ndarray:
    """(n_rows, D): bars, patches of 12 x 12 of a photograph, or noisy patches of `image`, evenly spread."""
    kind = workload.model["kind"]
    if workload.data == "binary":
        bars = Bars(n_bars=16, n_rows=workload.n_rows, observable="bernoulli", amplitude=0.8, activity=0.15, noise=0.0)
        return bars.open(1).read(0, workload.n_rows)
    if workload.data == "bars":
        return Bars(n_rows=workload.n_rows, **BARS[kind]).open(1).read(0, workload.n_rows)
    if workload.data == "patches":
        source = Image(image="camera", patch_size=12, remove_mean=kind not in ("mca", "mmca"))
    elif workload.data == "large":
        source = Image(image=image, noise=50.0, patch_size=16)
    else:
        source = Image(image=image, noise=25.0, patch_size=8)
    return patches(source, workload.n_rows)


def patches(source: Image, n_rows: int) -> np.ndarray:
    """(n_rows, D) patches, evenly spread over the image."""
    dataset = source.open(1)
    every = np.linspace(0, dataset.n_rows - 1, n_rows).astype(np.int64)
    return np.stack([dataset.read(row, row + 1)[0] for row in every])


def assembly_of(
    rows: Path, model: dict[str, Any], estep: dict[str, Any], initial: Path | None = None, seed: int = 1
) -> Assembly:
    """The problem with the rows of a file, and the parameters of another one where it is given, else first ones."""
    config = {
        "name": "bench", "seed": seed, "data": {"kind": "npy", "path": str(rows)}, "model": model, "estep": estep,
        "training": {"initial_file": None if initial is None else str(initial)},
    }  # fmt: skip
    return assemble_run(from_mapping(config, RunConfig).value, SerialCommunicator())


def write(workload: Workload, image: str, n_sweeps: int, folder: Path) -> None:
    """Write what all contenders start from: prosper_ng's parameters and state sets after some sweeps of its own.

    The folder then holds workload.json, rows.npy, start.npz and, where there are state sets, these as prosper_ng packs
    them (codes.npy) and plain (states.npy).
    """
    (folder / "workload.json").write_text(json.dumps(workload._asdict()), encoding="utf-8")
    np.save(folder / "rows.npy", rows_of(workload, image))
    parts = assembly_of(folder / "rows.npy", workload.model, workload.estep)
    state = start(parts.problem, parts.initial)
    if n_sweeps > 0:
        deque(TruncatedEM(parts.problem, Training(n_sweeps=n_sweeps)).sweeps(state), maxlen=0)
    np.savez(folder / "start.npz", **state.params)
    if "codes" in state.rows:
        np.save(folder / "codes.npy", state.rows["codes"])
        space = parts.problem.model.space
        np.save(folder / "states.npy", np.stack([space.decode(codes).astype(bool) for codes in state.rows["codes"]]))
