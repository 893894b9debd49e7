"""How the state sets K_n are chosen and varied."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.latents.posterior import UNTEMPERED, Posterior, Tempering
from prosper_ng.latents.space import LatentSpace
from prosper_ng.latents.state_sets import StateSets
from prosper_ng.models.interface import Batch, Model
from prosper_ng.numerics.random_streams import Stream
from prosper_ng.numerics.schedule import END, SweepSwitch

Floats = NDArray[np.float64]
Codes = NDArray[np.uint64]


class Target(NamedTuple):
    """What an E-step works on: a model at fixed parameters and a block of rows."""

    model: Model
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


class EStep(Protocol):
    """A component: a way to choose K_n."""

    @property
    def max_active(self) -> int | None:
        """gamma, where K_n holds no state with more active latents; None where nothing is left out on principle."""
        ...

    @property
    def corrects_prior(self) -> bool:
        """Whether the M-step is to correct the activities for what more than gamma active latents explain."""
        ...

    def initial_sets(
        self, space: LatentSpace, rows: NDArray[np.int64], activity: Floats, stream: Stream
    ) -> StateSets | None:
        """State sets to store for these global rows; None where K_n is made anew each time."""
        ...

    def find(self, target: Target, sets: StateSets | None, vary: bool = True) -> Found:
        """The states for a block of rows; stored sets are updated in place.

        With `vary` off, stored sets are evaluated but keep their states.
        """
        ...

    def posterior(self, target: Target, sets: StateSets | None, vary: bool = True) -> Posterior:
        """q_n over the states that `find` finds, which need not be listed for that."""
        ...


class Variation(Protocol):
    """A component: a way to propose new states; it sees a pool of states and never evaluates the model."""

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

    def n_proposed(self, space: LatentSpace, n_states: int) -> int:
        """How many candidates it proposes for each row at a time, where K_n holds `n_states`."""
        ...

    def propose(self, target: Target, pool: StateSets) -> Codes:
        """Candidate codes (n, C, words)."""
        ...
