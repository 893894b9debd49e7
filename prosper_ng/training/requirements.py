"""What E-step and training need of a model beyond what every model has."""

from collections.abc import Iterator
from typing import Any, get_args

from prosper_ng.components import kind_of
from prosper_ng.data.support import noise_refused
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.models.capabilities import FitsGaussians, couples_latents, learns_from_part, offers, weighs_rows
from prosper_ng.models.interface import Identity, KnowsFreeEnergy, Model
from prosper_ng.numerics.schedule import points_of
from prosper_ng.training.settings import Training


def check_model(model: Model, estep: EStep, training: Training, weighted: bool = False) -> None:
    """Raise UserError where a model does not have it, or says something of itself that cannot be.

    `weighted` says whether rows have weights.
    """
    learns_from_part(model)  # raises where it says neither
    if weighted and not weighs_rows(model):
        raise UserError(
            f"model {kind_of(model)} counts each row once, so weights of rows and a coreset are not for it; leave them "
            "out, or choose a mixture"
        )
    for fault in _faults(model, estep, training):
        raise UserError(fault)


def _faults(model: Model, estep: EStep, training: Training) -> Iterator[str]:
    name = f"model {kind_of(model)}"
    said: Any = model
    if offers(model, KnowsFreeEnergy) and said.identity not in get_args(Identity):
        legal = " or ".join(f'"{each}"' for each in get_args(Identity))
        yield f"{name}: `identity` is {said.identity!r}; legal are {legal}"
    if refusal := noise_refused(model, None, [("training.annealing.data_noise", training.annealing.adds_noise)]):
        yield refusal
    yield from _unfit_annealing(model, training, name)
    if couples_latents(model) and estep.max_active is not None:
        independent = f"the latents of {name} depend on each other, so how many are active cannot be told from it"
        if estep.corrects_prior:
            yield (
                f"estep.corrects_prior corrects the learned activities of latents that are independent, and "
                f"{independent}; set it to false"
            )
        if any(value > 0 for _, value in points_of(training.annealing.data_pruning)):
            yield (
                "training.annealing.data_pruning leaves out as many rows as independent latents explain badly, and "
                f"{independent}; set it to 0"
            )
    if training.stopping.entropy_gap is not None and not offers(model, KnowsFreeEnergy):
        yield (
            f"training.stopping.entropy_gap can never be reached, since {name} has no entropy to hold its free energy "
            "against; use relative_change, or leave it out"
        )


def _unfit_annealing(model: Model, training: Training, name: str) -> Iterator[str]:
    """Latents that are real numbers are annealed by the weights of entropies, all others by temperature."""
    others: tuple[str, ...]
    if offers(model, FitsGaussians):
        others, what = ("temperature",), "real numbers, whose Gaussians know no temperature"
        fitting = "prior_weight and noise_weight of 1/T"
    else:
        others, what = ("prior_weight", "noise_weight"), "states, of which prior and likelihood are not weighed apart"
        fitting = "temperature"
    for each in others:
        if training.annealing.changes(each):
            yield f"training.annealing.{each}: the latents of {name} are {what}; anneal by {fitting}, or leave it out"
