"""Autoencoders with binary latents: s_h ~ Bernoulli(pi_h), y ~ N(f(s), sigma² I), f a multilayer perceptron.

| parameter | shape | meaning |
| --- | --- | --- |
| W1, b1, ... | (n_i, n_(i-1)), (n_i,) | weights and biases of each layer of f; n_0 = H, the last is D |
| pi | () or (H,) | probability that a latent is active, shared or one for each |
| sigma | () or (D,) | standard deviation of the noise, with `noise: scalar` or `diagonal` |

There is no encoder: posteriors are sums over states that an E-step finds by the log joint of this decoder (Guiraud,
Drefs and Lücke, "Direct Evolutionary Optimization of Variational Autoencoders With Binary Latents", arXiv 2011.13704).

M-step, from the part of the data visited last: a step of Adam along the gradient of sum_n <log p(s, y_n)>_n by weights
and biases. Those of the last layer go in units of the data, so that results do not depend on these. pi is the mean
activity, sigma² the mean squared residual, both over the last sweep: sums that forget 1/P at each of its P steps, which
is all rows where P = 1. Statistics know the decoder that they were made with, so the entropy identity is one of that
decoder, sum_h Hb(pi_h) + ½ log(2 pi e sigma²) for each observed entry; it holds where learning has come to its end.

Entries that were not observed are left out of the likelihood, which is all they change.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import ActivityPrior, log_prior_of_states
from prosper_ng.models._bvae import add_first_gradient, fill_energies, fill_first_layer
from prosper_ng.models._steps import LEAST_NOISE, LearnsAlongGradient
from prosper_ng.models.interface import (
    SCALE,
    SMALLEST_SCALE,
    Batch,
    Codes,
    Floats,
    Moments,
    MStep,
    ParameterSpec,
)
from prosper_ng.numerics.adam import Adam
from prosper_ng.numerics.constraints import REAL
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.perceptron import LEAK, Perceptron
from prosper_ng.numerics.special import log_odds

_TOGETHER = 256
"""States whose outputs are found by one product: always as many, since a product rounds by how many rows it has."""
_LEARNED_TOGETHER = 512
"""States whose gradients are."""
_LOG_2PI = float(np.log(2 * np.pi))


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    weights: dict[str, Floats]
    """Of all layers, by name."""
    columns: Floats
    """(H, n_1) W1 transposed."""
    precisions: Floats
    """(D,) 1 / sigma²."""
    log_odds: Floats
    """(H,) of the prior."""
    log_prior_zero: float
    """log p(s = 0)."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    values: Floats
    """(n, D) the rows."""
    observed: NDArray[np.bool_]
    """(n, D) which entries were observed; (0, D) where all were."""
    constant: Floats
    """(n,) log density of the observed entries where the residual is 0."""


@component
class BVAE(LearnsAlongGradient, ActivityPrior):
    """Binary latents, and a perceptron that makes the mean of the data of them."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    hidden: tuple[Annotated[int, Gt(0)], ...] = (64,)
    """Units of each hidden layer, from the latents to the data; none is a linear decoder."""
    noise: Literal["scalar", "diagonal"] = "scalar"
    """Whether the noise has one variance, or one for each observed dimension."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    optimizer: Adam = Adam()
    """Steps of weights and biases along the gradient."""

    support = REAL

    @cached_property
    def space(self) -> LatentSpace:
        """Binary latents."""
        return LatentSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """Weights and biases, pi, sigma, and the unit of the data."""
        net, noise = self._net(n_observed), self._noise_shape(n_observed)
        found = {}
        for layer, (W, b) in enumerate(net.names, start=1):
            what = "the data" if (W, b) == self._last else f"hidden layer {layer}"
            found[W] = ParameterSpec(net.shapes()[W], REAL, f"weights of {what}")
            found[b] = ParameterSpec(net.shapes()[b], REAL, f"biases of {what}")
        return found | {
            "pi": self._pi_spec(),
            "sigma": ParameterSpec(noise, SCALE, "standard deviation of the noise", "noise"),
            "unit": ParameterSpec(noise, SCALE, "unit of steps of the last layer", constant=True),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Rows, activities, observed entries, squared residuals, and the gradient by weights and biases."""
        noise = self._noise_shape(n_observed)
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "counts": (self.n_latents,)}
        shapes |= {"n_values": noise, "residual": noise}
        return shapes | {f"d{name}": shape for name, shape in self._net(n_observed).shapes().items()}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Weights at random; outputs and noise at the scale of the data, around their mean; pi = 1/H, at most 1/2."""
        net, noise = self._net(len(moments.mean)), self._noise_shape(len(moments.mean))
        spread = np.maximum(moments.spreads if noise else np.array(moments.spread), SMALLEST_SCALE)
        unit = np.maximum(2.0 ** np.round(np.log2(spread)), SMALLEST_SCALE)
        weights = net.initial(rng)
        W, b = net.names[-1]
        weights[W] *= unit[:, None] if noise else unit
        weights[b] = moments.mean.copy()
        return NamedArrays.of(**weights, pi=self._initial_pi(), sigma=spread, unit=unit)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Weights as they are, and of the first layer transposed."""
        D, pi = len(params[self._last[1]]), self.activity(params)
        weights = {name: np.array(params[name]) for name in self._net(D).shapes()}
        precisions = np.broadcast_to(1.0 / np.square(params["sigma"]), D).copy()
        columns = np.ascontiguousarray(params["W1"].T)
        return Prepared(weights, columns, precisions, log_odds(pi), float(np.sum(np.log1p(-pi))))

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """The rows as they are."""
        observed = np.empty((0, batch.values.shape[1]), bool)
        logs = 0.5 * (np.log(prepared.precisions) - _LOG_2PI)
        if batch.observed is None or batch.observed.all():
            return Projected(batch.values, observed, np.full(len(batch.values), logs.sum()))
        return Projected(batch.values, batch.observed, np.sum(batch.observed * logs, axis=1))

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        result = np.empty(codes.shape[:2])
        log_prior_of_states(prepared.log_odds[:, None], prepared.log_prior_zero, codes, self.space.layout, result)
        return result

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y)."""
        n, S, words = codes.shape
        energies = np.empty(n * S)
        for first, outputs in self._outputs(prepared, codes.reshape(-1, words)):
            energy = energies[first : first + len(outputs)]
            fill_energies(projected.values, projected.observed, prepared.precisions, outputs, first, S, energy)
        return self.log_prior(prepared, codes) + projected.constant[:, None] - energies.reshape(n, S)

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add activities, squared residuals and the gradient, over the states that have any weight."""
        used = weights.any(axis=1)
        observed = projected.observed if len(projected.observed) else np.ones_like(projected.values, bool)
        n_values = batch.weighed(observed.astype(float))[used].sum(axis=0)
        sums["n"] += batch.number_of(used)
        sums["n_values"] += n_values if self.noise == "diagonal" else n_values.sum()
        rows, states = np.nonzero(weights)
        shares, columns = batch.weighed(weights)[rows, states], np.zeros_like(prepared.columns)
        for first in range(0, len(rows), _LEARNED_TOGETHER):
            some = slice(first, first + _LEARNED_TOGETHER)
            n, q, chosen = rows[some], shares[some], codes[rows[some], states[some]]
            layers = self._layers(prepared, chosen)
            residual = projected.values[n] - layers[-1]
            if len(projected.observed):
                residual *= projected.observed[n]
            squares = q @ np.square(residual)
            sums["residual"] += squares if self.noise == "diagonal" else squares.sum()
            slopes = residual * (q[:, None] * prepared.precisions)
            slopes = self._net(len(prepared.precisions)).add_gradient(prepared.weights, layers, slopes, sums, done=1)
            add_first_gradient(slopes, layers[0], chosen, q, self._leak, columns, sums["db1"], sums["counts"])
        sums["dW1"] += columns.T

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """A step of weights and biases; pi and sigma of the last sweep."""
        new, memory = params.copy(), self._add_recent(sums, step)
        self._maximize_pi(new, params, memory["recent_counts"] / memory["recent_n"], step)
        if "sigma" in step.learn:
            self._maximize_noise(new, memory, step)
        self._climb(new, sums, step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n with the decoder that the statistics were made with, whatever `params` hold."""
        prior = self._expected_log_activity(params, sums["counts"], float(sums["n"]))
        variance = np.square(params["sigma"])
        logs = sums["n_values"] * (_LOG_2PI + np.log(variance))
        return prior - 0.5 * float(np.sum(logs + sums["residual"] / variance))

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h), and ½ log(2 pi e sigma²) for each observed entry of a row."""
        each = 0.5 * (_LOG_2PI + 1.0) + np.log(params["sigma"])
        return self._activity_entropy(params) + float(np.sum(sums["n_values"] * each) / sums["n"])

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) f(s) for values (n, H) of the latents."""
        return self._net(len(params[self._last[1]])).layers(params, values.astype(float))[-1]

    def elements(self, params: NamedArrays) -> Floats:
        """(D, H) what each latent alone adds to what none makes: f(one latent) - f(none)."""
        found = self.superimpose(params, np.eye(self.n_latents + 1, self.n_latents))
        return np.asarray((found[:-1] - found[-1]).T)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = self._draw_active(params, n_rows, rng)
        means = self.superimpose(params, states)
        return means + params["sigma"] * rng.standard_normal(means.shape), states

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean."""
        S, words = codes.shape[1:]
        result, flat = np.zeros_like(projected.values), weights.reshape(-1)
        for first, outputs in self._outputs(prepared, codes.reshape(-1, words)):
            which = np.arange(first, first + len(outputs))
            np.add.at(result, which // S, flat[which, None] * outputs)
        return result

    def _net(self, n_observed: int) -> Perceptron:
        return Perceptron((self.n_latents, *self.hidden, n_observed))

    def _noise_shape(self, n_observed: int) -> Shape:
        return (n_observed,) if self.noise == "diagonal" else ()

    def _outputs(self, prepared: Prepared, codes: Codes) -> Iterator[tuple[int, Floats]]:
        """f(s) of codes (m, words), some at a time, and the number of the first."""
        for first in range(0, len(codes), _TOGETHER):
            some = codes[first : first + _TOGETHER]
            yield first, self._layers(prepared, some, _TOGETHER)[-1][: len(some)]

    def _layers(self, prepared: Prepared, codes: Codes, n_states: int | None = None) -> list[Floats]:
        """What each layer makes of codes (m, words), the first one first, or of `n_states`, where these are more."""
        units = np.zeros((n_states or len(codes), prepared.columns.shape[1]))
        fill_first_layer(prepared.columns, prepared.weights["b1"], codes, self._leak, units)
        return self._net(len(prepared.precisions)).layers(prepared.weights, units, done=1)

    @property
    def _leak(self) -> float:
        """Of the first layer: it has no rectifier where it is the last."""
        return LEAK if self.hidden else 1.0

    def _maximize_noise(self, new: NamedArrays, recent: NamedArrays, step: MStep) -> None:
        """Set sigma² to the mean squared residual; where nothing was observed it stays."""
        n_values, least = recent["recent_n_values"], np.maximum(LEAST_NOISE * new["unit"], SMALLEST_SCALE)
        sigma = np.sqrt(recent["recent_residual"] / np.maximum(n_values, SMALLEST_SCALE))
        if np.any((sigma < least) & (n_values > 0)):
            step.notes.append(
                "sigma is as small as it gets, a 10,000th of the standard deviation of the data: they have hardly any "
                "noise, or the decoder knows each row by heart; then take fewer latents or hidden units"
            )
        new["sigma"] = np.where(n_values > 0, np.maximum(sigma, least), new["sigma"])

    def _climb(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        """A step of Adam by weights and biases, those of the last layer in units of the data."""
        net, unit = self._net(len(new[self._last[1]])), new["unit"]
        units = {self._last[0]: unit[:, None] if unit.ndim else unit, self._last[1]: unit}
        gradient = {name: sums[f"d{name}"] / sums["n"] for name in net.shapes()}
        names = [name for name in gradient if name in step.learn]
        self.optimizer.climb(new, gradient, names, step.memory, step.per_sweep, units)

    @property
    def _last(self) -> tuple[str, str]:
        """Weights and biases of the last layer."""
        return self._net(1).names[-1]
