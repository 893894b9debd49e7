"""What the models with maximum superposition share: y ~ N(Wbar(s), sigma² I), s binary.

Hard: Wbar_d(s) is the W_dh of largest magnitude among the active latents h, and 0 where none is active; A_dh(s) is 1
for the latent that wins entry d (the first of equals) and 0 for the others. Soft: Wbar is the signed power mean,
Wbar_d = sign(v_d) |v_d|^(1/rho), v_d = sum_h s_h sign(W_dh) |W_dh|^rho, and A_dh(s) = min(1, |W_dh / Wbar_d|)^(rho - 1)
its derivative, which is above 1 only where entries of both signs nearly cancel. Hard is soft at rho = inf. As
temperature falls rho rises: early in annealing those that do not win learn as well.

The M-step is a Gauss-Newton step with a diagonal bound of the matrix, S_d = sum_h A_dh:

    W_dh  <-  W_dh + sum <A_dh (y_d - Wbar_d)> / sum <A_dh S_d>

`A` and `A_y` are <A S> and <A (y - Wbar + S W)>, so that W = A_y / A. Where it stands still the expected log joint is
stationary in W. Hard, S = 1 and Wbar_d = W_dh: the latent that wins an entry takes the mean of what it explains, with
the winners held fixed. It is a very good approximation, but the free energy can fall. The expected log joint is that
with the winners of the parameters that the sums were made with: hard, it is quadratic in W, and `maximize` is its
maximum; soft, the residual is that of the old W.

`order: kept` (hard only) learns the best W whose magnitudes are, for each entry, in the order in which they were, by
isotonic regression. Then the free energy cannot fall, but no latent comes to win what it did not: for the last sweeps.

Only observed entries enter the sums: the update of W is separable over entries, so nothing has to be filled in.
"""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.neighbors import Neighborhood, Neighbors
from prosper_ng.latents.posterior import Tempering
from prosper_ng.models._activity import BinaryLatents
from prosper_ng.models.interface import (
    SCALE,
    SMALLEST_SCALE,
    Batch,
    Codes,
    Floats,
    Identity,
    Moments,
    MStep,
    ParameterSpec,
)
from prosper_ng.models.maximum.kernels import (
    Prepared,
    Projected,
    add_hard_shares,
    add_means,
    add_soft_shares,
    log_joint_of_states,
    project,
)
from prosper_ng.models.maximum.neighbors import fill_neighbors
from prosper_ng.models.maximum.preselection import LEAST_WEIGHT, PRECISION, MaximumPosterior
from prosper_ng.models.maximum.superpositions import Workspace
from prosper_ng.numerics.constraints import REAL, interval
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.ordered_means import in_order, told_apart
from prosper_ng.numerics.special import gaussian_entropy, log_odds
from prosper_ng.numerics.superposition import powers_of

# An entry of W that wins with less than this probability in a row, on average, keeps its value: a row may leave out
# states that weigh `LEAST_WEIGHT`, and a sum over blocks of rows what is 2^-64 = 5e-20 of its largest entry.
_SMALLEST_SHARE = LEAST_WEIGHT / PRECISION


class MaximumModel(BinaryLatents):
    """The part of MCA and MMCA that does not depend on the sign of W."""

    n_latents: int
    superposition: Literal["hard", "soft"]
    shared_pi: bool
    unused: Literal["keep", "redraw"]
    order: Literal["free", "kept"]
    support = REAL

    _least_temperature: ClassVar[float]
    """The temperature below which the power mean comes no nearer to the maximum."""
    _least_W: ClassVar[float]
    """The lower bound of W."""

    is_monotone = False
    """The winners are held fixed, so the free energy can fall."""
    identity: ClassVar[Identity] = "after M-step"
    """With the winners held fixed the maximum is in closed form."""

    def __post_init__(self) -> None:
        """Raise ValueError where there are no winners whose order could be kept."""
        if self.order == "kept" and self.superposition == "soft":
            raise ValueError("order: kept is for superposition hard, where one latent wins each entry; use free")

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, sigma and pi."""
        shape = (n_observed, self.n_latents)
        return {
            "W": ParameterSpec(shape, interval(self._least_W, np.inf), "dictionary", "dictionary"),
            "sigma": ParameterSpec((), SCALE, "standard deviation of the noise", "noise"),
            "pi": self._pi_spec(),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """How often each latent is active, and how much of each entry is its own, of which data."""
        return {
            "n": (),
            "hidden_entropy": (),
            "n_values": (),
            "y_y": (),
            "counts": (self.n_latents,),
            "A": (n_observed, self.n_latents),
            "A_y": (n_observed, self.n_latents),
            **({"residual": ()} if self.superposition == "soft" else {}),
        }

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """W around the data mean; sigma: the data's standard deviation; pi: 1/H."""
        W = np.maximum(moments.dictionary(self.n_latents, rng), self._least_W)
        return NamedArrays.of(W=W, sigma=moments.scale, pi=self._initial_pi())

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """W by latents, the exponent of the power mean at this temperature, and the log odds."""
        elements, rho = np.ascontiguousarray(params["W"].T), self._rho(temperature)
        pi = self.activity(params)
        sigma, log_prior_zero = float(params["sigma"]), float(np.sum(np.log1p(-pi)))
        origin = elements.mean(axis=0)
        scaled = (elements - origin) / sigma
        return Prepared(elements, powers_of(elements, rho), sigma, log_odds(pi), log_prior_zero, origin, scaled)

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """The rows, which of their entries count, what all their states have in common, and their singletons."""
        return project(prepared, batch)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included."""
        elements, powers, sigma, *_ = prepared
        result = np.empty(codes.shape[:2])
        log_joint_of_states(
            projected.constant, projected.values, projected.observed, elements, powers, sigma**-2,
            prepared.log_odds, codes, result,
        )  # fmt: skip
        return result

    def preselect(
        self, prepared: Prepared, projected: Projected, batch: Batch, chosen: Preselected, tempering: Tempering,
        workspace: Workspace | None = None,
    ) -> MaximumPosterior:  # fmt: skip
        """The posterior over the states of each row's candidates, whose superpositions stay in the workspace.

        Raises ValueError where the workspace is that of other parameters.
        """
        own = workspace or Workspace(prepared)
        if own.prepared is not prepared:
            raise ValueError("the workspace is that of other parameters; it is made anew for each update")
        return MaximumPosterior(projected, batch, chosen, tempering, own)

    def workspace(self, prepared: Prepared) -> Workspace:
        """Superpositions that are found once for all blocks of rows."""
        return Workspace(prepared)

    def least_weight(self) -> float:
        """What the states of a row may weigh that are left out, all together."""
        return LEAST_WEIGHT

    def log_joint_of_neighbors(self, prepared: Prepared, projected: Projected, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of the states one change away from the parents."""
        found = Neighbors.unknown(self.space, neighborhood)
        fill_neighbors(
            neighborhood, projected.values, projected.observed, prepared.elements, prepared.powers,
            prepared.sigma**-2, projected.constant, prepared.log_odds, found,
        )  # fmt: skip
        return found

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add what the active and the winning latents of a batch come to."""
        used = weights.any(axis=1)
        A, A_y = np.zeros_like(prepared.elements), np.zeros_like(prepared.elements)
        if self.superposition == "hard":
            add_hard_shares(
                prepared.elements, projected.values, projected.observed, codes, weights, sums["counts"], A, A_y
            )
        else:
            residual = np.zeros(A.shape[1])
            add_soft_shares(
                prepared.elements, prepared.powers, projected.values, projected.observed, codes, weights,
                sums["counts"], A, A_y, residual,
            )  # fmt: skip
            sums["residual"] += residual.sum()
        sums["n"] += np.count_nonzero(used)
        sums["n_values"] += projected.observed[used].sum()
        sums["y_y"] += np.sum(projected.values[used] ** 2)
        sums["A"] += A.T
        sums["A_y"] += A_y.T

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean <Wbar(s)>."""
        return self._mean(prepared, codes, weights)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = self._draw_active(params, n_rows, rng)
        noise = params["sigma"] * rng.standard_normal((n_rows, len(params["W"])))
        codes = self.space.encode(states)[:, None, :]
        return self._mean(self.prepare(params), codes, np.ones((n_rows, 1))) + noise, states

    def superimpose(self, params: NamedArrays, values: NDArray[Any]) -> Floats:
        """(n, D) of the products of values (n, H) with W the one of largest magnitude, or their power mean."""
        W, rho = params["W"], self._rho(1.0)
        largest, total = np.zeros((len(values), len(W))), np.zeros((len(values), len(W)))
        for share in map(np.outer, values.T, W.T):
            np.copyto(largest, share, where=np.abs(share) > np.abs(largest))
        if rho == np.inf:
            return largest
        scale = np.maximum(np.abs(largest), SMALLEST_SCALE)
        for share in map(np.outer, values.T, W.T):
            total += np.sign(share) * np.abs(share / scale) ** rho
        return np.asarray(scale * np.sign(total) * np.abs(total) ** (1 / rho))

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """New parameters, after one step of W; an entry of W that never wins keeps its value."""
        new = params.copy()
        if "W" in step.learn:
            W = np.divide(sums["A_y"], sums["A"], out=params["W"].copy(), where=_is_known(sums))
            new["W"] = np.maximum(W if self.order == "free" else _in_kept_order(W, params["W"], sums), self._least_W)
        if "sigma" in step.learn and sums["n_values"] > 0:
            # Below this the squared residual is the rounding error of a difference of large numbers.
            rounding = 4 * np.finfo(float).eps * float(sums["y_y"])
            variance = max(self._squared_residual(new, sums), rounding) / float(sums["n_values"])
            new["sigma"] = max(np.sqrt(variance), SMALLEST_SCALE)
        self._maximize_pi(new, params, sums["counts"] / sums["n"], step)
        if "W" in step.learn:
            self._treat_unused(new, sums, step)
        return new

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, y_n)>_n with the winners, or in the soft case Wbar, as they were for the sums."""
        sigma = float(params["sigma"])
        normalizer = float(sums["n_values"]) * (0.5 * np.log(2 * np.pi) + np.log(sigma))
        prior = self._expected_log_activity(params, sums["counts"], float(sums["n"]))
        return prior - normalizer - 0.5 * self._squared_residual(params, sums) / sigma**2

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """The hard residual is a difference of sums as large as sum yᵀy and sum W² <A>."""
        largest = float(sums["y_y"]) + float(np.vdot(params["W"] ** 2, sums["A"]))
        scale = float(sums["n"]) + float(sums["n_values"]) + largest / float(params["sigma"]) ** 2
        return 256 * float(np.finfo(float).eps) * scale

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_h Hb(pi_h) + D/2 log(2 pi e sigma²), where D is the mean number of observed entries."""
        n_observed = float(sums["n_values"] / sums["n"])
        return self._activity_entropy(params) + n_observed * gaussian_entropy(float(params["sigma"]), 1)

    def _rho(self, temperature: float) -> float:
        if self.superposition == "hard":
            return np.inf
        return 1.0 / (1.0 - 1.0 / max(temperature, self._least_temperature))

    def _mean(self, prepared: Prepared, codes: Codes, weights: Floats) -> Floats:
        elements, powers, *_ = prepared
        result = np.zeros((len(codes), elements.shape[1]))
        add_means(elements, powers, codes, weights, result)
        return result

    def _squared_residual(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <|y_n - Wbar|²>_n over the observed entries."""
        if self.superposition == "soft":
            return float(sums["residual"])
        W = params["W"]
        return float(sums["y_y"] - 2 * np.vdot(W, sums["A_y"]) + np.vdot(W**2, sums["A"]))

    def _treat_unused(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        unused = sums["counts"] <= 1e-12 * sums["n"]
        if self.unused == "redraw" and step.rng is not None and sums["n_values"] > 0 and unused.any():
            scale = np.sqrt(sums["y_y"] / sums["n_values"])
            drawn = scale * step.rng.standard_normal((len(new["W"]), np.count_nonzero(unused)))
            new["W"][:, unused] = np.abs(drawn) if self._least_W == 0 else drawn
            step.notes.append(f"{np.count_nonzero(unused)} latents that no state used were drawn anew")
            return
        kept = np.count_nonzero(unused & ~_is_known(sums).any(axis=0))
        if kept:
            step.notes.append(f"{kept} latents that no state used keep their dictionary elements")


def _in_kept_order(W: Floats, before: Floats, sums: NamedArrays) -> Floats:
    """The best W (D, H) whose magnitudes have in each row the order that they had, and whose signs stay."""
    signs, magnitudes = np.where(before < 0, -1.0, 1.0), np.abs(before)
    found = np.maximum(in_order(signs * W, sums["A"], magnitudes), 0.0)
    return np.asarray(signs * told_apart(found, magnitudes))


def _is_known(sums: NamedArrays) -> NDArray[np.bool_]:
    """(D, H) the entries of W that were learned from something."""
    return np.asarray(sums["A"] > _SMALLEST_SHARE * sums["n"])
