"""Multilayer perceptrons and their gradients, on parameters and statistics that are arrays with names."""

from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.numerics.named_arrays import Shape

Floats = NDArray[np.float64]

LEAK = 0.01
"""What negative values are multiplied by, so that no unit is ever without a gradient."""


class Perceptron(NamedTuple):
    """Layers x -> W x + b, with a leaky rectifier after each but the last.

    Arrays W1 (n_1, n_0), b1 (n_1,), ..., after a prefix that tells several nets of one model apart. All methods take
    what holds such arrays by name, parameters as well as statistics.
    """

    sizes: tuple[int, ...]
    """Inputs, units of each hidden layer, outputs."""
    prefix: str = ""

    @property
    def names(self) -> list[tuple[str, str]]:
        """Weights and biases of each layer."""
        return [(f"{self.prefix}W{i}", f"{self.prefix}b{i}") for i in range(1, len(self.sizes))]

    def shapes(self) -> dict[str, Shape]:
        """Of all arrays."""
        pairs = zip(self.names, pairwise(self.sizes), strict=True)
        return {name: shape for (W, b), (n, m) in pairs for name, shape in ((W, (m, n)), (b, (m,)))}

    def initial(self, rng: np.random.Generator) -> dict[str, Floats]:
        """Uniform weights whose variance keeps that of signals and of gradients (Glorot and Bengio, 2010), biases 0."""
        found: dict[str, Floats] = {}
        for (W, b), (n, m) in zip(self.names, pairwise(self.sizes), strict=True):
            bound = np.sqrt(6.0 / (n + m))
            found[W], found[b] = rng.uniform(-bound, bound, (m, n)), np.zeros(m)
        return found

    def layers(self, arrays: Mapping[str, Floats], x: Floats, done: int = 0) -> list[Floats]:
        """What each layer makes of x (m, n_0): x itself first, the outputs (m, n_L) last.

        With some layers already `done`, x (m, n_done) is what these make.
        """
        found = [x]
        for is_last, (W, b) in islice(self._steps(), done, None):
            x = x @ arrays[W].T
            x += arrays[b]
            found.append(x if is_last else np.maximum(x, LEAK * x, out=x))
        return found

    def add_gradient(
        self,
        arrays: Mapping[str, Floats],
        layers: list[Floats],
        slope: Floats,
        sums: Mapping[str, Floats],
        into: str = "d",
        done: int = 0,
    ) -> Floats:
        """Add to `sums`, as dW1, ..., the gradient of what has the slope (m, n_L) by the outputs.

        Returns its slope by x. `layers` are those of `layers(arrays, x, done)`; `into` begins the names in `sums`.
        """
        for i in range(len(self.sizes) - 1, done, -1):
            (W, b), before = self.names[i - 1], layers[i - 1 - done]
            sums[into + W][...] += slope.T @ before
            sums[into + b][...] += slope.sum(axis=0)
            slope = slope @ arrays[W]
            if i > done + 1:
                slope *= np.where(before > 0, 1.0, LEAK)
        return slope

    def _steps(self) -> Iterator[tuple[bool, tuple[str, str]]]:
        return ((i == len(self.names), names) for i, names in enumerate(self.names, start=1))
