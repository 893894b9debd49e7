"""Configurations made whole: what they leave open is found from the picture, before anything is assembled."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prosper_ng.components import kind_of
from prosper_ng.config import Loaded, from_mapping
from prosper_ng.config.canonical import inline
from prosper_ng.data.dataset import ImageDataset
from prosper_ng.errors import UserError
from prosper_ng.experiments.left_open import at
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.models.interface import Model, learnable
from prosper_ng.restoration.noise_level import noise_of
from prosper_ng.restoration.sizes import Given, Sizes, sizes_for
from prosper_ng.storage.run_record import RunFileError, read_run

_LEAST_SIDE = 16
_LEAST_SIGMA = 0.5
"""A noise below that of rounding to 8 bits tells nothing."""
_MOST_MISSING = 0.5
"""Up to here the noise level is found so well that it need not be learned."""


def completed(loaded: Loaded[RunConfig], folder: Path) -> Loaded[RunConfig]:
    """The whole configuration: what it leaves open is as in the run that the folder holds, else found from the picture.

    Raises UserError where there is no picture, or one that tells nothing.
    """
    if not loaded.left_open:
        return loaded
    values, how = _kept(folder, loaded), "as this run was begun"
    if values is None:
        values, how = _found(loaded)
    resolved = deepcopy(loaded.resolved)
    for name in loaded.left_open:
        section, _, last = name.rpartition(".")
        (resolved[section] if section else resolved)[last] = values[name]
    full = from_mapping(resolved, RunConfig, "what was found from the picture")
    origins = {name: loaded.origins.get(name, how) for name in full.origins}
    note = f"{how}: {', '.join(f'{name} {inline(values[name])}' for name in loaded.left_open)}"
    return replace(full, origins=origins, text=loaded.text, notes=(note,))


def _lacks(given: Mapping[str, Any], name: str) -> bool:
    section, _, last = name.rpartition(".")
    return last not in (at(given, section) or {} if section else given)


def _kept(folder: Path, loaded: Loaded[RunConfig]) -> dict[str, Any] | None:
    """What the run in the folder has in the place of what is left open; None where it lacks any of it."""
    try:
        config = read_run(folder).config
    except RunFileError:
        return None
    found = {name: at(config, name) for name in loaded.left_open}
    return None if any(_lacks(config, name) for name in loaded.left_open) else found


def _found(loaded: Loaded[RunConfig]) -> tuple[dict[str, Any], str]:
    """All that may be left open, by dotted name, and how it was found."""
    config = loaded.value
    data: Any = config.data
    dataset = replace(data, patch_size=1, whiten="none").open(config.seed)
    config.task.check(dataset, config.model, config.learning.chosen_estep.estep)
    image = dataset.as_image
    _require_telling(image)
    task: Any = config.task
    noise = None if task.keeps_observed(image) else noise_of(image.noisy)
    given = Given(
        None if "data.patch_size" in loaded.left_open else data.size,
        None if "data.stride" in loaded.left_open else data.stride,
        config.training.block_rows,
    )
    sizes = sizes_for(image.noisy.shape, noise, given)
    height, width = image.noisy.shape[:2]
    where = f"in {height} x {width} pixels"
    if noise is None:
        return _settings(config.model, sizes, None), f"gaps without noise {where}"
    sigma = round(max(noise.sigma, _LEAST_SIGMA), 3)
    found = (
        f"noise level {sigma:.3g} {where}, which stand out of it in {noise.visible:.0%} of the directions of patches"
    )
    return _settings(config.model, sizes, sigma if np.isnan(image.noisy).mean() <= _MOST_MISSING else None), found


def _require_telling(image: ImageDataset) -> None:
    """Raise UserError where a picture is too small, or has no two values."""
    height, width = image.noisy.shape[:2]
    given = "give data.patch_size and model, which are found from it otherwise"
    if image.count is not None:
        raise UserError(f"{image.where} has counts of photons, and sizes are known for Gaussian noise only; {given}")
    if min(height, width) < _LEAST_SIDE:
        raise UserError(
            f"{image.where} has {height} x {width} pixels, and {_LEAST_SIDE} x {_LEAST_SIDE} are needed to find "
            f"sizes from; {given}"
        )
    values = image.noisy[~np.isnan(image.noisy)]
    if len(values) == 0 or values.min() == values.max():
        what = "no pixel that was observed" if len(values) == 0 else f"the same value everywhere, {values[0]:g}"
        raise UserError(f"{image.where} has {what}, so that there is nothing to restore it from")


def _settings(model: Model, sizes: Sizes, sigma: float | None) -> dict[str, Any]:
    """The settings that sizes come to for a model; `sigma` is held where it is known."""
    variation = {"kind": "neighborhood", "n_parents": sizes.n_parents, "n_candidates": sizes.n_candidates}
    estep = {"kind": "search", "n_states": sizes.n_states, "variations": [variation]}
    specs = learnable(model.parameters(1))
    return {
        "data.patch_size": sizes.patch_size[0],
        "data.stride": sizes.stride,
        "model": {"kind": "gsc", "n_latents": sizes.n_latents, "shared_pi": True},
        "model.n_latents": sizes.n_latents,
        "model.shared_pi": True,
        "model.n_components": sizes.n_components,
        "model.n_factors": sizes.n_factors,
        "model.noise": "shared",
        "estep": {"kind": "clusters"} if kind_of(model) == "mfa" else estep,
        "training.n_sweeps": sizes.n_sweeps,
        "training.updates_per_sweep": sizes.n_updates,
        "task.patch_size": sizes.group_size,
        "task.n_rounds": sizes.n_rounds,
        "task.learn_noise": sizes.learn_noise,
        "training.learn": None if sigma is None else [name for name, spec in specs.items() if spec.role != "noise"],
        "training.initial": {} if sigma is None else {"sigma": sigma},
    }
