"""What a configuration may leave to be found from its picture."""

from collections.abc import Mapping
from typing import Any

from prosper_ng.components import components_of
from prosper_ng.config.hints import fields_of

MAY_BE_LEFT_OPEN = ("model", "data.patch_size", "model.n_latents", "model.n_components")
"""What has no default elsewhere."""
_SUITS: dict[Any, dict[str, Any]] = {"gsc": {"shared_pi": True}, "mfa": {"n_factors": 1, "noise": "shared"}}
"""What else of a model is found, with what stands in for it."""
_WITH_A_LEVEL: dict[Any, dict[str, Any]] = {"gsc": {"noise": "scalar", "slab": "diagonal"}, "mfa": {"noise": "shared"}}
"""What models have to be for their noise to have a single level, which is held where it is known."""


def left_open(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are found from the picture, by dotted name, each with something legal that stands in for it.

    `given` is what a person says. There are some where a picture is to be restored and `patch_size`, the model, or the
    number of its latents, of `mfa` its components, is left out; then so are those that have defaults elsewhere. What is
    given stays.
    """
    data, task, training = (given.get(name, {}) for name in ("data", "task", "training"))
    model = given.get("model", {"kind": "gsc"})
    if not all(isinstance(each, Mapping) for each in (data, task, training, model)):
        return {}
    if (data.get("kind"), task.get("kind")) != ("image", "restore"):
        return {}
    kind = model.get("kind")
    number = "n_components" if kind == "mfa" else "n_latents"
    lacks_number = number not in model and _has(kind, number)
    if "patch_size" in data and not lacks_number:
        return {}
    from prosper_ng.restoration.sizes import N_SWEEPS

    found: dict[str, Any] = {"data.patch_size": 1, "data.stride": 1}
    found |= {"training.n_sweeps": N_SWEEPS, "training.updates_per_sweep": 1}
    found |= {"task.patch_size": None, "task.n_rounds": None, "task.learn_noise": True}
    if "model" not in given:
        found["model"] = {"kind": "gsc", "n_latents": 1}
    elif lacks_number:
        found[f"model.{number}"] = 1
    if kind in _SUITS:
        own = {f"model.{name}": stand_in for name, stand_in in _SUITS[kind].items()}
        found |= {"estep": {"kind": "auto"}} | (own if "model" in given else {})
        if (
            all(model.get(name, usual) == usual for name, usual in _WITH_A_LEVEL[kind].items())
            and data.get("whiten", "none") == "none"
            and not any(training.get(name) for name in ("learn", "initial", "initial_file"))
        ):
            found |= {"training.learn": None, "training.initial": {}}
    return {name: stand_in for name, stand_in in found.items() if at(given, name) in (None, {})}


def _has(kind: Any, field: str) -> bool:
    cls: Any = components_of("prosper_ng.models").get(kind) if isinstance(kind, str) else None
    return cls is not None and field in fields_of(cls)


def at(given: Mapping[str, Any], name: str) -> Any:
    """What is given under a dotted name; None where nothing is."""
    value: Any = given
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
