"""Learning for its own sake; compared with the truth where the data know it."""

from pathlib import Path
from typing import Any

from prosper_ng.components import component
from prosper_ng.data.dataset import Dataset
from prosper_ng.estep.interface import EStep
from prosper_ng.experiments.tasks.interface import Numbers, TaskContext
from prosper_ng.models.capabilities import flips_latents
from prosper_ng.models.interface import Model
from prosper_ng.models.roles import elements_of, of_role
from prosper_ng.numerics.matching import amari_index, recovered
from prosper_ng.training.em import TrainingState


@component
class Train:
    """Learn the parameters; count recovered dictionary elements where the true ones are known."""

    def check(self, dataset: Dataset, model: Model, estep: EStep) -> None:
        """Any data and any model will do."""

    def rehearse(self, context: TaskContext, state: TrainingState) -> None:
        """No kernels of its own."""

    def measure(self, context: TaskContext, state: TrainingState) -> Numbers:
        """Nothing beyond what training reports."""
        return {}

    def finish(self, context: TaskContext, state: TrainingState, folder: Path) -> dict[str, Any]:
        """`recovered: {found, of}`: true elements with a learned one of normalized correlation of 0.9 or more; `truth`.

        The sign does not count where latents have both, or can stand for their opposites. `amari_index` where as many
        elements were learned as there are true ones, and the true mixing can be undone.
        """
        model, truth = context.problem.model, context.dataset.truth
        n_observed, is_root = context.problem.n_observed, context.problem.comm.is_root
        name = of_role(model.parameters(n_observed), "dictionary") or "W"
        learned = elements_of(model, n_observed, state.params) if is_root else None
        if truth is None or learned is None or name not in truth:
            return {}
        signed = bool((model.space.values < 0).any()) or "mu" in truth or flips_latents(model)
        found = recovered(truth[name], learned, ignore_sign=signed).found
        index = amari_index(truth[name], learned)
        known = {} if index is None else {"amari_index": index}
        return {"recovered": {"found": found, "of": truth[name].shape[1]}, **known, "truth": dict(truth)}

    def closing_line(self, results: dict[str, Any]) -> str | None:
        """How many true elements were found."""
        if "recovered" not in results:
            return None
        return f"recovered {results['recovered']['found']} of {results['recovered']['of']} dictionary elements"
