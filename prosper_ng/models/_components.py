"""What mixtures have in common: each row is of one component, with probability pi."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from prosper_ng.latents.index_space import IndexSpace
from prosper_ng.models._activity import SMALLEST_PI
from prosper_ng.models._mixture import fill_prior
from prosper_ng.models._mixture_start import n_examples
from prosper_ng.models.interface import Codes, Floats, MStep, ParameterSpec
from prosper_ng.numerics.constraints import Simplex
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.sharing import of_all
from prosper_ng.numerics.special import floored_shares

LEAST_SHARE = 1e-12
"""A component with less than this part of the rows keeps its values."""


class ComponentPrior:
    """The part of a model that concerns which component a row is of."""

    n_components: int
    equal_weights: bool
    unused: Literal["keep", "redraw"]
    axes_by_value: ClassVar[Mapping[str, int]]

    @cached_property
    def space(self) -> IndexSpace:
        """The number of the component."""
        return IndexSpace(self.n_components)

    def n_examples(self, n_rows: int) -> int:
        """Rows among which those are chosen to start from."""
        return n_examples(self.n_components, n_rows)

    def sums_by_value(self, n_observed: int) -> tuple[str, ...]:
        """All with an entry for each component."""
        own: Any = self
        shapes: dict[str, Shape] = own.statistics(n_observed)
        return ("counts", *(name for name, shape in shapes.items() if shape and name != "counts"))

    def activity(self, params: NamedArrays) -> Floats:
        """(C,) pi."""
        if self.equal_weights:
            return np.full(self.n_components, 1 / self.n_components)
        return np.asarray(params["pi"] / params["pi"].sum())

    def log_prior(self, prepared: Any, codes: Codes) -> Floats:
        """(n, S) log pi."""
        result = np.empty(codes.shape[:2])
        fill_prior(prepared.log_pi, codes, result)
        return result

    def _pi_spec(self) -> dict[str, ParameterSpec]:
        if self.equal_weights:
            return {}
        shape = (self.n_components,)
        return {"pi": ParameterSpec(shape, Simplex(SMALLEST_PI), "probability of each component", "activity")}

    def _initial_pi(self) -> dict[str, Floats]:
        return {} if self.equal_weights else {"pi": np.full(self.n_components, 1 / self.n_components)}

    def _maximize_pi(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        if "pi" in step.learn:
            new["pi"] = floored_shares(of_all(sums["counts"]), SMALLEST_PI)

    def _expected_log_pi(self, params: NamedArrays, sums: NamedArrays) -> float:
        return float(np.sum(of_all(sums["counts"]) * np.log(self.activity(params))))

    def _entropy_of_pi(self, params: NamedArrays) -> float:
        pi = self.activity(params)
        return float(-np.sum(pi * np.log(pi)))

    def _n_effective(self, params: NamedArrays) -> dict[str, float]:
        """As how many equal components those that are used count: exp(H[pi])."""
        return {} if self.equal_weights else {"n_effective": float(np.exp(self._entropy_of_pi(params)))}

    def _draw_components(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(n,) components."""
        edges = np.cumsum(self.activity(params))[:-1]
        return np.searchsorted(edges, rng.random(n_rows), side="right")

    def _unused_and_donors(
        self, sums: NamedArrays, step: MStep
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
        """Components without rows, and as many others beside which they are drawn anew; none where they stay."""
        nobody, counts = np.empty(0, np.int64), of_all(sums["counts"])
        unused = np.flatnonzero(counts <= LEAST_SHARE * sums["n"])
        if len(unused) == 0 or "W" not in step.learn:
            return nobody, nobody
        is_redrawn = self.unused == "redraw" and step.rng is not None
        how = "were drawn anew" if is_redrawn else "keep their means"
        step.notes.append(f"{len(unused)} components that no row belonged to {how}")
        if not is_redrawn:
            return nobody, nobody
        assert step.rng is not None
        return unused, step.rng.choice(self.n_components, len(unused), p=counts / counts.sum())

    def _of_components(self, params: NamedArrays, components: NDArray[np.int64]) -> NamedArrays:
        """The parameters of some of all components."""
        found = {}
        for name, values in params.items():
            axis = self.axes_by_value.get(name)
            found[name] = (
                values if axis is None else np.moveaxis(of_all(np.moveaxis(values, axis, 0))[components], 0, axis)
            )
        return NamedArrays.of(**found)
