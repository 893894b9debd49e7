"""What a model may offer besides what it must: each capability is a protocol, and `offers` says who has it.

A model offers a capability by having its members; it need not name the protocol.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.errors import UserError
from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.latents.posterior import UNTEMPERED, GaussianPosterior, Posterior, Tempering
from prosper_ng.models.interface import Batch, Codes, DiscreteLatents, Floats, Model
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.protocols import lacking, members_of, protocols_of


def offers(model: object, capability: type) -> bool:
    """Whether a model has all members of a protocol; a member that is None counts as absent.

    Raises UserError where a model has some of them only, unless the protocol extends another one: what it does offer
    would be passed over in silence.
    """
    kind: Any = type(model)
    return _offers(kind, capability)


@cache
def _offers(model: Any, capability: Any) -> bool:
    members = set(members_of(capability))
    absent = {name for name in members if getattr(model, name, True) is None} | set(lacking(model, capability))
    if len(protocols_of(capability)) == 1 and 0 < len(absent) < len(members):
        present = ", ".join(sorted(members - absent))
        raise UserError(
            f"model {model.__name__} has {present}, but not {', '.join(sorted(absent))}: "
            f"{capability.__name__} in {capability.__module__} needs all of these, or none"
        )
    return not absent


class KnowsRounding(Protocol):
    """Models that know better than `models.rounding` how far their `expected_log_joint` may be off."""

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """A bound on the rounding error of `expected_log_joint`, for telling a real decrease from noise."""
        ...


class Remembers(Protocol):
    """Models whose M-step carries something from update to update that is no parameter, such as moments of gradients.

    It is zero before the first update and kept with the parameters, so that an interrupted run goes on with the same
    bits; `MStep.memory` holds it.
    """

    def memory(self, n_observed: int) -> dict[str, Shape]:
        """Every array that is carried, by name."""
        ...


class ChoosesStatistics(Protocol):
    """Models that say which statistics their M-step learns from where the data are visited in parts."""

    @property
    def learns_from(self) -> Literal["total", "part"]:
        """From which they are.

        "total": the sums over all rows, to which each part adds what it gave last; `MStep.own` has those of the part.
        "part": those of the part visited last alone, for steps along a gradient, since gradients grow old. What other
        parts gave is not kept then, and the free energy of a sweep is what its E-steps found.
        """
        ...


def learns_from_part(model: object) -> bool:
    """Whether an M-step gets the statistics of one part of the data only; UserError where the model says neither."""
    found: Any = model
    if not offers(model, ChoosesStatistics):
        return False
    if found.learns_from not in ("total", "part"):
        raise UserError(
            f"model {type(model).__name__} learns from {found.learns_from!r}; learns_from must be 'total' or 'part'"
        )
    return bool(found.learns_from == "part")


class WeighsRows(Protocol):
    """Models whose statistics may count a row as any number of rows, as `Batch.weights` say."""

    @property
    def weighs_rows(self) -> bool:
        """Whether they do."""
        ...


class LearnsClasses(Protocol):
    """Models that may learn of which class a row is, from some rows of which that is known (`Batch.labels`)."""

    @property
    def learned_classes(self) -> int | None:
        """K; None where they learn none."""
        ...


def classes_of(model: object) -> int | None:
    """K, the classes that a model learns; None where it learns none."""
    found: Any = model
    return found.learned_classes if offers(model, LearnsClasses) else None


def weighs_rows(model: object) -> bool:
    """Whether a model can learn from weighted rows."""
    found: Any = model
    return offers(model, WeighsRows) and bool(found.weighs_rows)


class WantsExamples(Protocol):
    """Models that start from rows of the data, such as centers of clusters."""

    def n_examples(self, n_rows: int) -> int:
        """R, how many rows of N `Moments.examples` should hold."""
        ...


class CouplesLatents(Protocol):
    """Models whose prior may be no product over the latents, such as that of nets with several layers.

    How many latents are active cannot be told from their activities then, so nothing may be made of it.
    """

    @property
    def couples_latents(self) -> bool:
        """Whether latents depend on each other before any data are seen."""
        ...


def couples_latents(model: object) -> bool:
    """Whether the prior of a model is no product over the latents."""
    found: Any = model
    return offers(model, CouplesLatents) and bool(found.couples_latents)


class SumsByValue(Protocol):
    """Models with sums of their own for each value of the latent, of which a row adds to few."""

    def sums_by_value(self, n_observed: int) -> tuple[str, ...]:
        """Statistics (C, ...) by values; the first counts rows, and where it is 0 so are the others."""
        ...


class MaximizesByValue(SumsByValue, Protocol):
    """Models of whose M-step several can do a share each, since each value of the latent has parameters of its own.

    `maximize`, `expected_log_joint`, `rounding` and `entropy` then get what belongs to some values, of statistics and
    of parameters, and all of the rest. What needs all values has it from `numerics.sharing.of_all`, which costs
    nothing where one does it all.
    """

    @property
    def axes_by_value(self) -> Mapping[str, int]:
        """The axis that counts values, of each parameter with entries of their own; others are found by all alike."""
        ...


class FlipsLatents(Protocol):
    """Models in which a latent can stand for its opposite, with a dictionary element of the other sign."""

    @property
    def flips_latents(self) -> bool:
        """Whether it can, so that the signs of elements say nothing."""
        ...


def flips_latents(model: object) -> bool:
    """Whether the signs of the dictionary elements of a model say nothing."""
    found: Any = model
    return offers(model, FlipsLatents) and bool(found.flips_latents)


class Affinity(Protocol):
    """Models with a selection function of their own, cheaper than the joint of singletons."""

    def affinity(self, prepared: Any, projected: Any, batch: Batch) -> Floats:
        """(n, H) how well each latent alone fits the row; larger is better."""
        ...


class KnowsSingletons(Protocol):
    """Models that see at once how well each latent alone explains a row."""

    def log_joint_of_singletons(self, prepared: Any, projected: Any) -> Floats:
        """(n, H, K - 1) log p(s, y) of each latent alone, with each of its values; up to a constant of the row."""
        ...


class Preselects(Protocol):
    """Models that know better what to do with preselected states than to evaluate each of them for itself."""

    def preselect(
        self, prepared: Any, projected: Any, batch: Batch, chosen: Preselected, tempering: Tempering
    ) -> Posterior:
        """The posterior over the states of each row's candidates."""
        ...


class KnowsNeighbors(Protocol):
    """Models that see what one more latent does to a state for all latents at once."""

    def log_joint_of_neighbors(self, prepared: Any, projected: Any, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of all states one change away from the parents; for ranking, so rounding may be larger."""
        ...


class ComparesValues(Protocol):
    """Models whose one latent has many values, such as mixtures, that see which of these are alike."""

    def likeness(self, prepared: Any, values: NDArray[np.int64], others: NDArray[np.int64]) -> Floats:
        """(m, k) how probable some values (k,) make what others (m,) make, up to constants of each row; for ranking."""
        ...


class GroupsMissing(Protocol):
    """Models that may treat rows together that miss the same values, so that rounding depends on how many do."""

    @property
    def groups_missing(self) -> bool:
        """Whether it does."""
        ...


class NeedsSmallWeights(Protocol):
    """Models with parameters that may be learned from nothing but states of very low probability."""

    def least_weight(self) -> float:
        """States of a row that all together have less probability than this may be left out of its statistics."""
        ...


class Samples(Protocol):
    """Models that can generate data."""

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[Any]]:
        """Rows (n, D) and the alphabet indices (n, H) of the states that made them; values where these are real."""
        ...


class Reconstructs(Protocol):
    """Models that can predict the data from the posterior."""

    def reconstruct(self, prepared: Any, projected: Any, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean."""
        ...


class Superimposes(Protocol):
    """Models that say what given values of the latents come to."""

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) the mean of the data, given values (n, H) of the latents, or their amplitudes where these have any."""
        ...


class ShowsElements(Protocol):
    """Models without a dictionary among their parameters in which a latent has an element to look at all the same."""

    def elements(self, params: NamedArrays) -> Floats:
        """(D, H) what each latent alone adds to the data."""
        ...


class PosteriorMeans(Protocol):
    """Models with more that is hidden than the states, such as the slabs of spike-and-slab coding."""

    def posterior_means(self, prepared: Any, projected: Any, codes: Codes, weights: Floats) -> dict[str, Floats]:
        """Posterior means (n, ...) by name, such as `s_z` (n, H), for codes (n, S, words) with weights (n, S)."""
        ...


class KeepsWorkspace(Protocol):
    """Models whose `preselect` takes one more argument, `workspace`, and finds again what it left there.

    What belongs to the parameters (`prepared`) is shared and never written to. What grows with the rows that were seen
    belongs to whoever makes the calls: one workspace for each thread, as long as the parameters stay.
    """

    def workspace(self, prepared: Any) -> Any:
        """An empty one for these parameters; what it holds changes how long a call takes, never what comes out.

        `preselect` raises ValueError where it gets one of other parameters.
        """
        ...


def workspace_for(model: Any, prepared: Any) -> Any:
    """An empty workspace for calls at these parameters; None where the model keeps nothing."""
    return model.workspace(prepared) if offers(model, KeepsWorkspace) else None


class FitsGaussians(Model, Protocol):
    """Models of real-valued latents that find the Gaussian of each row that explains it best."""

    n_latents: int
    """H."""

    def fit_gaussians(
        self,
        prepared: Any,
        projected: Any,
        batch: Batch,
        start: tuple[Floats, Floats],
        correlated: bool,
        tempering: Tempering = UNTEMPERED,
        vary: bool = True,
    ) -> GaussianPosterior:
        """From means and deviations (n, H) to start from, which stay as they are; 0 where no deviation is known yet.

        Latents are `correlated` in q_n or independent. What `tempering` says of prior and likelihood concerns how q_n
        is found, its free energy is that at temperature 1. With `vary` off, q_n is that of the start.
        """
        ...


class DrawsLatents(DiscreteLatents, Protocol):
    """Models with real-valued latents beside the states, over which log joints are means: those of a few samples.

    Without samples they are taken at the means of these latents.
    """

    @property
    def n_draws(self) -> int:
        """The standard normal numbers that a sample of all real-valued latents of a row is made of."""
        ...

    def draw(self, prepared: Any, projected: Any, normals: Floats) -> Any:
        """What was projected, with R samples for each row, of numbers (n, R n_draws); a function of these."""
        ...


class HasHeadline(Protocol):
    """Models that say themselves which numbers people look at first."""

    def headline(self, params: NamedArrays) -> dict[str, float]:
        """Numbers for the progress line and the curves, by the names of their columns in the history."""
        ...
