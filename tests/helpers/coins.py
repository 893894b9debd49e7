"""A model as a user might write it: two bags of coins, no dictionary, no noise, rows of zeros and ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Gt

from prosper_ng.components import component, components_of
from prosper_ng.config import loader
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models.interface import Batch, Codes, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.numerics.constraints import BINARY, interval
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.special import bernoulli_entropy, bernoulli_log

_INSIDE = interval(1e-6, 1 - 1e-6)


class Projected(NamedTuple):
    """(n, 2) log p(s, y) of either bag."""

    log_joint: Floats


class Prepared(NamedTuple):
    """The parameters."""

    theta: Floats
    rate: float


@component
class Coins:
    """All coins of a row are from bag 0, or from bag 1 where the one latent is active."""

    n_latents: Annotated[int, Gt(0)] = 1
    """One."""

    support = BINARY
    is_monotone = True
    identity: ClassVar[Identity] = "after M-step"

    @cached_property
    def space(self) -> LatentSpace:
        return LatentSpace(1)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        return {
            "rate": ParameterSpec((), _INSIDE, "probability of bag 1", "activity"),
            "theta": ParameterSpec((2, n_observed), _INSIDE, "probabilities of heads"),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        shape = (2, n_observed)
        return {"n": (), "hidden_entropy": (), "rows": (2,), "heads": shape, "tosses": shape}

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        theta = moments.mean + 0.1 * rng.standard_normal((2, len(moments.mean)))
        return NamedArrays.of(rate=0.5, theta=np.clip(theta, 0.05, 0.95))

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        return Prepared(params["theta"].copy(), float(params["rate"]))

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        shown = np.ones(batch.values.shape) if batch.observed is None else batch.observed.astype(np.float64)
        heads, theta = batch.values * shown, prepared.theta
        likelihood = heads @ np.log(theta).T + (shown - heads) @ np.log1p(-theta).T
        return Projected(likelihood + np.log([1 - prepared.rate, prepared.rate]))

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        return np.take_along_axis(projected.log_joint, self._bags(codes), axis=1)

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        return np.log([1 - prepared.rate, prepared.rate])[self._bags(codes)]

    def accumulate(
        self, prepared: Prepared, projected: Any, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        on = (weights * self._bags(codes)).sum(axis=1)
        shares = np.stack([weights.sum(axis=1) - on, on])
        shown = np.ones(batch.values.shape) if batch.observed is None else batch.observed.astype(np.float64)
        sums["n"] += np.count_nonzero(weights.any(axis=1))
        sums["rows"] += shares.sum(axis=1)
        sums["heads"] += shares @ (batch.values * shown)
        sums["tosses"] += shares @ shown

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        new = params.copy()
        if "rate" in step.learn:
            new["rate"] = np.clip(sums["rows"][1] / sums["n"], _INSIDE.low, _INSIDE.high)
        if "theta" in step.learn:
            shares = sums["heads"] / np.maximum(sums["tosses"], 1e-300)
            new["theta"] = np.where(sums["tosses"] > 0, np.clip(shares, _INSIDE.low, _INSIDE.high), new["theta"])
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        prior = float(bernoulli_log(sums["rows"][1], float(sums["n"]), params["rate"]))
        return prior + float(np.sum(bernoulli_log(sums["heads"], sums["tosses"], params["theta"])))

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        return 1e-12 * float(sums["n"]) * params["theta"].size

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        coins = float(np.sum(sums["tosses"] * bernoulli_entropy(params["theta"]))) / float(sums["n"])
        return float(bernoulli_entropy(params["rate"])) + coins

    def activity(self, params: NamedArrays) -> Floats:
        return np.full(1, float(params["rate"]))

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, np.ndarray]:
        states = (rng.random((n_rows, 1)) < params["rate"]).astype(np.int64)
        heads = rng.random((n_rows, params["theta"].shape[1])) < params["theta"][states[:, 0]]
        return heads.astype(np.float64), states

    def reconstruct(self, prepared: Prepared, projected: Any, codes: Codes, weights: Floats) -> Floats:
        on = (weights * self._bags(codes)).sum(axis=1)
        return np.stack([1 - on, on], axis=1) @ prepared.theta

    def _bags(self, codes: Codes) -> np.ndarray:
        return self.space.decode(codes)[..., 0]


@contextmanager
def known_to_configurations() -> Iterator[None]:
    """`kind: coins` can be said, as if the file lay in the folder of models."""
    models = components_of("prosper_ng.models")
    models["coins"] = Coins
    loader._adapters.clear()
    try:
        yield
    finally:
        del models["coins"]
        loader._adapters.clear()
