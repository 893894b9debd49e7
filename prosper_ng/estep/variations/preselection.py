"""What few preselected latents of each row combine to: a warm start of K_n, or a part of a mix."""

from typing import Annotated, Literal

from annotated_types import Gt

from prosper_ng.components import component
from prosper_ng.estep import preselection
from prosper_ng.estep.defaults import VariationDefaults
from prosper_ng.estep.interface import Codes, Target
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.numerics.schedule import SweepSwitch


@component
class PreselectedStates(VariationDefaults):
    """All combinations of 1 to gamma of the H' latents that fit a row best (Lücke and Eggert, JMLR 2010)."""

    n_candidates: Annotated[int, Gt(0)] = 6
    """H', the number of latents preselected for each row."""
    max_active: Annotated[int, Gt(0)] = 3
    """gamma, the largest number of latents active together."""
    selection: Literal["singleton", "model"] = "singleton"
    """How latents are ranked: by the joint of their best singleton, or by the model's own selection function."""
    active: SweepSwitch = ((0, True), (1, False))
    """Whether it is used; as it is, in the first sweep only, points [[sweep, true or false], ...] say otherwise."""

    def n_proposed(self, space: StateSpace, n_states: int) -> int:
        """All combinations."""
        return len(self._way.tree(space).parents)

    def propose(self, target: Target, pool: StateSets) -> Codes:
        """The combinations of each row's candidates."""
        return self._way.choose(target).combinations(target.model.space)

    @property
    def _way(self) -> preselection.Preselection:
        return preselection.Preselection(
            n_candidates=self.n_candidates, max_active=self.max_active, selection=self.selection
        )
