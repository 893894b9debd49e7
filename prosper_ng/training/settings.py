"""What a user says about training."""

from dataclasses import field
from typing import Annotated, Literal

from annotated_types import Gt

from prosper_ng.components import FilePath, NotComputedWith, settings
from prosper_ng.training.annealing import Annealing
from prosper_ng.training.stopping import Stopping


@settings
class Training:
    """How long to learn, what, and from where."""

    n_sweeps: Annotated[int, Gt(0), NotComputedWith(unless=lambda training: training.annealing.depends_on_length)] = 50
    """Sweeps over the data, at most."""
    updates_per_sweep: Annotated[int, Gt(0)] = 1
    """M-steps in each sweep; 1 is plain EM, more is incremental EM, which learns faster per sweep."""
    learn: tuple[str, ...] | None = None
    """Names of the parameters to learn; all where this is not given."""
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
        """Raise ValueError where sweeps and fractions of the schedules cross."""
        self.annealing.check_order(self.n_sweeps)
