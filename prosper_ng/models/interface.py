"""What a generative model must say, in layers, to be learned and to infer with.

`Model` is what the EM loop needs. `DiscreteLatents` is what E-steps need that list or search states. `KnowsFreeEnergy`
is what the checks need that hold each step against the mathematics; a model without it is learned all the same. All
else that a model may offer is in `models/capabilities.py`.

A model is a component: its fields are its configuration. It holds no parameters and no data; both are passed in.
N rows, D observed dimensions, H latents, S states per row, as everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

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
    weights: Floats | None = None
    """(n,) how many rows each counts as, for models that weigh rows (`WeighsRows`); None where each is one."""
    labels: NDArray[np.int64] | None = None
    """(n,) the class of each, -1 where none is known, for models that learn classes (`LearnsClasses`); None of all."""

    def weighed(self, values: Floats) -> Floats:
        """Values (n, ...) times how many rows each row counts as; themselves where each is one."""
        return values if self.weights is None else values * self.weights.reshape(-1, *(values.ndim - 1) * (1,))

    def number_of(self, used: Any) -> float:
        """As how many rows those of a mask (n,) count together."""
        return float(np.count_nonzero(used) if self.weights is None else np.sum(self.weights, where=used))


class Moments(NamedTuple):
    """What initialization needs to know of the data."""

    n_rows: int
    mean: Floats
    """(D,) mean of each dimension."""
    variance: Floats
    """(D,) variance of each dimension."""
    examples: Floats = np.empty((0, 0))
    """(R, D) different rows, drawn at random, as many as the model asks for (`WantsExamples`) or the data have.

    An entry that was not observed holds the mean of its dimension.
    """
    counts: Floats = np.empty(0)
    """(R,) as how many rows each example counts; none where each is one."""
    elements: Floats = np.empty((0, 0))
    """(H, D) rows to start from as dictionary elements; none where these are noise."""
    labeled: Floats = np.empty((0, 0))
    """(L, D) different rows whose class is known, drawn at random, as many as there are examples or such rows."""
    labels: NDArray[np.int64] = np.empty(0, np.int64)
    """(L,) their classes."""

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
        return self._rounded(16 * self.spread)

    @property
    def centers(self) -> Floats:
        """(D,) the same at the scale of each dimension, for what is learned of each alone."""
        return self._rounded(16 * self.spreads)

    def _rounded(self, unit: Any) -> Floats:
        """(D,) the mean, to the next larger power of two of a unit."""
        unit = 2.0 ** np.ceil(np.log2(unit))
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

    @property
    def spreads(self) -> Floats:
        """(D,) the standard deviation of each dimension, whatever its mean; as `scales` where only rounding differs."""
        deviations = np.sqrt(self.variance)
        return np.asarray(np.where(deviations > 4 * np.finfo(float).eps * np.abs(self.mean), deviations, self.scales))

    def dictionary(self, n_latents: int, rng: np.random.Generator, scale: Floats | None = None) -> Floats:
        """(D, H) elements to start from: noise of a quarter of the data's standard deviation around their mean.

        Or of a quarter of a `scale` (D,) for each dimension, where that is given; or `elements`, where there are any.

        With more noise there are some that no row resembles, and annealing ends with these unused.
        """
        if len(self.elements):
            return self.elements.T.copy()
        scales = np.full(len(self.mean), self.scale) if scale is None else scale
        return self.mean[:, None] + scales[:, None] * self.directions(n_latents, rng)

    def directions(self, n_latents: int, rng: np.random.Generator) -> Floats:
        """(D, H) the noise of `dictionary`, or what `elements` differ from the mean by, in units of the data's standard
        deviation."""
        if len(self.elements):
            return (self.elements - self.mean).T / self.spread
        return 0.25 * rng.standard_normal((len(self.mean), n_latents))


Role = Literal["dictionary", "background", "activity", "noise", ""]
"""What a parameter is to everything outside its model: numbers (D, H) whose columns are the dictionary elements;
numbers (D,) that show in the place of what of an element is below them; how probable it is that latents are active; how
much the data vary given the states; none of these."""


class ParameterSpec(NamedTuple):
    """Shape, legal values, meaning and role of one parameter."""

    shape: Shape
    constraint: Constraint
    meaning: str
    role: Role = ""
    constant: bool = False
    """Whether it only says what statistics are taken of: no posterior depends on it, so that it cannot be learned or
    given, and learned models do without."""


def learnable(specs: Mapping[str, ParameterSpec]) -> dict[str, ParameterSpec]:
    """Those parameters that can be learned, given or made noisy."""
    return {name: spec for name, spec in specs.items() if not spec.constant}


def without_constants(model: "Model", n_observed: int, params: NamedArrays) -> NamedArrays:
    """Copies of those parameters that can be learned: what is kept of a model, and all that inference needs."""
    return NamedArrays.of(**{name: params[name] for name in learnable(model.parameters(n_observed))})


@dataclass(frozen=True)
class MStep:
    """What an M-step may know beyond the statistics, and what it carries on."""

    learn: frozenset[str]
    """Names of the parameters to learn; the others come back unchanged."""
    max_active: int | None = None
    """gamma of a preselection whose prior is to be corrected for what more than gamma causes explain."""
    rng: np.random.Generator | None = None
    """For what an M-step draws, such as new dictionary elements for unused latents."""
    notes: list[str] = field(default_factory=list)
    """What the user should hear of: the M-step appends, the caller logs."""
    own: NamedArrays | None = None
    """The statistics of the part of the data that was visited last; None where `sums` are these."""
    memory: NamedArrays = field(default_factory=lambda: NamedArrays({}))
    """What the model remembers (`Remembers`); the M-step changes it in place."""
    per_sweep: int = 1
    """How many M-steps make a sweep, for what is scheduled over steps along a gradient."""


class Model(Protocol):
    """p(s, y | Theta): its parameters, its sufficient statistics, its M-step."""

    @property
    def support(self) -> Constraint:
        """The values that data may have; `REAL` where any number will do."""
        ...

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """Every parameter by its paper symbol."""
        ...

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Every sufficient statistic; all are sums over rows.

        Among them `n`, the number of rows, or the sum of their weights, and `hidden_entropy`, the entropy of all that
        is hidden besides the states: slabs and missing values given the state.
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

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """New parameters, from the statistics of all rows, or of a part where the model learns from that alone."""
        ...


class DiscreteLatents(Model, Protocol):
    """Models whose latents have finitely many states, which can be listed, searched and weighed."""

    @property
    def space(self) -> Any:
        """The finite latent space: a `LatentSpace` of many latents, or an `IndexSpace` of a single one."""
        ...

    def activity(self, params: NamedArrays) -> Floats:
        """(H,) prior probability that each latent is active; for draws alone where the model `CouplesLatents`.

        Of an `IndexSpace` that of each value, (C,).
        """
        ...

    def log_joint(self, prepared: Any, projected: Any, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included, for codes (n, S, words)."""
        ...

    def log_prior(self, prepared: Any, codes: Codes) -> Floats:
        """(n, S) log p(s); the same for all rows. A sum over the latents, unless the model `CouplesLatents`."""
        ...

    def accumulate(
        self, prepared: Any, projected: Any, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the statistics of a batch to `sums`; weights (n, S) are q_n(s), a row of zeros adds nothing.

        A model that `WeighsRows` adds each row as often as `batch.weights` say.
        """
        ...


Identity = Literal["after M-step", "at convergence"]
"""When the free energy is minus an entropy of the parameters: once all of them were maximized, or in the limit only."""


class KnowsFreeEnergy(Protocol):
    """Models whose free energy, or a bound of it, is a function of parameters and statistics."""

    @property
    def is_monotone(self) -> bool:
        """Whether learning cannot lower the free energy F(q, Theta): then each step is checked, and a fall is an error.

        That is the case where, for all parameters, `expected_log_joint` plus the entropies of the statistics is at most
        F, where it is F at the parameters that the statistics were made with, and where `maximize` never lowers it.
        M-steps in closed form have this guarantee, and so do those that maximize a lower bound of F which touches it.
        """
        ...

    @property
    def identity(self) -> Identity:
        """When the mean of `expected_log_joint` is minus `entropy`, which says what the entropy gap of a run means.

        "after M-step": right after each one that learns all parameters, so that a gap is an error of the M-step.
        "at convergence": only where no parameter can be improved, so that the gap tells how far learning has to go.
        """
        ...

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n | Theta)>_n, or a lower bound of it, from the statistics alone."""
        ...

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Entropy of prior plus noise per row: minus the mean of `expected_log_joint` where the identity holds."""
        ...
