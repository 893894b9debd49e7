"""How the state sets K_n are chosen and varied."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.latents.index_space import StateSpace
from prosper_ng.latents.posterior import UNTEMPERED, Posterior, Tempering
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.models.interface import Batch, DiscreteLatents
from prosper_ng.numerics.named_arrays import Shape
from prosper_ng.numerics.random_streams import Stream
from prosper_ng.numerics.schedule import END, SweepSwitch
from prosper_ng.numerics.sharing import ALONE, Share

Floats = NDArray[np.float64]
Codes = NDArray[np.uint64]
RowArrays = dict[str, NDArray[Any]]
"""What is kept of rows from sweep to sweep: arrays (n, ...) by name, whatever an E-step makes of them."""
RowState = dict[str, tuple[Shape, np.dtype[Any]]]
"""Shape and type of what is kept of a single row, by name."""


class Target(NamedTuple):
    """What an E-step works on: a model at fixed parameters and a block of rows."""

    model: DiscreteLatents
    prepared: Any
    projected: Any
    batch: Batch
    activity: Floats
    """(H,) prior probability that each latent is active."""
    stream: Stream
    """Random streams of this sweep."""
    tempering: Tempering = UNTEMPERED
    """How weights are made from log joints."""
    sweep: int = END
    """Of the run, counted from 0, for what changes over the sweeps."""
    apart: bool = False
    """Whether nothing said of a row may depend on the rows beside it, not even its rounding."""
    guide: Any = None
    """What the E-step has found of the parameters before it looks at rows."""
    workspace: Any = None
    """What the model may keep from block to block of one thread; None where every call begins with nothing."""

    def log_joint(self, codes: Codes) -> Floats:
        """(n, S) log p(s, y) of codes (n, S, words)."""
        return self.model.log_joint(self.prepared, self.projected, codes)


class Found(NamedTuple):
    """The states an E-step settled on for a block of rows."""

    codes: Codes
    """(n, S, words)."""
    log_joint: Floats
    """(n, S)."""
    n_evaluated: int
    """States whose log joint was computed."""
    n_accepted: int = 0
    """States that replaced others."""


class Choice(NamedTuple):
    """An E-step, and why it was chosen."""

    estep: "EStep"
    reason: str


class EStep(Protocol):
    """A component: a way to choose q_n, and what has to be known of it to plan, learn, and infer with it.

    `estep/defaults.py` answers what most E-steps answer alike; what is left to say are `find` and `n_listed`, or
    `posterior`, and for what is kept of rows `row_state` and `initial_rows`.
    """

    @property
    def needs(self) -> type:
        """The protocol that a model has to offer to be served."""
        ...

    @property
    def max_active(self) -> int | None:
        """gamma, where K_n holds no state with more active latents; None where nothing is left out on principle.

        Where it is None, training checks that free energies at fixed parameters never fall from one visit to the next.
        """
        ...

    @property
    def corrects_prior(self) -> bool:
        """Whether the M-step is to correct the activities for what more than gamma active latents explain."""
        ...

    @property
    def turning_points(self) -> tuple[int, ...]:
        """The sweeps at which something scheduled changes, in ascending order."""
        ...

    def resolved(self, model: Any) -> Choice:
        """The E-step to work with where this one leaves it open; itself elsewhere."""
        ...

    def serves(self, space: StateSpace) -> bool:
        """Whether it can work on the states of this space."""
        ...

    def check(self, model: Any) -> None:
        """Raise UserError, with one sentence, where it cannot serve the model."""
        ...

    def reconstructs(self, model: Any) -> bool:
        """Whether its posteriors of rows under this model can predict data."""
        ...

    def row_state(self, model: Any, n_observed: int) -> RowState:
        """What is kept of each row from sweep to sweep; empty where q_n is made anew each time."""
        ...

    def initial_rows(
        self, model: Any, n_observed: int, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> RowArrays:
        """First values, as `row_state` says, for these global rows: for each a function of its number."""
        ...

    def guide(self, model: Any, prepared: Any, share: Share = ALONE) -> Any:
        """What is worth finding once for these parameters, in shares; `Target.guide` has it then."""
        ...

    def can_take_up(self, kept: RowState, model: Any, n_observed: int) -> bool:
        """Whether `take_up` can go on from what another E-step has kept of rows."""
        ...

    def take_up(self, target: Target, rows: RowArrays, before: RowArrays | None) -> Found:
        """The states of fresh rows, which go on, in place, from what was kept of them before, where that is given."""
        ...

    @property
    def lists_states(self) -> bool:
        """Whether q_n is one over states that `find` lists, which is what `infer` tells of."""
        ...

    def n_listed(self, space: StateSpace) -> int:
        """The states that `find` lists for each row."""
        ...

    def n_proposed(self, space: StateSpace) -> int:
        """The most states of a row that are proposed at a time."""
        ...

    def working_bytes(self, model: Any) -> int:
        """Of a row while it is worked on, besides its values; an upper estimate."""
        ...

    def ways_to_keep_less(self, model: Any, row_bytes: float) -> str | None:
        """What to choose so that no more than so many bytes are kept of a row; None where nothing can be chosen."""
        ...

    def with_all_states(self) -> "EStep":
        """The same as it looks for states at fixed parameters: whatever grows over a run is at its full size."""
        ...

    def unsettled(self, target: Target, found: Found) -> NDArray[np.bool_]:
        """(n,) whether something about the states that were found hints at a better one than the best of them."""
        ...

    def find(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Found:
        """The states for a block of rows; what is kept of these is updated in place.

        With `vary` off, kept states are evaluated but stay the same.
        """
        ...

    def posterior(self, target: Target, rows: RowArrays | None = None, vary: bool = True) -> Posterior:
        """q_n over the states that `find` finds, which need not be listed for that; updates `rows` as `find` does."""
        ...


class Variation(Protocol):
    """A component: a way to propose new states; it sees a pool of states and never evaluates the model."""

    def serves(self, space: StateSpace) -> bool:
        """Whether it can propose states of this space."""
        ...

    @property
    def active(self) -> SweepSwitch:
        """Whether it proposes anything, by the sweeps of the run."""
        ...

    @property
    def n_rounds(self) -> int:
        """How many times in a sweep it proposes."""
        ...

    @property
    def breeds_offspring(self) -> bool:
        """Whether a later round sees what the round before proposed, rather than the best states so far."""
        ...

    def n_proposed(self, space: StateSpace, n_states: int) -> int:
        """How many candidates it proposes for each row at a time, where K_n holds `n_states`."""
        ...

    def propose(self, target: Target, pool: StateSets) -> Codes:
        """Candidate codes (n, C, words)."""
        ...
