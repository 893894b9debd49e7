"""A sigmoid belief net that follows its gradient by Adam (Kingma and Ba, 2015), and cannot tell its free energy."""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Gt
from scipy.special import expit

from prosper_ng.components import component
from prosper_ng.models.interface import Batch, Codes, Floats, Moments, MStep
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from tests.helpers.sigmoid_nets._base import Prepared, Projected, SigmoidNet

_DECAY, _DECAY_OF_SQUARES = 0.9, 0.999


@component
class SBNAdam(SigmoidNet):
    """Weights and biases go a step along the gradient of what was visited last; pi is the mean activity."""

    n_latents: Annotated[int, Gt(0)]
    """H."""
    rate: Annotated[float, Gt(0)] = 0.05
    """The length of a step."""
    learns_from: Literal["total", "part"] = "part"
    """Whether pi is learned from all rows, or from those visited last."""

    def n_examples(self, n_rows: int) -> int:
        return self.n_latents

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Each latent makes a row of the data more probable, where there are rows enough to see."""
        params = super().initial(moments, rng)
        if len(moments.examples) == self.n_latents:
            params["W"] += 2.0 * (moments.examples.T - 0.5)
        return params

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        W = (n_observed, self.n_latents)
        return {"n": (), "hidden_entropy": (), "counts": (self.n_latents,), "dW": W, "db": (n_observed,)}

    def memory(self, n_observed: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"n_steps": ()}
        for name, shape in (("W", (n_observed, self.n_latents)), ("b", (n_observed,))):
            shapes |= {f"mean_{name}": shape, f"square_{name}": shape}
        return shapes

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        found = self.states(prepared, projected, codes, weights)
        self.add_counts(found, sums)
        slope = weights[:, :, None] * (found.y - expit(found.a))
        sums["dW"] += np.einsum("nsd,nsh->dh", slope, found.s)
        sums["db"] += slope.sum(axis=(0, 1))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        new, own, memory = params.copy(), sums if step.own is None else step.own, step.memory
        self.maximize_pi(new, sums, step)
        memory["n_steps"] += 1
        for name in step.learn & {"W", "b"}:
            gradient = own[f"d{name}"] / own["n"]
            mean, square = memory[f"mean_{name}"], memory[f"square_{name}"]
            mean += (1 - _DECAY) * (gradient - mean)
            square += (1 - _DECAY_OF_SQUARES) * (gradient**2 - square)
            unbiased = mean / (1 - _DECAY ** memory["n_steps"])
            spread = np.sqrt(square / (1 - _DECAY_OF_SQUARES ** memory["n_steps"]))
            new[name] = params[name] + self.rate * unbiased / (spread + 1e-8)
        return new
