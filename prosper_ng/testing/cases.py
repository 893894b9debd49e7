"""What is tested, and how checks are told apart, skipped and run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.models.capabilities import offers
from prosper_ng.models.interface import Floats
from prosper_ng.numerics.named_arrays import NamedArrays

Mask = NDArray[np.bool_]


class Skipped(Exception):
    """Why a check cannot be made; no failure."""


class LogJoint(Protocol):
    """A plain log joint, in constants and all."""

    def __call__(self, model: Any, params: NamedArrays, values: Floats, states: Floats, observed: Mask) -> Floats:
        """(n, S) log p(s, y) of states (S, H), by their values, and the observed (n, D) entries of rows (n, D)."""
        ...


class OfStates(Protocol):
    """A plain function of states alone."""

    def __call__(self, model: Any, params: NamedArrays, states: Floats) -> Floats:
        """(S,) log p(s), or (S, D) mean or variance of y, for states (S, H) by their values."""
        ...


@dataclass(frozen=True)
class ModelCase:
    """A model to be checked, and what it must compute, written down as slowly and plainly as possible.

    Without references it is held against itself only.
    """

    make: Callable[[int], Any]
    """A model of that many latents."""
    log_joint: LogJoint | None = None
    """log p(s, y) over the observed entries."""
    prior: OfStates | None = None
    """log p(s)."""
    mean: OfStates | None = None
    """Mean of y given s alone; models whose prediction needs y have none."""
    variance: OfStates | None = None
    """Variance of each entry of y given s alone."""

    @property
    def kind(self) -> str:
        """What the model is called."""
        return kind_of(self.make(1))


@dataclass(frozen=True)
class Check:
    """One check of a case."""

    name: str
    run: Callable[[Any], None]
    needs: tuple[Any, ...] = ()
    """Protocols that the model must offer, and names of references that the case must give."""

    def __call__(self, case: Any) -> None:
        """Raise AssertionError where the model fails, Skipped where it cannot be asked."""
        for need in self.needs:
            if isinstance(need, str):
                if getattr(case, need) is None:
                    raise Skipped(f"the case of {case.kind} has no reference `{need}`")
            elif not offers(case.make(1), need):
                raise Skipped(f"{case.kind} does not offer {need.__name__}")
        self.run(case)


class Checks(list[Check]):
    """The checks of a file, in the order in which they are written."""

    def add(self, *needs: Any) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Mark a function of a case as a check of the name of the function."""

        def register(run: Callable[[Any], None]) -> Callable[[Any], None]:
            self.append(Check(run.__name__.replace("_", " "), run, needs))
            return run

        return register


def bound(checks: list[Check], case: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    """Names, and functions that make the check."""
    for check in checks:
        yield check.name, partial(check, case)


def over_sizes(run: Callable[[int, int, int], None], n_examples: int = 15) -> None:
    """Call (n_latents, n_observed, seed) for several sizes; those that fail are told.

    Raises ImportError where hypothesis, which chooses them, is not installed.
    """
    try:
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st
    except ImportError as error:
        raise ImportError(
            'the checks of models choose their sizes with hypothesis: pip install "prosper_ng[test]"'
        ) from error

    def told(n_latents: int, n_observed: int, seed: int) -> None:
        try:
            run(n_latents, n_observed, seed)
        except AssertionError as error:
            sizes = f"{n_latents} latents, {n_observed} observed dimensions, seed {seed}"
            raise AssertionError(f"{error} ({sizes})") from error

    # Sizes are small: to look for smaller ones that fail as well would take longer than all checks.
    settled = settings(
        max_examples=n_examples, phases=[Phase.generate], deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    settled(given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32))(told))()


def assert_close(found: Any, expected: Any, rel: float, absolute: float, what: str) -> None:
    """Raise AssertionError, with the place of the largest difference, unless |found - expected| is within bounds."""
    found, expected = np.broadcast_arrays(np.asarray(found, float), np.asarray(expected, float))
    with np.errstate(invalid="ignore"):
        excess = np.abs(found - expected) - (absolute + rel * np.abs(expected))
    excess = np.where(found == expected, -1.0, np.where(np.isnan(excess), np.inf, excess))
    if excess.size and excess.max() > 0:
        place = np.unravel_index(int(excess.argmax()), excess.shape)
        where = f" at {tuple(map(int, place))}" if place else ""
        raise AssertionError(f"{what}: {found[place]!r} in place of {expected[place]!r}{where}")


def assert_that(condition: Any, what: str) -> None:
    """Raise AssertionError unless all of it holds."""
    if not np.all(condition):
        raise AssertionError(what)


def states_of(model: Any, codes: NDArray[np.uint64]) -> Floats:
    """(S, H) the values of the latents of codes (S, words)."""
    return np.asarray(model.space.values[model.space.decode(codes)])
