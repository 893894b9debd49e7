"""Autoencoders of several streams: y ~ N(sum_m s_m f_m(z_m), sigma² I), s_m ~ Bernoulli(pi_m), z_m ~ N(0, I).

| parameter | shape | meaning |
| --- | --- | --- |
| enc1_W1, enc1_b1, ... | (n_i, n_(i-1)), (n_i,) | encoder of each stream, from D values to 2 L numbers |
| dec1_W1, dec1_b1, ... | (n_i, n_(i-1)), (n_i,) | decoder f_m of each stream, from L numbers to D values |
| pi | (M,) | probability that a stream is on |
| sigma | () | standard deviation of the noise |
| center, unit | (D,), () | the data as nets see them are (y - center) / unit; set at the start, not learned |

The model of Boukun and Lücke, "Disentanglement of Sources in a Multi-Stream Variational Autoencoder" (arXiv
2510.15669), in which discrete switches choose among streams with real-valued latents. That paper was not at hand: what
is done here was derived from the model, and checked by differences and by numerical integration.

q(s, z | y) = q(s) prod_m q_m(z_m | y)^s_m p(z_m)^(1 - s_m), where q_m = N(mu_m(y), diag(d_m(y)²)) comes from an
encoder, and q(s) is best in closed form. The bound is

    F(y) = log sum_s p(s) exp(-sum_m s_m KL_m + <log N(y; sum_m s_m f_m(z_m), sigma² I)>),
    KL_m = sum_l (mu_ml² + d_ml² - 1) / 2 - log d_ml,

in which the mean over z_m = mu_m + d_m e, e ~ N(0, I), is one over a few draws of e (Kingma and Welling, ICLR 2014). So
switches are states like those of any model with binary latents, and `log_joint` is the term of the sum. `draw` is given
e; with `project` alone e is 0, which is what reconstructions are made of.

M-step, from the part of the data visited last: a step of Adam along the gradient of F by all nets; pi is the mean
activity, sigma² the mean squared residual, both over the last sweep: sums that forget 1/P at each of its P steps. At
convergence F is a sum of entropies ("The ELBO of Variational Autoencoders Converges to a Sum of Three Entropies"):

    F / N = mean H[q] - H[pi] - sum_m pi_m L log(2 pi e) / 2 - D log(2 pi e sigma²) / 2.

A label of a row is the number of its switch state, sum_m s_m 2^(m - 1). Entries that were not observed count nowhere;
encoders see the mean of the data in their place.
"""

from functools import cached_property
from typing import Annotated, Any, NamedTuple

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import UserError
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import ActivityPrior, log_prior_of_states
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
from prosper_ng.numerics.perceptron import Perceptron
from prosper_ng.numerics.special import log_odds

_LARGEST_LOG = 5.0
"""Of the deviations of q: that of e^5 is far above the prior's, that of e^-5 below what data can tell."""
_EXAMPLES = 400
"""Rows with labels that streams start from."""
_LOG_2PI = float(np.log(2 * np.pi))


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    weights: dict[str, Floats]
    """Of all nets, by name."""
    center: Floats
    """(D,)."""
    unit: float
    """Of the data."""
    sigma: float
    """Of the noise."""
    log_odds: Floats
    """(M,) of the prior."""
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
    labels: NDArray[np.int64]
    """(n,) numbers of states that are known, -1 elsewhere; (0,) where none is."""
    means: Floats
    """(n, M, L) mu, what encoders say of a row."""
    deviations: Floats
    """(n, M, L) d."""
    divergence: Floats
    """(n, M) KL of q_m from the prior."""
    noise: Floats
    """(n, R, M, L) draws of e."""
    outputs: Floats
    """(n, R, M, D) f_m(mu_m + d_m e)."""


@component
class Streams(LearnsAlongGradient, ActivityPrior):
    """Streams that are on or off, each with an autoencoder of its own."""

    n_latents: Annotated[int, Gt(0)]
    """M, the number of streams, each of which has a switch."""
    n_dimensions: Annotated[int, Gt(0)] = 8
    """L, the real-valued latents of each stream."""
    hidden: tuple[Annotated[int, Gt(0)], ...] = (64,)
    """Units of each hidden layer of a decoder, from the latents to the data, and of an encoder, from there back."""
    n_classes: Annotated[int, Ge(2)] | None = None
    """2^M where the switches of some rows are known by labels; None where rows have no labels."""
    optimizer: Adam = Adam()
    """Steps of weights and biases along the gradient."""

    support = REAL
    shared_pi = False

    def __post_init__(self) -> None:
        """Raise UserError where there are more or fewer classes than states of the switches."""
        if self.n_classes is not None and self.n_classes != 1 << self.n_latents:
            raise UserError(
                f"n_classes is {self.n_classes}, but {self.n_latents} switches have {1 << self.n_latents} states, and "
                "a label is the number of one; set it to that"
            )

    @cached_property
    def space(self) -> LatentSpace:
        """Switches."""
        return LatentSpace(self.n_latents)

    @property
    def learned_classes(self) -> int | None:
        """2^M where rows have labels."""
        return self.n_classes

    @property
    def n_draws(self) -> int:
        """M L, the standard normal numbers of a sample of all z."""
        return self.n_latents * self.n_dimensions

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """Nets, pi, sigma, and what the data are measured by."""
        shapes = self._shapes(n_observed)
        return {name: ParameterSpec(shape, REAL, _meaning(name)) for name, shape in shapes.items()} | {
            "pi": self._pi_spec(),
            "sigma": ParameterSpec((), SCALE, "standard deviation of the noise", "noise"),
            "center": ParameterSpec((n_observed,), REAL, "what encoders take from the data"),
            "unit": ParameterSpec((), SCALE, "unit of the data, as nets see them"),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Rows, activities, observed entries, squares of residuals and of z, and the gradient by weights and biases."""
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "counts": (self.n_latents,), "squares": ()}
        shapes |= {"n_values": (), "residual": ()}
        return shapes | {f"d{name}": shape for name, shape in self._shapes(n_observed).items()}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Weights at random; streams make the mean of rows that are known to be theirs alone; pi = 1/M, at most 1/2.

        Where no such row is known, half of them together make the mean of the data.
        """
        spread = max(moments.spread, SMALLEST_SCALE)
        unit = max(float(2.0 ** np.round(np.log2(spread))), SMALLEST_SCALE)
        weights: dict[str, Floats] = {}
        for m, (encoder, decoder) in enumerate(self._nets(len(moments.mean))):
            weights |= encoder.initial(rng) | decoder.initial(rng)
            own = moments.labeled[moments.labels == 1 << m] if len(moments.labels) else moments.labeled
            mean = own.mean(axis=0) if len(own) else moments.mean / max(self.n_latents / 2, 1.0)
            weights[decoder.names[-1][1]] = mean / unit
        noise = {"sigma": np.array(spread), "center": moments.mean.copy(), "unit": np.array(unit)}
        return NamedArrays.of(**weights, pi=self._initial_pi(), **noise)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Weights as they are."""
        center, pi = np.array(params["center"]), self.activity(params)
        weights = {name: np.array(params[name]) for name in self._shapes(len(center))}
        unit, sigma = float(params["unit"]), float(params["sigma"])
        return Prepared(weights, center, unit, sigma, log_odds(pi), float(np.sum(np.log1p(-pi))))

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """What encoders and decoders make of the rows, with e = 0."""
        values, (n, D), (M, L) = batch.values, batch.values.shape, (self.n_latents, self.n_dimensions)
        log = -0.5 * _LOG_2PI - np.log(prepared.sigma)
        observed, constant = np.empty((0, D), bool), np.full(n, D * log)
        if batch.observed is not None and not batch.observed.all():
            observed, constant = batch.observed, batch.observed.sum(axis=1) * log
        labels = np.empty(0, np.int64) if batch.labels is None or self.n_classes is None else batch.labels
        told, inputs = np.empty((n, M, 2 * L)), _inputs(prepared, values, observed)
        for m, (encoder, _) in enumerate(self._nets(D)):
            told[:, m] = encoder.layers(prepared.weights, inputs)[-1]
        means, logs = told[..., :L], _LARGEST_LOG * np.tanh(told[..., L:] / _LARGEST_LOG)
        deviations = np.exp(logs)
        divergence = np.sum(0.5 * (means**2 + deviations**2 - 1.0) - logs, axis=2)
        found = Projected(
            values, observed, constant, labels, means, deviations, divergence, np.zeros((n, 1, M, L)), np.empty(0)
        )
        return found._replace(outputs=self._outputs(prepared, found))

    def draw(self, prepared: Prepared, projected: Projected, normals: Floats) -> Projected:
        """The same with z drawn from q, from standard normal numbers (n, R M L) for R samples of a row."""
        drawn = projected._replace(noise=normals.reshape(len(normals), -1, self.n_latents, self.n_dimensions))
        return drawn._replace(outputs=self._outputs(prepared, drawn))

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        result = np.empty(codes.shape[:2])
        log_prior_of_states(prepared.log_odds[:, None], prepared.log_prior_zero, codes, self.space.layout, result)
        return result

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s) - sum_m s_m KL_m + <log p(y | s, z)>; minus infinity where a label says something else."""
        result, states = self.log_prior(prepared, codes) + projected.constant[:, None], self.space.decode(codes)
        for s in range(codes.shape[1]):
            energy = np.sum(np.square(_residual(projected, states[:, s])), axis=2).mean(axis=1)
            result[:, s] -= 0.5 * energy / prepared.sigma**2 + np.sum(states[:, s] * projected.divergence, axis=1)
        if len(projected.labels):
            numbers, labels = states @ (1 << np.arange(self.n_latents)), projected.labels[:, None]
            result[(labels >= 0) & (numbers != labels)] = -np.inf
        return result

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add activities, squares, entropies of q_m and the gradient of the bound."""
        used, q, states = weights.any(axis=1), batch.weighed(weights), self.space.decode(codes)
        D, deviations = projected.values.shape[1], projected.deviations
        n_values = projected.observed.sum(axis=1) if len(projected.observed) else np.full(len(q), D)
        slope, on = np.zeros_like(projected.outputs), np.einsum("ns,nsm->nm", q, states)
        for s in range(codes.shape[1]):
            residual = _residual(projected, states[:, s])
            weighted = residual * (q[:, s] / projected.outputs.shape[1])[:, None, None]
            sums["residual"] += np.sum(weighted * residual)
            slope += states[:, s][:, None, :, None] * weighted[:, :, None]
        sums["n"] += batch.number_of(used)
        sums["n_values"] += np.sum(batch.weighed(n_values.astype(float)), where=used)
        sums["counts"] += on.sum(axis=0)
        sums["squares"] += np.sum(on[..., None] * (projected.means**2 + deviations**2))
        sums["hidden_entropy"] += np.sum(on[..., None] * (np.log(deviations) + 0.5 * (_LOG_2PI + 1.0)))
        self._add_gradients(prepared, projected, slope * (prepared.unit / prepared.sigma**2), on, sums)

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """A step of weights and biases; pi and sigma of the last sweep."""
        new, memory, shapes = params.copy(), self._add_recent(sums, step), self._shapes(len(params["center"]))
        self._maximize_pi(new, params, memory["recent_counts"] / memory["recent_n"], step)
        if "sigma" in step.learn and memory["recent_n_values"] > 0:
            least = max(LEAST_NOISE * float(params["unit"]), SMALLEST_SCALE)
            sigma = float(np.sqrt(memory["recent_residual"] / memory["recent_n_values"]))
            if sigma < least:
                step.notes.append(
                    "sigma is as small as it gets, a 10,000th of the standard deviation of the data: they have hardly "
                    "any noise, or streams know each row by heart; then take fewer dimensions or hidden units"
                )
            new["sigma"] = np.array(max(sigma, least))
        gradient = {name: sums[f"d{name}"] / sums["n"] for name in shapes}
        self.optimizer.climb(new, gradient, [name for name in shapes if name in step.learn], memory, step.per_sweep)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, z, y_n)>_n with the nets that the statistics were made with, whatever `params` hold."""
        prior = self._expected_log_activity(params, sums["counts"], float(sums["n"]))
        latents = 0.5 * float(self.n_dimensions * _LOG_2PI * np.sum(sums["counts"]) + sums["squares"])
        variance = float(params["sigma"]) ** 2
        return (
            prior
            - latents
            - 0.5 * float(sums["n_values"] * (_LOG_2PI + np.log(variance)) + sums["residual"] / variance)
        )

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Of switches, of the latents of streams that are on, and of the noise of each observed entry."""
        latents = float(np.sum(sums["counts"])) * 0.5 * self.n_dimensions * (_LOG_2PI + 1.0)
        noise = float(sums["n_values"]) * (0.5 * (_LOG_2PI + 1.0) + float(np.log(params["sigma"])))
        return self._activity_entropy(params) + (latents + noise) / float(sums["n"])

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) sum_m s_m f_m(0) for switches (n, M): what streams make of the mean of their prior."""
        return np.asarray(values @ self.elements(params).T)

    def elements(self, params: NamedArrays) -> Floats:
        """(D, M) f_m(0)."""
        zero = np.zeros((1, self.n_dimensions))
        nets = self._nets(len(params["center"]))
        return np.array([params["unit"] * decoder.layers(params, zero)[-1][0] for _, decoder in nets]).T

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the switches (n, M) of the streams that made them."""
        states, D = self._draw_active(params, n_rows, rng), len(params["center"])
        values = params["sigma"] * rng.standard_normal((n_rows, D))
        for m, (_, decoder) in enumerate(self._nets(D)):
            z = rng.standard_normal((n_rows, self.n_dimensions))
            values += states[:, m, None] * params["unit"] * decoder.layers(params, z)[-1]
        return values, states

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) the sum of all streams, each as probable as it is on."""
        return self.posterior_means(prepared, projected, codes, weights)["streams"].sum(axis=1)

    def posterior_means(
        self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats
    ) -> dict[str, Floats]:
        """`z` (n, M, L) and its `deviations` where streams are on; `streams` (n, M, D), what each adds to the row."""
        on = np.einsum("ns,nsm->nm", weights, self.space.decode(codes))
        streams = on[..., None] * projected.outputs.mean(axis=1)
        return {"z": projected.means, "deviations": projected.deviations, "streams": streams}

    def _nets(self, n_observed: int) -> list[tuple[Perceptron, Perceptron]]:
        """Encoder and decoder of each stream."""
        down, up = (
            (n_observed, *self.hidden[::-1], 2 * self.n_dimensions),
            (self.n_dimensions, *self.hidden, n_observed),
        )
        return [(Perceptron(down, f"enc{m}_"), Perceptron(up, f"dec{m}_")) for m in range(1, self.n_latents + 1)]

    def _shapes(self, n_observed: int) -> dict[str, Shape]:
        """Of all weights and biases."""
        return {name: shape for pair in self._nets(n_observed) for net in pair for name, shape in net.shapes().items()}

    def _outputs(self, prepared: Prepared, projected: Projected) -> Floats:
        """(n, R, M, D) what streams make of the z that were drawn."""
        D, (n, R, M, L) = projected.values.shape[1], projected.noise.shape
        found, z = np.empty((n, R, M, D)), _drawn(projected)
        for m, (_, decoder) in enumerate(self._nets(D)):
            found[:, :, m] = decoder.layers(prepared.weights, z[:, :, m].reshape(-1, L))[-1].reshape(n, R, D)
        return found * prepared.unit

    def _add_gradients(
        self, prepared: Prepared, projected: Projected, slope: Floats, on: Floats, sums: NamedArrays
    ) -> None:
        """Add the gradient of the bound, given that by outputs (n, R, M, D) and how often streams are on (n, M)."""
        (n, R, _, D), L, weights = slope.shape, self.n_dimensions, prepared.weights
        inputs, z = _inputs(prepared, projected.values, projected.observed), _drawn(projected)
        for m, (encoder, decoder) in enumerate(self._nets(D)):
            layers = decoder.layers(weights, z[:, :, m].reshape(-1, L))
            by_z = decoder.add_gradient(weights, layers, slope[:, :, m].reshape(-1, D), sums).reshape(n, R, L)
            mean, deviation, noise = projected.means[:, m], projected.deviations[:, m], projected.noise[:, :, m]
            by_mean = by_z.sum(axis=1) - on[:, m, None] * mean
            by_log = np.sum(by_z * noise, axis=1) * deviation - on[:, m, None] * (deviation**2 - 1.0)
            by_log *= 1.0 - (np.log(deviation) / _LARGEST_LOG) ** 2
            encoder.add_gradient(weights, encoder.layers(weights, inputs), np.hstack([by_mean, by_log]), sums)


def _meaning(name: str) -> str:
    """What a weight or bias belongs to: `dec2_W1` to layer 1 of the decoder of stream 2."""
    net, array = name.split("_")
    what = "weights" if array[0] == "W" else "biases"
    return f"{what} of layer {array[1:]} of the {'encoder' if net[:3] == 'enc' else 'decoder'} of stream {net[3:]}"


def _inputs(prepared: Prepared, values: Floats, observed: NDArray[np.bool_]) -> Floats:
    """(n, D) rows as encoders see them, 0 where nothing was observed."""
    inputs = (values - prepared.center) / prepared.unit
    return np.where(observed, inputs, 0.0) if len(observed) else inputs


def _drawn(projected: Projected) -> Floats:
    """(n, R, M, L) z."""
    return projected.means[:, None] + projected.deviations[:, None] * projected.noise


def _residual(projected: Projected, active: NDArray[np.int64]) -> Floats:
    """(n, R, D) what the streams that are on (n, M) leave of the observed entries."""
    found = np.repeat(projected.values[:, None], projected.outputs.shape[1], axis=1)
    for m in range(active.shape[1]):
        found -= active[:, m, None, None] * projected.outputs[:, :, m]
    return np.where(projected.observed[:, None], found, 0.0) if len(projected.observed) else found
