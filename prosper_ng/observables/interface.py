"""What a distribution of one observed entry must say, so that models can be written without knowing which it is.

    log p(y; W, V) = sum_l eta_l(W, V) T_l(y) - A(W, V) + base(y)

W is the mean; V a second parameter, which some kinds lack and get as None. The symbols are those of Mousavi, Drefs,
Hirschberger and Lücke (arXiv 2003.02214). All methods work on arrays of any shape, entry by entry; the L statistics
come first. An observable is a component: its fields are its configuration, and it holds no parameters.
"""

from collections.abc import Set
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.constraints import Constraint, Interval

Floats = NDArray[np.float64]


class Observable(Protocol):
    """One distribution of the exponential family."""

    @property
    def support(self) -> Constraint:
        """What values may be."""
        ...

    @property
    def mean(self) -> Interval:
        """What W may be."""
        ...

    @property
    def second(self) -> Interval | None:
        """What V may be; None where there is no such parameter."""
        ...

    @property
    def meaning(self) -> str:
        """What V is, such as "variance"."""
        ...

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of T, such as ("y", "log_y"); the first is y itself."""
        ...

    @property
    def shifts(self) -> bool:
        """Whether values and W may be measured from any center; then V is a variance, in the square of their units."""
        ...

    def T(self, values: Floats) -> Floats:
        """(L, ...) sufficient statistics of values (...)."""
        ...

    def base(self, values: Floats) -> Floats:
        """(...) what of log p depends on the values alone."""
        ...

    def natural(self, W: Floats, V: Floats | None) -> tuple[Floats, Floats]:
        """(L, ...) natural parameters eta, and (...) the log partition A."""
        ...

    def mean_T(self, W: Floats, V: Floats | None) -> Floats:
        """(L, ...) expectation of T."""
        ...

    def solve(
        self, mean_T: Floats, W: Floats, V: Floats | None, learn: Set[str]
    ) -> tuple[Floats, Floats | None]:  # fmt: skip
        """The legal W and V of highest likelihood for values whose T have this mean (L, ...).

        Those of "W" and "V" that are not in `learn` stay as they are; else they are where to start from.
        """
        ...

    def pooling(self, V: Floats | None) -> Floats | None:
        """(...) how much entries count in a mean that they share, each with its own V; None where no mean does.

        Of values whose W must be equal the best W is the mean of these, weighted so; for means in a prescribed order.
        """
        ...

    def initial_V(self, variance: Floats) -> Floats:
        """(...) V to start from, for data of this variance."""
        ...

    def draw(self, W: Floats, V: Floats | None, rng: np.random.Generator) -> Floats:
        """(...) values."""
        ...


def pseudo_entropy(observable: Observable, W: Floats, V: Floats | None) -> Floats:
    """(...) A - sum_l eta_l E[T_l]: the entropy, but for the expectation of the base."""
    eta, A = observable.natural(W, V)
    return np.asarray(A - np.sum(eta * observable.mean_T(W, V), axis=0))
