"""Everything that learning depends on, besides the rows."""

from dataclasses import field
from typing import Annotated

from annotated_types import Gt, Lt

from prosper_ng.components import OneOf, Seed, settings
from prosper_ng.data.memory_settings import Memory
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.interface import Choice, EStep
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.training.settings import Training


@settings
class LearningSettings:
    """A model, and how it is learned; where the rows come from and where results go is another matter."""

    seed: Seed = 0
    """All random numbers are a function of it."""
    model: Annotated[DiscreteLatents, OneOf("prosper_ng.models")]
    """The generative model."""
    estep: Annotated[EStep, OneOf("prosper_ng.estep")] = field(default_factory=Auto)
    """How the state sets are chosen; by what suits the model where not given."""
    training: Training = field(default_factory=Training)
    """How long to learn, what, and from where."""
    memory: Memory = field(default_factory=Memory)
    """What is held in memory, and how."""
    held_out: Annotated[float, Gt(0), Lt(1)] | None = None
    """The share of the rows that is not learned from."""
    coreset: Annotated[int, Gt(0)] | None = None
    """How many rows stand for all."""

    @property
    def chosen_estep(self) -> Choice:
        """The E-step itself, also where `estep` leaves it open, and why it is this one.

        Raises UserError where the model lacks what it needs.
        """
        return self.estep.resolved(self.model)
