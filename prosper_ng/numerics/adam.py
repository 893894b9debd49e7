"""Steps along a gradient with moments that are remembered (Adam: Kingma and Ba, ICLR 2015), at rates that cycle."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from prosper_ng.components import settings
from prosper_ng.errors import UserError
from prosper_ng.numerics.named_arrays import NamedArrays, Shape

Floats = NDArray[np.float64]

_DECAY, _DECAY_OF_SQUARES, _SMALLEST = 0.9, 0.999, 1e-8


@settings
class Adam:
    """How far each M-step goes along the gradient of the part of the data that was visited last.

    The rate goes up and down along straight lines, from `least_rate` to `rate` and back in `cycle` sweeps (cyclical
    learning rates: Smith, WACV 2017; for binary latents Guiraud, Drefs and Lücke, arXiv 2011.13704).
    """

    rate: Annotated[float, Gt(0)] = 0.01
    """The largest length of a step."""
    least_rate: Annotated[float, Gt(0)] = 0.0001
    """The smallest one, at the ends of each cycle."""
    cycle: Annotated[float, Ge(0)] = 20.0
    """Sweeps of a cycle; 0 keeps the rate as it is."""

    def __post_init__(self) -> None:
        """Raise UserError where the smallest rate is above the largest."""
        if self.least_rate > self.rate:
            raise UserError(f"least_rate {self.least_rate:g} is above rate {self.rate:g}; it must be at most that")

    def memory(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """What is remembered of parameters of these shapes, and the number of steps."""
        moments = {f"{moment}_{name}": shape for name, shape in shapes.items() for moment in ("mean", "square")}
        return {"n_steps": (), **moments}

    def rate_after(self, n_steps: float, per_sweep: int) -> float:
        """The length of the step after so many, of which a sweep has `per_sweep`."""
        if self.cycle == 0:
            return self.rate
        place = n_steps / (per_sweep * self.cycle) % 1.0
        return self.least_rate + (self.rate - self.least_rate) * (1.0 - abs(2.0 * place - 1.0))

    def climb(
        self,
        params: NamedArrays,
        gradient: Mapping[str, Floats],
        names: Iterable[str],
        memory: NamedArrays,
        per_sweep: int,
        units: Mapping[str, Floats] | None = None,
    ) -> None:
        """A step of some parameters in place, up along the gradient of a mean over rows; moments are updated, too.

        `units` are those that parameters are measured in, where that is not 1.
        """
        rate = self.rate_after(float(memory["n_steps"]), per_sweep)
        memory["n_steps"] += 1
        n_steps = float(memory["n_steps"])
        for name in names:
            mean, square, unit = memory[f"mean_{name}"], memory[f"square_{name}"], (units or {}).get(name, 1.0)
            slope = gradient[name] * unit
            mean += (1 - _DECAY) * (slope - mean)
            square += (1 - _DECAY_OF_SQUARES) * (slope**2 - square)
            unbiased, spread = mean / (1 - _DECAY**n_steps), np.sqrt(square / (1 - _DECAY_OF_SQUARES**n_steps))
            params[name] += rate * unit * unbiased / (spread + _SMALLEST)
