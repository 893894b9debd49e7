"""The workloads on which prosper_ng and its predecessors are timed, and the rows they work on."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prosper_ng.storage.sources.bars import Bars
from prosper_ng.storage.sources.image import Image

HOUSE = Path(__file__).parents[3] / "shared" / "data" / "house.png"
MODELS = ("bsc", "tsc", "dsc", "mca", "mmca", "gsc")


class Workload(NamedTuple):
    """One line of the table."""

    name: str
    data: str
    n_rows: int
    model: dict[str, Any]
    """A model's configuration; `kind` among it."""
    estep: dict[str, Any]
    peers: tuple[str, ...]
    bar: str
    """What is asked of prosper_ng: "30 x" of the peer's speed, or "100000 rows/s"."""


def preselection(model: str, data: str, n_rows: int, n_latents: int, size: tuple[int, int], bar: str) -> Workload:
    """Expectation Truncation with `size` = (candidates, most active)."""
    fields: dict[str, Any] = {"kind": model, "n_latents": n_latents}
    if model == "dsc":
        fields["values"] = (0.0, 1.0, 2.0)
    if model in ("mca", "mmca"):
        fields["superposition"] = "soft"  # ProSper has no other
    if model not in ("dsc", "gsc"):
        fields["shared_pi"] = True
    estep = {"kind": "preselection", "n_candidates": size[0], "max_active": size[1]}
    return Workload(f"{data}-{model}", data, n_rows, fields, estep, ("prosper",), bar)


def evolution(model: str, bar: str) -> Workload:
    """Evolutionary search over patches of House."""
    estep = {"kind": "search", "n_states": 60, "n_parents": 10, "n_children": 1, "n_generations": 2}
    return Workload(f"house-{model}", "house", 10_000, {"kind": model, "n_latents": 256}, estep, ("evo", "tvo"), bar)


WORKLOADS = {
    workload.name: workload
    for workload in [
        *(
            preselection(model, "patches", 2000, 100, (6, 3) if model == "gsc" else (8, 4), bar)
            for model, bar in zip(MODELS, ["30 x"] * 5 + ["200 x"], strict=True)
        ),
        *(preselection(model, "bars", 1000, 10, (8, 5) if model == "mca" else (7, 4), "40 x") for model in MODELS),
        evolution("bsc", "100000 rows/s"),
        evolution("gsc", "25000 rows/s"),
    ]
}


def rows_of(workload: Workload, image: str) -> np.ndarray:
    """(n_rows, D): bars, patches of 12 x 12 of a photograph, or noisy patches of 8 x 8 of `image`."""
    if workload.data == "bars":
        kinds = {"tsc": {"latents": "ternary"}, "gsc": {"latents": "gaussian", "noise": 1.0, "slab_mean": 1.0}}
        kinds["dsc"] = {"latents": "discrete", "values": (1.0, 2.0)}
        kinds |= {"mca": {"superposition": "max"}, "mmca": {"superposition": "max_magnitude"}}
        return Bars(n_rows=workload.n_rows, **kinds.get(workload.model["kind"], {})).open(1).read(0, workload.n_rows)
    if workload.data == "patches":
        positive = workload.model["kind"] in ("mca", "mmca")
        dataset = Image(image="camera", noise=0.0, patch_size=12, remove_mean=not positive).open(1)
    else:
        dataset = Image(image=image, noise=25.0, patch_size=8, remove_mean=True).open(1)
    every = np.linspace(0, dataset.n_rows - 1, workload.n_rows).astype(np.int64)
    return np.stack([dataset.read(row, row + 1)[0] for row in every])
