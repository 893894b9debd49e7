"""The E-step that suits a model."""

from typing import Annotated, Any

from annotated_types import Gt

from prosper_ng.components import component, kind_of
from prosper_ng.estep.amortized import Amortized
from prosper_ng.estep.clusters import Clusters
from prosper_ng.estep.defaults import EStepDefaults, require_needed
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estep.gaussian import Gaussian
from prosper_ng.estep.interface import Choice
from prosper_ng.estep.search import Search
from prosper_ng.estep.variations.evolution import Evolution
from prosper_ng.estep.variations.neighborhood import NeighborSearch
from prosper_ng.estep.variations.preselection import PreselectedStates
from prosper_ng.latents.index_space import IndexSpace
from prosper_ng.models.capabilities import ComparesValues, DrawsLatents, FitsGaussians, KnowsNeighbors, offers

_FEW, _FEW_COMPONENTS = 1024, 64


@component
class Auto(EStepDefaults):
    """What models of real-valued latents need; all states where they are few, else a search that suits the model."""

    n_states: Annotated[int, Gt(0)] = 60
    """S, the number of states for each row where they are searched for."""

    def resolved(self, model: Any) -> Choice:
        """What to use for this model; raises UserError where nothing will do."""
        if offers(model, FitsGaussians):
            return Choice(Gaussian(), f"gaussian, because the latents of model {kind_of(model)} are real numbers")
        if offers(model, DrawsLatents):
            return Choice(Amortized(), f"amortized, because model {kind_of(model)} has encoders of what it draws")
        require_needed(self, model)
        space, name = model.space, kind_of(model)
        if isinstance(space, IndexSpace) and space.n_states > _FEW_COMPONENTS and offers(model, ComparesValues):
            n_states = min(self.n_states, Clusters().n_states)
            return Choice(
                Clusters(n_states=n_states),
                f"clusters, because model {name} knows which of its {space.n_states} components are near to which",
            )
        if space.n_states <= max(_FEW, self.n_states):
            few = f"{space.n_latents} latents have only" if space.n_latents > 1 else "a single latent has only"
            return Choice(Exhaustive(), f"exhaustive, because {few} {space.n_states} states")
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
