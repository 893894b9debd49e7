"""What models have in common that learn their nets along a gradient, and the rest from the sums of the last sweep."""

from typing import Any, ClassVar, Literal

from prosper_ng.models.interface import Identity, MStep
from prosper_ng.numerics.adam import Adam
from prosper_ng.numerics.named_arrays import NamedArrays, Shape

LEAST_NOISE = 1e-4
"""Of the data's standard deviation: learned noise does not fall below."""
_RECENT = ("n", "counts", "n_values", "residual")


class LearnsAlongGradient:
    """The part of a model that concerns what its M-step carries on."""

    optimizer: Adam

    learns_from: ClassVar[Literal["total", "part"]] = "part"
    """Gradients grow old."""
    is_monotone = False
    """A step along a gradient may be too long."""
    identity: ClassVar[Identity] = "at convergence"
    """Nets move after pi and sigma were found."""
    weighs_rows = True

    def memory(self, n_observed: int) -> dict[str, Shape]:
        """The moments of Adam, and the sums of the last sweep that pi and sigma are found of."""
        own: Any = self
        shapes: dict[str, Shape] = own.statistics(n_observed)
        nets = {name[1:]: shape for name, shape in shapes.items() if f"{name[1:]}" in own.parameters(n_observed)}
        return self.optimizer.memory(nets) | {f"recent_{name}": shapes[name] for name in _RECENT}

    def _add_recent(self, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The memory, in which sums of the last sweep forget 1/P at each of its P steps."""
        for name in _RECENT:
            step.memory[f"recent_{name}"] *= 1.0 - 1.0 / step.per_sweep
            step.memory[f"recent_{name}"] += sums[name]
        return step.memory
