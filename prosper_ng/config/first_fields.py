"""What identities are made of: fields of the first version always, later ones where they are not at their default.

Identities name campaign folders, give runs their seeds, and tell whether a run may be gone on with. They outlive a new
option, because a configuration that does not use it says what it said before. Nobody has to remember anything when a
field is added: what is not in the list came later. Its default has to do what was done before there was a choice.

Whoever changes the default of a later field adds the field to the list: from then on its value counts always. Where
nothing is computed with a first field, a new default of it counts as the former one. A class that is renamed or moved
is renamed here; a test finds those that are not there any more. What a field is not computed with is marked where it is
defined.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from prosper_ng.components import FORMER_KINDS, NotComputedWith
from prosper_ng.config.canonical import dotted
from prosper_ng.config.hints import fields_of, metadata

_KIND = "kind"

FIRST_FIELDS = {
    "estep.auto.Auto": "n_states",
    "estep.exhaustive.Exhaustive": "",
    "estep.preselection.Preselection": "n_candidates max_active selection corrects_prior",
    "estep.search.Search": "n_states variations share",
    "estep.variations.evolution.Evolution": (
        "n_parents n_children n_generations selection parents crossover mutation mean_flips active"
    ),
    "estep.variations.neighborhood.NeighborSearch": "n_parents n_candidates n_steps active",
    "estep.variations.preselection.PreselectedStates": "n_candidates max_active selection active",
    "estep.variations.sampling.Sampling": "n_samples source n_draws active",
    "data.memory_settings.Memory": "precision data_budget states_budget scratch",
    "experiments.run_config.Output": (
        "folder checkpoint_sweeps checkpoint_minutes keep_checkpoints parameter_sweeps figures"
    ),
    "experiments.run_config.RunConfig": "name seed data model estep training task memory output",
    "experiments.tasks.denoise.Denoise": "every",
    "experiments.tasks.train.Train": "",
    "models.bsc.BSC": "n_latents shared_pi data_mean unused",
    "models.dsc.DSC": "n_latents values shared_pi data_mean unused",
    "models.gsc.GSC": "n_latents noise slab shared_pi unused",
    "models.mca.MCA": "n_latents superposition shared_pi unused",
    "models.mmca.MMCA": "n_latents superposition shared_pi unused",
    "models.tsc.TSC": "n_latents shared_pi data_mean unused",
    "data.sources.bars.Bars": (
        "n_bars n_rows amplitude negative_bars activity noise missing superposition latents values "
        "probabilities slab_mean slab_std"
    ),
    "data.sources.hdf5.Hdf5": "path missing remove_mean whiten whiten_epsilon dataset",
    "data.sources.image.Image": (
        "image crop channels noise missing patch_size stride remove_mean whiten whiten_epsilon"
    ),
    "data.sources.mat.Mat": "path missing remove_mean whiten whiten_epsilon variable",
    "data.sources.npy.Npy": "path missing remove_mean whiten whiten_epsilon",
    "data.sources.npz.Npz": "path missing remove_mean whiten whiten_epsilon array",
    "data.sources.sample.Sample": "model n_rows missing path group parameters",
    "training.annealing.Annealing": "temperature anneal_prior data_pruning row_fraction data_noise parameter_noise",
    "training.settings.Training": "n_sweeps updates_per_sweep learn initial initial_file annealing stopping block_rows",
    "training.stopping.Stopping": "relative_change entropy_gap patience wall_time",
}
"""The fields of the first version, besides `kind`, by the name of their class in this package."""
FORMER_DEFAULTS: dict[str, dict[str, Any]] = {
    "experiments.run_config.Output": {"checkpoint_sweeps": 10, "checkpoint_minutes": 10.0, "keep_checkpoints": 2}
}
"""What first fields that nothing is computed with count as at their defaults, which were others once."""


def name_of(cls: type) -> str:
    """The name of a settings class in FIRST_FIELDS."""
    return f"{cls.__module__}.{cls.__qualname__}".partition(".")[2]


def lasting(value: Any, resolved: Any) -> Any:
    """What counts of a resolved configuration, `value` being the settings that it says."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: _first_kind(resolved[field.name])
            if field.name == _KIND
            else _former(field, value, lasting(getattr(value, field.name), resolved[field.name]))
            for field in dataclasses.fields(value)
            if field.name in resolved and _counts(field, value)
        }
    if isinstance(value, Mapping):
        items = zip(value.values(), resolved.items(), strict=True)
        return {key: lasting(inner, plain) for inner, (key, plain) in items}
    if isinstance(value, list | tuple):
        return [lasting(inner, plain) for inner, plain in zip(value, resolved, strict=True)]
    return resolved


def _former(field: dataclasses.Field[Any], value: Any, counted: Any) -> Any:
    """What a field counts as: where it is at its default, what that was in the first version."""
    formers = FORMER_DEFAULTS.get(name_of(type(value)), {})
    return formers.get(field.name, counted) if getattr(value, field.name) == field.default else counted


def not_computed_with(value: Any, name: str = "") -> tuple[str, ...]:
    """The full names of all fields marked as `NotComputedWith` in some settings, which are themselves named `name`."""
    if not dataclasses.is_dataclass(value):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, tuple) else ()
        return tuple(found for key, part in parts for found in not_computed_with(part, dotted(name, key)))
    kind: Any = type(value)
    found: list[str] = []
    for key, field in fields_of(kind).items():
        marks = [mark for mark in metadata(field.hint) if isinstance(mark, NotComputedWith)]
        if any(not mark.unless(value) for mark in marks):
            found.append(dotted(name, key))
        else:
            found += not_computed_with(getattr(value, key), dotted(name, key))
    return tuple(found)


def _first_kind(kind: str) -> str:
    """The name that a kind had in the first version."""
    return next((former for former, now in FORMER_KINDS.items() if now == kind), kind)


def _counts(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.name in (_KIND, *FIRST_FIELDS.get(name_of(type(value)), "").split()):
        return True
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return bool(getattr(value, field.name) != default)
