"""A learned dictionary applied to another picture: the run that does it, made of what was learned."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prosper_ng.config import Loaded, from_mapping
from prosper_ng.config.canonical import inline
from prosper_ng.data.images import page_of
from prosper_ng.data.patches import PatchGrid
from prosper_ng.data.picture_files import Page
from prosper_ng.data.picture_pages import Wanted
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.data.sources.image import Image
from prosper_ng.errors import UserError
from prosper_ng.estep.kept_rows import row_state_of
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.stored import load
from prosper_ng.models.interface import learnable
from prosper_ng.models.roles import of_role
from prosper_ng.parallel.rows import SMALLEST_BLOCK
from prosper_ng.paths import name_from

_UPDATES = 20
"""In a sweep: a noise level that is far from the learned one is found in the first few."""
_N_SEARCHED = 10
"""Sweeps of an E-step that searches states, which it finds only by and by."""


def restoring(run: Path, picture: str, n_sweeps: int = 0, overrides: Sequence[str] = ()) -> Loaded[RunConfig]:
    """The configuration of a run that restores a picture with the dictionary of another run, or of a saved model.

    With 0 sweeps the dictionary stays as it is, and the noise level and the activity of the latents are learned again
    from the picture; else `n_sweeps` learn on everything. `overrides` change it, such as "data.mask=gaps.png".
    Raises UserError where the run has not learned from patches of pictures, or the picture has other channels.
    """
    known = load(run)
    patches = _patches_of(known)
    specs = learnable(known.model.parameters(known.n_observed))
    own = [name for name in (of_role(specs, "noise"), of_role(specs, "activity")) if name is not None]
    searches = bool(row_state_of(known.chosen_estep.estep, known.model, known.n_observed))
    training: dict[str, Any] = {"initial_file": str(run), "updates_per_sweep": _UPDATES}
    if n_sweeps:
        training["n_sweeps"] = n_sweeps
    else:
        training |= {"n_sweeps": _N_SEARCHED if searches else 1, "learn": own}
    mapping = {
        "name": name_from(f"{known.name}-{Path(picture).stem}"),
        "seed": known.seed,
        "data": {"kind": "image", "image": picture, **patches},
        "model": asdict(known.model),  # type: ignore[call-overload]
        "estep": asdict(known.estep),  # type: ignore[call-overload]
        "training": training,
        "task": "restore",
    }
    loaded = from_mapping(mapping, RunConfig, "restore", overrides)
    data: Any = loaded.value.data
    if not isinstance(data, Image):
        return loaded
    _require_same_preparation(known, data, patches)
    page = page_of(picture, Wanted(data.page))
    _require_channels(known, data, page, loaded.origins["data.channels"].startswith("--set"))
    height, width = page.shape[:2] if data.crop is None else data.crop[2:]
    n_blocks = -(-PatchGrid((height, width, 1), data.size, data.stride).n_patches // SMALLEST_BLOCK)
    if n_blocks >= _UPDATES:
        return loaded
    training["updates_per_sweep"] = n_blocks
    return from_mapping(mapping, RunConfig, "restore", overrides)


def _patches_of(known: Learned) -> dict[str, Any]:
    """What the model takes patches to be, as fields of data; UserError where it has learned from something else."""
    shape, preprocessing = known.row_shape, known.preprocessing
    if shape is None or len(shape) != 3 or shape[2] not in (1, 3) or preprocessing is None:
        raise UserError(
            f"{known.origin} has learned from rows of {known.n_observed} values, which are no patches of pictures; a "
            "dictionary for pictures is learned from data of kind image"
        )
    if preprocessing.whitening is not None:
        raise UserError(
            f"{known.origin} has learned from whitened patches, in which noise has no level of its own; learn from "
            "patches that are not whitened to restore pictures with them"
        )
    return {
        "patch_size": list(shape[:2]),
        "channels": "color" if shape[2] == 3 else "gray",
        **_preparation_of(preprocessing),
    }


def _preparation_of(preprocessing: Preprocessing) -> dict[str, Any]:
    per = "channel" if preprocessing.n_channels > 1 else "patch"
    return {"remove_mean": preprocessing.remove_mean, "mean_per": per}


def _require_same_preparation(known: Learned, data: Image, patches: dict[str, Any]) -> None:
    """Raise UserError where patches would not be what the dictionary is made of."""
    needed = {"whiten": "none"} | {name: value for name, value in patches.items() if name != "channels"}
    given = {**data.preparation, "patch_size": [*data.size]}
    for name, value in needed.items():
        asked = given.get(name, value)
        if asked != value:
            raise UserError(
                f"data.{name} is {inline(asked)}, and {known.origin} has learned with {inline(value)}, which belongs "
                "to its dictionary; leave it out"
            )


def _require_channels(known: Learned, data: Image, page: Page, is_told: bool) -> None:
    """Raise UserError where the picture has color and the dictionary none, which is told, or the other way round."""
    has_color = page.shape[2] >= 3
    if data.channels == "color" and not has_color:
        raise UserError(
            f"{page.where} is gray, and {known.origin} has learned from patches in color; legal are pictures in color, "
            "or a dictionary that was learned with channels: gray"
        )
    if data.channels == "gray" and has_color and not is_told:
        raise UserError(
            f"{page.where} has color, and {known.origin} has learned from gray patches: what came out would be gray; "
            "legal are gray pictures, a dictionary that was learned with channels: color, or "
            "--set data.channels=gray for the luminance alone"
        )
