"""What a user says about training."""

from dataclasses import field
from functools import cached_property
from typing import Annotated, Literal

from annotated_types import Gt

from prosper_ng.components import FilePath, NotComputedWith, settings
from prosper_ng.training.annealing import Annealing, AnnealingPoint
from prosper_ng.training.stopping import Stopping

_SETTLING_SWEEPS = 20
"""Of a restart after its annealing: in bars tests the free energies of all starts had their final order by then."""


@settings
class Training:
    """How long to learn, what, and from where."""

    n_sweeps: Annotated[int, Gt(0), NotComputedWith(unless=lambda training: training.depends_on_length)] = 50
    """Sweeps over the data, at most; those of restarts come on top."""
    restarts: Annotated[int, Gt(0)] = 1
    """How many starts are tried, each for `restart_sweeps`; that of the largest free energy is learned to the end."""
    restart_sweeps: Annotated[int, Gt(0)] | None = None
    """Sweeps of each try, the first of `n_sweeps`; where not given until annealing is over and 20 more, at most all."""
    updates_per_sweep: Annotated[int, Gt(0)] = 1
    """M-steps in each sweep; 1 is plain EM, more is incremental EM, which learns faster per sweep."""
    learn: tuple[str, ...] | None = None
    """Names of the parameters to learn; all where this is not given."""
    hold: dict[str, Annotated[int, Gt(0)]] = field(default_factory=dict)
    """The sweep, counted from 0, from which a parameter is learned, by parameter; before, it stays what it was."""
    initial: dict[str, float] = field(default_factory=dict)
    """Values to start from, by parameter, instead of those found from the data: each fills the whole array, of a
    covariance its diagonal."""
    initial_file: FilePath | None = None
    """A run folder, run.h5 or npz file with parameters to start from; `initial` goes before it."""
    start: Literal["noise", "rows"] | None = None
    """What dictionary elements are at first: noise around the mean of the data, or rows of them, of a picture with gaps
    after these were closed by interpolation. Where not given, noise, but rows for task restore with gaps."""
    annealing: Annealing = field(default_factory=Annealing)
    """Values that change over the sweeps."""
    stopping: Annotated[Stopping, NotComputedWith()] = field(default_factory=Stopping)
    """When to stop before the last sweep."""
    block_rows: Annotated[int, Gt(0)] | None = None
    """Rows in a block, the unit that ranks share out; found from the number of rows where not given."""

    def __post_init__(self) -> None:
        """Raise ValueError where schedules cross, what is held is never learned, or restarts outlast the run."""
        self.annealing.check_order(self.n_sweeps)
        for name in self.hold:
            if self.learn is not None and name not in self.learn:
                legal = ", ".join(self.learn) or "none"
                raise ValueError(f"hold: {name!r} is not in learn, so that no sweep learns it; legal are {legal}")
        if self.restart_sweeps is not None and self.restart_sweeps > self.n_sweeps:
            raise ValueError(
                f"restart_sweeps is {self.restart_sweeps}, more than n_sweeps, which is {self.n_sweeps}; a restart "
                f"tries the first sweeps of a run, so legal are 1 to {self.n_sweeps}"
            )

    @property
    def depends_on_length(self) -> bool:
        """Whether a run of more sweeps would be another one from the start."""
        return self.annealing.depends_on_length or (self.restarts > 1 and self.restart_sweeps is None)

    @cached_property
    def tried_sweeps(self) -> int:
        """Sweeps of each restart; 0 where there is one start only, which needs no trying."""
        if self.restarts == 1:
            return 0
        settled = max(self.annealing.settled_after(self.n_sweeps), *self.hold.values(), 0)
        return self.restart_sweeps or min(settled + _SETTLING_SWEEPS, self.n_sweeps)

    @property
    def all_sweeps(self) -> int:
        """Sweeps of all restarts, and those of the run that follows."""
        return self.restarts * self.tried_sweeps + self.n_sweeps

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is legal, but hardly meant: parameters that are held until the end."""
        return tuple(
            f"training.hold: {name} is learned from sweep {first} on, counted from 0, and n_sweeps is {self.n_sweeps}: "
            "it stays what it is at first"
            for name, first in self.hold.items()
            if first >= self.n_sweeps
        )

    def at(self, sweep: int) -> AnnealingPoint:
        """What holds at a sweep, counted from 0."""
        point = self.annealing.at(sweep, self.n_sweeps)
        held = frozenset(name for name, first in self.hold.items() if sweep < first)
        return point._replace(held=held, settled=point.settled and not held)

    def place(self, n_done: int) -> tuple[int, int]:
        """Where a run stands after some of `all_sweeps`: restarts that are over, and sweeps of what goes on then."""
        if self.restarts == 1:
            return 0, n_done
        n_over = min(n_done // self.tried_sweeps, self.restarts)
        return n_over, n_done - n_over * self.tried_sweeps
