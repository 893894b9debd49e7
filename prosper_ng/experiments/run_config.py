"""Everything a user says about one run."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from prosper_ng.components import FilePath, Name, NotComputedWith, OneOf, Seed, changed, kind_of, legal, settings
from prosper_ng.config.first_fields import not_computed_with
from prosper_ng.data.dataset import Dataset, Source
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.sources._beside import Beside
from prosper_ng.data.support import noise_refused
from prosper_ng.estep.auto import Auto
from prosper_ng.estep.interface import EStep
from prosper_ng.experiments.left_open import MAY_BE_LEFT_OPEN, left_open
from prosper_ng.experiments.tasks.interface import Task
from prosper_ng.experiments.tasks.train import Train
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.interface import DiscreteLatents
from prosper_ng.paths import path_of
from prosper_ng.training.settings import Training


@settings
class Output:
    """What is written, where, and how often."""

    folder: FilePath | None = None
    """The run folder; runs/NAME where not given."""
    checkpoint_sweeps: Annotated[int, Gt(0)] | None = None
    """Write a checkpoint every N sweeps."""
    checkpoint_minutes: Annotated[float, Gt(0)] | Literal["auto"] | None = "auto"
    """Write a checkpoint every N minutes; "auto" every minute, or as often as it takes 2 % of the time at most."""
    keep_checkpoints: Annotated[int, Ge(2)] | Literal["auto"] = "auto"
    """How many of the newest checkpoints stay; "auto" two, and of a finished run the last one alone."""
    parameter_sweeps: Annotated[int, Gt(0)] | None = None
    """Keep the parameters in run.h5 every N sweeps; the last ones are always kept."""
    figures: bool = True
    """Whether pictures are made at the end."""

    @property
    def most_checkpoints(self) -> int:
        """How many stay while the run goes on."""
        return 2 if self.keep_checkpoints == "auto" else self.keep_checkpoints

    @property
    def last_checkpoints(self) -> int:
        """How many stay of a finished run, where it wrote so many."""
        return 1 if self.keep_checkpoints == "auto" else self.keep_checkpoints


@settings
class RunConfig:
    """One run: data, model, E-step, training, task."""

    name: Annotated[Name, NotComputedWith()]
    """A name for people; also the default folder."""
    seed: Seed = 0
    """All random numbers of the run are a function of it."""
    data: Annotated[Source, OneOf("prosper_ng.data.sources")]
    """Where the rows come from."""
    model: Annotated[DiscreteLatents, OneOf("prosper_ng.models")]
    """The generative model."""
    estep: Annotated[EStep, OneOf("prosper_ng.estep")] = field(default_factory=Auto)
    """How the state sets are chosen; by what suits the model where not given."""
    training: Training = field(default_factory=Training)
    """How long to learn, what, and from where."""
    task: Annotated[Task, OneOf("prosper_ng.experiments.tasks")] = field(default_factory=Train)
    """What the learned model is for."""
    memory: Memory = field(default_factory=Memory)
    """What is held in memory, and how."""
    output: Annotated[Output, NotComputedWith()] = field(default_factory=Output)
    """What is written, where, and how often."""

    def __post_init__(self) -> None:
        """Raise ValueError where noise is added to data that may not be any number, or a task needs all rows."""
        noise = [("training.annealing.data_noise", self.training.annealing.adds_noise)]
        refusal = noise_refused(self.model, self.data, noise)
        if refusal is not None:
            raise ValueError(refusal)
        if getattr(self.data, "coreset", None) is not None and not isinstance(self.task, Train):
            raise ValueError(
                f"task {kind_of(self.task)} is about all rows, and data.coreset learns from some; leave one of them out"
            )

    @staticmethod
    def schema_of_left_open() -> tuple[dict[str, Any], tuple[str, ...]]:
        """The JSON Schema of configurations that leave something open, and what they may lack which others need."""
        from prosper_ng.config.editor_schema import kind_is

        kinds = {"task": "restore", "data": "image"}
        of_kind = {name: {"anyOf": [{"const": kind}, kind_is(kind)]} for name, kind in kinds.items()}
        return {"properties": of_kind, "required": ["task"]}, MAY_BE_LEFT_OPEN

    @staticmethod
    def left_open(given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What such a configuration leaves to be found from its data, each with what stands in for it so long."""
        return left_open(given)

    @property
    def folder(self) -> Path:
        """The run folder, unless another one is named to the command."""
        return Path("runs") / self.name if self.output.folder is None else path_of(self.output.folder)

    @property
    def learning(self) -> LearningSettings:
        """The part that learning depends on, besides the rows; with the start that suits the task where none is set."""
        training = self.training
        if training.start is None and self.data.may_lack_values:
            training = changed(training, start=getattr(self.task, "start_with_gaps", None))
        return legal(
            LearningSettings, seed=self.seed, model=self.model, estep=self.estep, training=training, memory=self.memory,
            held_out=getattr(self.data, "held_out", None), coreset=getattr(self.data, "coreset", None),
        )  # fmt: skip

    def beside(self, rows: Dataset) -> Beside:
        """Weights and labels of these rows; DataError where there is not one for each."""
        return Beside.of(rows, getattr(self.data, "weights", None), getattr(self.data, "labels", None))


def not_science(config: RunConfig) -> tuple[str, ...]:
    """What may differ between a run and its continuation: how far, how often, where to; not what is computed."""
    return not_computed_with(config)
