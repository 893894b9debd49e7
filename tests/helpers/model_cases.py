"""The cases of all models of states: those that their tests give, and one without references for any other."""

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from itertools import count
from typing import Any

from prosper_ng.components import components_of, kind_of
from prosper_ng.estep.amortized import Amortized
from prosper_ng.estep.clusters import Clusters
from prosper_ng.estep.interface import EStep
from prosper_ng.models.capabilities import DrawsLatents, offers
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.testing import LogJoint, ModelCase


def cases() -> dict[str, ModelCase]:
    """Cases by name; a model without tests of its own is made with nothing but its number of latents."""
    found: dict[str, ModelCase] = {}
    for kind, model in components_of("prosper_ng.models").items():
        if kind in without_tests():
            found[kind] = ModelCase(lambda n_latents, model=model: model(n_latents=n_latents))
        else:
            found |= getattr(importlib.import_module(f"tests.models.test_{kind}"), "CASES", {})
    return found


def without_tests() -> set[str]:
    """The kinds of models that have no file of tests."""
    return {kind for kind in components_of("prosper_ng.models") if find_spec(f"tests.models.test_{kind}") is None}


def instances() -> dict[str, Callable[[int], Any]]:
    """Functions of the number of latents that make the model of each case."""
    return {name: case.make for name, case in cases().items()}


def fitting(estep: EStep, model: Any) -> EStep:
    """The E-step where it serves the model, else one for mixtures that leaves as much out, or one with encoders."""
    if offers(model, DrawsLatents):
        return Amortized(max_active=2)
    return estep if estep.serves(model.space) else Clusters(n_states=2, n_near=2)


def n_observed_of(model: Any, params: NamedArrays) -> int:
    """D of the data that parameters belong to."""
    sizes = count(1)
    return next(D for D in sizes if {name: spec.shape for name, spec in model.parameters(D).items()} == params.shapes)


def log_joint_of(model: Any) -> LogJoint:
    """The plain log joint of a kind of model that has tests of its own."""
    found = next(case.log_joint for case in cases().values() if case.kind == kind_of(model))
    assert found is not None
    return found
