"""What most E-steps and variations answer alike, to inherit from; who differs says so itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import components_of, kind_of
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import Choice, EStep, Floats, Found, RowArrays, RowState, Target
from prosper_ng.estep.listed import Listed
from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.posterior import Posterior
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.capabilities import DrawsLatents, Reconstructs, offers
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.numerics.random_streams import Stream
from prosper_ng.numerics.sharing import ALONE, Share
from prosper_ng.protocols import lacking


class EStepDefaults:
    """An E-step that lists states of discrete latents, keeps nothing of rows and leaves nothing out on principle."""

    needs: type = DiscreteLatents
    max_active: int | None = None
    corrects_prior: bool = False
    lists_states: bool = True

    @property
    def turning_points(self) -> tuple[int, ...]:
        """Nothing is scheduled."""
        return ()

    def resolved(self, model: Any) -> Choice:
        """Itself."""
        return Choice(self, "as configured")

    def serves(self, space: StateSpace) -> bool:
        """Any space that can be asked what `find` asks it."""
        return True

    def check(self, model: Any) -> None:
        """Raise UserError where the model lacks what is needed, or has a space that is not served."""
        require_needed(self, model)
        if offers(model, DiscreteLatents) and not self.serves(model.space):
            raise UserError(f"estep {kind_of(self)} {unserved(model)}; choose another E-step")
        if offers(model, DrawsLatents) and self.needs is not DrawsLatents:
            raise UserError(
                f"estep {kind_of(self)} draws no samples of the real-valued latents of model {kind_of(model)}; choose "
                "amortized"
            )

    def reconstructs(self, model: Any) -> bool:
        """Where the model predicts data from listed states."""
        return self.lists_states and offers(model, Reconstructs)

    def row_state(self, model: Any, n_observed: int) -> RowState:
        """Nothing is kept."""
        return {}

    def initial_rows(
        self, model: Any, n_observed: int, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> RowArrays:
        """Zeros."""
        state = self.row_state(model, n_observed)
        return {name: np.zeros((len(rows), *shape), dtype) for name, (shape, dtype) in state.items()}

    def guide(self, model: Any, prepared: Any, share: Share = ALONE) -> Any:
        """Nothing."""
        return None

    def can_take_up(self, kept: RowState, model: Any, n_observed: int) -> bool:
        """Where it is what would be kept anyway."""
        return kept == self.row_state(model, n_observed)

    def take_up(self, target: Target, rows: RowArrays, before: RowArrays | None) -> Found:
        """What was kept takes the place of the fresh rows."""
        for name, values in (before or {}).items():
            rows[name][...] = values
        return self.find(target, rows, vary=False)

    def n_listed(self, space: StateSpace) -> int:
        """To be said by whoever lists states."""
        raise NotImplementedError

    def n_weighed(self, model: Any) -> int:
        """The states of a row that a posterior weighs one by one: all that are listed."""
        return self.n_listed(model.space)

    def n_proposed(self, space: StateSpace) -> int:
        """None."""
        return 0

    def working_bytes(self, model: Any) -> int:
        """States and what is computed of them, and tables of all states with a single active latent."""
        space, code = model.space, 8 * model.space.words + 8
        n_weighed, n_proposed = self.n_weighed(model), self.n_proposed(space)
        tables = 8 * (3 * space.n_singletons + 2 * space.n_latents)
        return tables + (n_weighed + 2 * n_proposed) * code + 24 * n_weighed

    def ways_to_keep_less(self, model: Any, row_bytes: float) -> str | None:
        """Nothing can be chosen."""
        return None

    def with_all_states(self) -> EStep:
        """Itself: nothing grows."""
        return self

    def unsettled(self, target: Target, found: Found) -> NDArray[np.bool_]:
        """(n,) no hints."""
        return np.zeros(len(found.log_joint), bool)

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """To be said by whoever lists states."""
        raise NotImplementedError

    def posterior(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Posterior:
        """q_n over the states that `find` lists."""
        return Listed(target, self.find(target, rows, vary))


class VariationDefaults:
    """A variation that works on bit planes, once in each sweep."""

    @property
    def n_rounds(self) -> int:
        """One."""
        return 1

    @property
    def breeds_offspring(self) -> bool:
        """Every round starts from the best states so far."""
        return False

    def serves(self, space: StateSpace) -> bool:
        """Latents that are packed in bit planes."""
        return isinstance(space, LatentSpace)


def require_needed(estep: EStep, model: Any) -> None:
    """Raise UserError where a model lacks what an E-step needs, with those that would do."""
    if lacks := lacking(type(model), estep.needs):
        kinds = components_of("prosper_ng.estep").items()
        fitting = [kind for kind, cls in kinds if not lacking(type(model), cls.needs)]
        ways = f"choose {' or '.join(fitting)}" if fitting else "no E-step of this version serves it"
        raise UserError(
            f"estep {kind_of(estep)} cannot serve model {kind_of(model)}, which lacks {', '.join(lacks)} "
            f"({estep.needs.__name__}); {ways}"
        )


def unserved(model: Any) -> str:
    """The end of the sentence that somebody cannot serve the space of a model."""
    return f"cannot work on the states of model {kind_of(model)}, which are those of {type(model.space).__name__}"
