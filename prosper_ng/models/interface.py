"""What a generative model offers to inference and learning.

A model is a component: its fields are its configuration. It holds no parameters and no data; both are passed in.
N rows, D observed dimensions, H latents, S states per row, as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.latents.posterior import Posterior, Tempering
from prosper_ng.latents.space import LatentSpace
from prosper_ng.numerics.constraints import Constraint, interval
from prosper_ng.numerics.named_arrays import NamedArrays, Shape

Floats = NDArray[np.float64]
Codes = NDArray[np.uint64]

SMALLEST_SCALE = 1e-100
"""Below this the squares of values leave the range of double precision."""
SCALE = interval(SMALLEST_SCALE, np.inf)
"""What standard deviations may be."""


class Batch(NamedTuple):
    """Rows of the data that are worked on together."""

    rows: NDArray[np.int64]
    """(n,) global row indices."""
    values: Floats
    """(n, D) values; 0 where an entry was not observed."""
    observed: NDArray[np.bool_] | None = None
    """(n, D) which entries were observed; None where all were."""


class Moments(NamedTuple):
    """What initialization needs to know of the data."""

    n_rows: int
    mean: Floats
    """(D,) mean of each dimension."""
    variance: Floats
    """(D,) variance of each dimension."""

    @property
    def spread(self) -> float:
        """The data's standard deviation, whatever their mean; that of `scale` where rows differ by rounding only."""
        rounding = 4 * float(np.finfo(float).eps) * float(np.max(np.abs(self.mean), initial=0.0))
        spread = float(np.sqrt(np.mean(self.variance)))
        return spread if spread > rounding else self.scale

    @property
    def center(self) -> Floats:
        """(D,) a point that is near the mean at the scale of the data, and has few digits: values less it are exact.

        A multiple of a power of two of 16 to 32 standard deviations. So it is 0 for data whose mean lies within 8.
        """
        unit = 2.0 ** np.ceil(np.log2(16 * self.spread))
        with np.errstate(invalid="ignore"):  # of an infinite spread, which is refused as a parameter
            return np.asarray(np.round(self.mean / unit) * unit)

    @property
    def scale(self) -> float:
        """The data's standard deviation; of rows that are all the same a millionth of their values, never 0."""
        largest = float(np.max(np.abs(self.mean), initial=0.0))
        return max(float(np.sqrt(np.mean(self.variance))), 1e-6 * largest, SMALLEST_SCALE)

    @property
    def scales(self) -> Floats:
        """(D,) the standard deviation of each dimension, in its own units; its value where that is always the same.

        A dimension that is always 0 has no unit, and gets the scale of all.
        """
        values, deviations = np.abs(self.mean), np.sqrt(self.variance)
        own = np.where(deviations > 1e-6 * values, deviations, values)
        return np.maximum(np.where(own > 0, own, self.scale), SMALLEST_SCALE)

    def dictionary(self, n_latents: int, rng: np.random.Generator, scale: Floats | None = None) -> Floats:
        """(D, H) elements to start from: noise of a quarter of the data's standard deviation around their mean.

        Or of a quarter of a `scale` (D,) for each dimension, where that is given.

        With more noise there are some that no row resembles, and annealing ends with these unused.
        """
        scales = np.full(len(self.mean), self.scale) if scale is None else scale
        return self.mean[:, None] + scales[:, None] * self.directions(n_latents, rng)

    def directions(self, n_latents: int, rng: np.random.Generator) -> Floats:
        """(D, H) the noise of `dictionary`, in units of the data's standard deviation."""
        return 0.25 * rng.standard_normal((len(self.mean), n_latents))


Role = Literal["dictionary", "activity", "noise", ""]
"""What a parameter is to everything outside its model: numbers (D, H) whose columns are the dictionary elements; how
probable it is that latents are active; how much the data vary given the states; none of these."""


class ParameterSpec(NamedTuple):
    """Shape, legal values, meaning and role of one parameter."""

    shape: Shape
    constraint: Constraint
    meaning: str
    role: Role = ""
    constant: bool = False
    """Whether it is found once, from the data, and cannot be learned or given; learned models do without."""


def learnable(specs: Mapping[str, ParameterSpec]) -> dict[str, ParameterSpec]:
    """Those parameters that can be learned, given or made noisy."""
    return {name: spec for name, spec in specs.items() if not spec.constant}


def without_constants(model: "Model", n_observed: int, params: NamedArrays) -> NamedArrays:
    """Copies of those parameters that can be learned: what is kept of a model, and all that inference needs."""
    return NamedArrays.of(**{name: params[name] for name in learnable(model.parameters(n_observed))})


@dataclass(frozen=True)
class MStep:
    """What an M-step may know beyond the statistics."""

    learn: frozenset[str]
    """Names of the parameters to learn; the others come back unchanged."""
    max_active: int | None = None
    """gamma of a preselection whose prior is to be corrected for what more than gamma causes explain."""
    rng: np.random.Generator | None = None
    """For what an M-step draws, such as new dictionary elements for unused latents."""
    notes: list[str] = field(default_factory=list)
    """What the user should hear of: the M-step appends, the caller logs."""


class Model(Protocol):
    """p(s, y | Theta): its log joint, its sufficient statistics, its M-step."""

    n_latents: Any

    @property
    def support(self) -> Constraint:
        """The values that data may have; `REAL` where any number will do."""
        ...

    @property
    def is_exact(self) -> bool:
        """Whether `maximize` is the maximum and the free energy a function of the statistics: then it cannot fall."""
        ...

    @property
    def space(self) -> LatentSpace:
        """The finite latent space."""
        ...

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """Every parameter by its paper symbol."""
        ...

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Every sufficient statistic; all are sums over rows.

        Among them `n`, the number of rows, and `hidden_entropy`, the entropy of all that is hidden besides the states:
        slabs and missing values given the state.
        """
        ...

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters to start from, at the scale of the data."""
        ...

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Any:
        """A NamedTuple of all that depends on the parameters only."""
        ...

    def project(self, prepared: Any, batch: Batch) -> Any:
        """A NamedTuple of all that depends on the batch but not on the states."""
        ...

    def log_joint(self, prepared: Any, projected: Any, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included, for codes (n, S, words)."""
        ...

    def log_prior(self, prepared: Any, codes: Codes) -> Floats:
        """(n, S) log p(s), which is a sum over independent latents; the same for all rows."""
        ...

    def accumulate(
        self, prepared: Any, projected: Any, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the statistics of a batch to `sums`; weights (n, S) are q_n(s), a row of zeros adds nothing."""
        ...

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """New parameters: the maximum of `expected_log_joint` over what is learned."""
        ...

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n | Theta)>_n, from the statistics alone."""
        ...

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """A bound on the rounding error of `expected_log_joint`, for telling a real decrease from noise."""
        ...

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Entropy of prior plus noise per row; minus the mean of `expected_log_joint` right after a full M-step."""
        ...

    def activity(self, params: NamedArrays) -> Floats:
        """(H,) prior probability that each latent is active."""
        ...


def offers(model: object, capability: type) -> bool:
    """Whether a model has all methods of a protocol; found out once for each class, since that takes a while."""
    kind: Any = type(model)
    return capability in _capabilities(kind)


@cache
def _capabilities(model: Any) -> frozenset[type]:
    capabilities = (Affinity, Preselects, KnowsNeighbors, NeedsSmallWeights)
    return frozenset(each for each in capabilities if issubclass(model, each))


@runtime_checkable
class HasHeadline(Protocol):
    """Models that say themselves which numbers people look at first."""

    def headline(self, params: NamedArrays) -> dict[str, float]:
        """Numbers for the progress line and the curves, by the names of their columns in the history."""
        ...


@runtime_checkable
class Affinity(Protocol):
    """Models with a selection function of their own, cheaper than the joint of singletons."""

    def affinity(self, prepared: Any, projected: Any, batch: Batch) -> Floats:
        """(n, H) how well each latent alone fits the row; larger is better."""
        ...


@runtime_checkable
class Preselects(Protocol):
    """Models that know better what to do with preselected states than to evaluate each of them for itself."""

    def log_joint_of_singletons(self, prepared: Any, projected: Any) -> Floats:
        """(n, H, K - 1) log p(s, y) of each latent alone, with each of its values; up to a constant of the row."""
        ...

    def preselect(
        self, prepared: Any, projected: Any, batch: Batch, chosen: Preselected, tempering: Tempering
    ) -> Posterior:
        """The posterior over the states of each row's candidates."""
        ...


@runtime_checkable
class KnowsNeighbors(Protocol):
    """Models that see what one more latent does to a state for all latents at once."""

    def log_joint_of_neighbors(self, prepared: Any, projected: Any, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of all states one change away from the parents; for ranking, so rounding may be larger."""
        ...


@runtime_checkable
class GroupsMissing(Protocol):
    """Models that may treat rows together that miss the same values, so that rounding depends on how many do."""

    @property
    def groups_missing(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class NeedsSmallWeights(Protocol):
    """Models with parameters that may be learned from nothing but states of very low probability."""

    def least_weight(self) -> float:
        """States of a row that all together have less probability than this may be left out of its statistics."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Models that can generate data."""

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the alphabet indices (n, H) of the states that made them."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Models that can predict the data from the posterior."""

    def reconstruct(self, prepared: Any, projected: Any, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean."""
        ...


@runtime_checkable
class PosteriorMeans(Protocol):
    """Models with more that is hidden than the states, such as the slabs of spike-and-slab coding."""

    def posterior_means(self, prepared: Any, projected: Any, codes: Codes, weights: Floats) -> dict[str, Floats]:
        """Posterior means (n, ...) by name, such as `s_z` (n, H), for codes (n, S, words) with weights (n, S)."""
        ...
