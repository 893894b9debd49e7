"""What a run does with a model besides learning it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from prosper_ng.data.dataset import NO_COLUMNS, Columns, Dataset
from prosper_ng.estep.interface import EStep
from prosper_ng.models.interface import Model
from prosper_ng.training.em import Problem, TrainingState

Numbers = dict[str, float]


def _to_nobody(text: str) -> None:
    """Nobody looks on."""


def _never() -> bool:
    return False


class TaskContext(NamedTuple):
    """What a task works with; all ranks call it together."""

    problem: Problem
    dataset: Dataset
    unknown: Columns = NO_COLUMNS
    """The columns of the data of which nothing can be known."""
    folder: Path | None = None
    """The run folder; None in a rehearsal."""
    show: Callable[[str], None] = _to_nobody
    """Shows how far the task has come after the last sweep (on root)."""
    is_stopped: Callable[[], bool] = _never
    """Whether this rank was asked to stop."""


class Task(Protocol):
    """A component: measures during training, and results after it."""

    def check(self, dataset: Dataset, model: Model, estep: EStep) -> None:
        """Raise UserError where the data, or the model with this E-step, cannot serve the task."""
        ...

    def rehearse(self, context: TaskContext, state: TrainingState) -> None:
        """Do whatever compiles kernels, on the few rows of this setting."""
        ...

    def measure(self, context: TaskContext, state: TrainingState) -> Numbers:
        """Numbers for the history after a sweep (on root)."""
        ...

    def finish(self, context: TaskContext, state: TrainingState, folder: Path) -> dict[str, Any]:
        """Results after the last sweep (on root), which also writes pictures to the run folder.

        A long one raises Stopped, on all ranks, where one of them was asked to stop: the run then goes on with it.
        """
        ...

    def closing_line(self, results: dict[str, Any]) -> str | None:
        """The results in one line for people; None where there is nothing to say."""
        ...


@runtime_checkable
class Foresees(Protocol):
    """What a task may say besides: what it takes after the last sweep."""

    def bytes_after(self, dataset: Dataset) -> int:
        """Bytes that a rank holds then, beyond what the dataset itself is said to hold."""
        ...

    def seconds_after(self, context: TaskContext, state: TrainingState) -> float:
        """Seconds on one rank of this machine, in a pilot over some of the rows."""
        ...


def bytes_after(task: Task, dataset: Dataset) -> int:
    """What the task says of it; 0 where it says nothing."""
    return task.bytes_after(dataset) if isinstance(task, Foresees) else 0
