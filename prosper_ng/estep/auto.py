"""The E-step that suits a model."""

from typing import Annotated, NamedTuple

from annotated_types import Gt

from prosper_ng.components import component, kind_of
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.interface import EStep
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.models.interface import KnowsNeighbors, Model, offers

_FEW = 1024


class Choice(NamedTuple):
    """An E-step, and why it was chosen."""

    estep: EStep
    reason: str


@component
class Auto:
    """All states where they are few, else a search with the variations that suit the model."""

    n_states: Annotated[int, Gt(0)] = 60
    """S, the number of states for each row where they are searched for."""

    def choose(self, model: Model) -> Choice:
        """What to use for this model."""
        space, name = model.space, kind_of(model)
        if space.n_states <= max(_FEW, self.n_states):
            return Choice(
                Exhaustive(), f"exhaustive, because {space.n_latents} latents have only {space.n_states} states"
            )
        if offers(model, KnowsNeighbors):
            variations = (PreselectedStates(), NeighborSearch())
            return Choice(
                Search(n_states=self.n_states, variations=variations),
                f"search among neighbors, because model {name} ranks all neighbors of a state at once, "
                "and after a warm start of preselected states",
            )
        return Choice(
            Search(n_states=self.n_states, variations=(PreselectedStates(), Evolution())),
            f"evolutionary search, because model {name} has to evaluate each state for itself, after a warm start of "
            "preselected states",
        )


def chosen(estep: EStep, model: Model) -> Choice:
    """The E-step itself, also where `auto` leaves it open, and why it is this one."""
    return estep.choose(model) if isinstance(estep, Auto) else Choice(estep, "as configured")
