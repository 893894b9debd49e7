"""Gaussian Sparse Coding, spike and slab: s_h ~ Bernoulli(pi_h), z ~ N(mu, Psi), y ~ N(W (s z), Sigma).

| parameter | shape | meaning |
| --- | --- | --- |
| W | (D, H) | dictionary |
| pi | () or (H,) | probability that a latent is active, shared or one for each |
| mu | (H,) | means of the slabs |
| psi | (H,) | variances of the slabs, with `slab: diagonal` |
| Psi | (H, H) | covariance of the slabs, with `slab: full` |
| sigma | () or (D,) | standard deviation of the noise, with `noise: scalar` or `diagonal` |
| Sigma | (D, D) | covariance of the noise, with `noise: full` |

The slabs are integrated out, so states are binary; those of the active latents have a Gaussian posterior given these.
M-step, with z short for s z where it multiplies W: W = (sum y<z>ᵀ)(sum <z zᵀ>)⁻¹; pi the mean activity;
mu_h = sum <s_h z_h> / sum <s_h>; psi_h = sum <s_h (z_h - mu_h)²> / sum <s_h>; Sigma the mean of <(y - W z)(y - W z)ᵀ>
at the new W. A full Psi is the mean of <(z - mu)(z - mu)ᵀ> over all latents, the inactive ones as the active ones and
the prior tell. Lücke and Sheikh, LVA/ICA 2012; Sheikh, Shelton and Lücke, JMLR 2014.

The scale of a slab cannot be told from that of its column: (c W_h, mu_h / c, psi_h / c²) are the same model for any c.
"""

from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray
from scipy import linalg

from prosper_ng.components import component
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import ActivityPrior, log_prior_of_states
from prosper_ng.models._gaussian_noise import (
    SMALLEST_SIGMA,
    GaussianNoise,
    Piece,
    completed,
    entropies,
    log_density,
    pieces,
    symmetric,
    whiten,
)
from prosper_ng.models._slab import add_moments, log_joint_of_states
from prosper_ng.models.interface import Batch, Codes, Floats, Moments, MStep, ParameterSpec
from prosper_ng.numerics.cholesky import positive_definite
from prosper_ng.numerics.linear import solve_least_change
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.special import log_odds

SMALLEST_VARIANCE = 1e-200
_NARROWEST = 1e-12
_UNUSED = 1e-12
_EPS = float(np.finfo(float).eps)


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    W: Floats
    """(D, H)."""
    factor: Floats
    """(D,) standard deviations of the noise, or the (D, D) Cholesky factor of its covariance."""
    root: Floats
    """(H,) the unit of each slab: its standard deviation where slabs are independent, else 1."""
    mu: Floats
    """(H,) slab means in these units."""
    Psi: Floats
    """(H, H) slab covariance; (0, 0) where slabs are independent, each of unit variance in its unit."""
    fields: Floats
    """(H, D) columns of W in units of the slabs and of the noise."""
    gram: Floats
    """(H, H) inner products of the fields."""
    log_odds: Floats
    """(H, 1) log pi_h - log(1 - pi_h)."""
    log_prior_zero: float
    """log p(s = 0)."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    b: Floats
    """(n, H) inner products of fields and rows."""
    zero: Floats
    """(n,) log joint of the zero state."""
    observed: Floats
    """(n, D) 1 for observed entries and 0 for missing ones; (0, D) where nothing is missing."""


class _Moments(NamedTuple):
    """Sums over the states of some rows; z is short for s z."""

    means: Floats
    """(n, H) <z>."""
    counts: Floats
    """(H,) sum <s>."""
    second: Floats
    """(H, H) sum <z zᵀ>."""
    log_determinant: float
    """sum <log |B|>, twice the information that the rows hold about the slabs."""
    shift: Floats
    """(H,) sum of t, where slabs have a covariance."""
    spread: Floats
    """(H, H) sum of T, where slabs have a covariance."""
    y_y: Floats
    """(D,) what missing entries add to sum <y_d²>, where noise is independent."""
    y_sz: Floats
    """(D, H) what missing entries add to sum <y zᵀ>, where noise is independent."""


@component
class GSC(ActivityPrior, GaussianNoise):
    """Binary latents with Gaussian amplitudes that add up."""

    n_latents: Annotated[int, Gt(0)]
    """H, the number of latents."""
    noise: Literal["scalar", "diagonal", "full"] = "scalar"
    """Whether the noise has one variance, one for each observed dimension, or a covariance."""
    slab: Literal["diagonal", "full"] = "diagonal"
    """Whether the amplitudes are independent or have a covariance."""
    shared_pi: bool = False
    """One activity for all latents instead of one for each."""
    unused: Literal["keep", "redraw"] = "keep"
    """What becomes of the dictionary element of a latent that no state uses."""

    @property
    def is_exact(self) -> bool:
        """The M-step is the maximum."""
        return True

    @property
    def space(self) -> LatentSpace:
        """Binary latents."""
        return LatentSpace(self.n_latents)

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, pi, mu, psi or Psi, and sigma or Sigma."""
        H = self.n_latents
        specs = {
            "W": ParameterSpec((n_observed, H), -np.inf, np.inf, "dictionary"),
            "pi": self._pi_spec(),
            "mu": ParameterSpec((H,), -np.inf, np.inf, "means of the slabs"),
        }
        if self.slab == "full":
            specs["Psi"] = ParameterSpec((H, H), -np.inf, np.inf, "covariance of the slabs")
        else:
            specs["psi"] = ParameterSpec((H,), SMALLEST_VARIANCE, np.inf, "variances of the slabs")
        return specs | self._noise_spec(n_observed)

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Moments of states, active slabs and data; `szsz` is a lower triangle, `z` and `zz` are about all slabs."""
        H = self.n_latents
        shapes: dict[str, Shape] = {
            "n": (),
            "hidden_entropy": (),
            "s": (H,),
            "sz": (H,),
            "szsz": (H, H),
            "y_sz": (n_observed, H),
            **self._noise_statistics(n_observed),
        }
        return shapes | ({"z": (H,), "zz": (H, H)} if self.slab == "full" else {})

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters at the scale of the data; slabs of mean and variance 1, pi = 1/H, at most 1/2."""
        H, D = self.n_latents, len(moments.mean)
        scale = max(float(np.sqrt(np.mean(moments.variance))), SMALLEST_SIGMA)
        W = moments.mean[:, None] + scale * rng.standard_normal((D, H))
        slab = {"Psi": np.eye(H)} if self.slab == "full" else {"psi": np.ones(H)}
        return NamedArrays.of(W=W, pi=self._initial_pi(), mu=np.ones(H), **slab, **self._initial_noise(scale, D))

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Fields, Gram matrix and log odds."""
        pi, factor = self.activity(params), self._noise_factor(params)
        root, Psi = np.ones(self.n_latents), np.empty((0, 0))
        if self.slab == "full":
            Psi = positive_definite(params["Psi"])
        else:
            root = np.sqrt(params["psi"])
        fields = whiten(factor, params["W"].T * root[:, None])
        return Prepared(
            params["W"], factor, root, params["mu"] / root, Psi, fields, fields @ fields.T,
            log_odds(pi)[:, None], float(np.sum(np.log1p(-pi))),
        )  # fmt: skip

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Inner products with the fields, and the zero state."""
        n_rows, D = batch.values.shape
        observed = np.empty((0, D))
        if batch.observed is not None and not batch.observed.all():
            observed = batch.observed.astype(np.float64)
        b, zero = np.empty((n_rows, self.n_latents)), np.empty(n_rows)
        for piece in pieces(prepared.factor, observed):
            whitened = whiten(piece.factor, batch.values[piece.rows][:, piece.known])
            b[piece.rows] = whitened @ _fields(prepared, piece).T
            shown = observed[piece.rows] if piece.is_whole else np.empty((0, D))
            zero[piece.rows] = prepared.log_prior_zero + log_density(piece.factor, whitened, shown)
        return Projected(b, zero, observed)

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included."""
        result = np.empty(codes.shape[:2])
        for piece in pieces(prepared.factor, projected.observed):
            found = np.empty_like(result[piece.rows])
            log_joint_of_states(
                projected.zero[piece.rows], prepared.log_odds[:, 0], *_slab_arguments(prepared, projected, piece),
                _plain(codes[piece.rows]), found,
            )  # fmt: skip
            result[piece.rows] = found
        return result

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        space, result = self.space, np.empty(codes.shape[:2])
        log_prior_of_states(
            prepared.log_odds, prepared.log_prior_zero, codes, space.n_planes, space.plane_words, result
        )
        return result

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) log p(y | s) of each latent alone."""
        singletons = self.space.encode(np.eye(self.n_latents, dtype=np.int64))
        codes = np.broadcast_to(singletons, (len(projected.b), *singletons.shape))
        return self.log_joint(prepared, projected, codes) - self.log_prior(prepared, codes)

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the moments of a batch to the sums."""
        used = np.asarray(weights.any(axis=1))
        values = batch.values if used.all() else batch.values * used[:, None]
        for piece in pieces(prepared.factor, projected.observed):
            found = _moments(prepared, projected, piece, codes[piece.rows], weights[piece.rows])
            n_rows = int(np.count_nonzero(used[piece.rows]))
            sums["n"] += n_rows
            sums["s"] += found.counts
            sums["sz"] += found.means.sum(axis=0)
            sums["szsz"] += np.tril(found.second)
            if self.slab == "full":
                shift = prepared.Psi @ found.shift
                crossed = np.outer(prepared.mu, n_rows * 0.5 * prepared.mu + shift)
                sums["z"] += n_rows * prepared.mu + shift
                sums["zz"] += n_rows * prepared.Psi + prepared.Psi @ found.spread @ prepared.Psi + crossed + crossed.T
                sums["hidden_entropy"] += n_rows * entropies(_cholesky(prepared.Psi)).sum()
            else:
                sums["hidden_entropy"] += found.counts @ entropies(prepared.root)
            sums["hidden_entropy"] -= 0.5 * found.log_determinant
            if piece.is_whole:
                sums["y_y"] += self._squares(values[piece.rows])
                sums["y_sz"] += values[piece.rows].T @ found.means
            else:
                y_y, y_sz = completed(piece, values[piece.rows], prepared.W, found.means, found.second, n_rows)
                sums["y_y"] += y_y
                sums["y_sz"] += y_sz
                sums["hidden_entropy"] += n_rows * entropies(_cholesky(piece.remainder)).sum()
            if len(found.y_y):
                sums["y_y"] += found.y_y if self.noise == "diagonal" else found.y_y.sum()
                sums["y_sz"] += found.y_sz
                sums["hidden_entropy"] += np.sum((1.0 - projected.observed[used]) @ entropies(prepared.factor))

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) W <z>, the posterior mean of what is not noise."""
        means = np.empty_like(projected.b)
        for piece in pieces(prepared.factor, projected.observed):
            means[piece.rows] = _moments(prepared, projected, piece, codes[piece.rows], weights[piece.rows]).means
        return means @ prepared.W.T

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = params.copy()
        self._maximize_pi(new, params, sums["s"] / sums["n"], step)
        if "W" in step.learn:
            new["W"] = solve_least_change(symmetric(sums["szsz"]), sums["y_sz"], params["W"])
        if self.slab == "full":
            self._maximize_joint_slabs(new, sums, step)
        else:
            self._maximize_single_slabs(new, sums, step)
        if step.learn & {"sigma", "Sigma"}:
            self._maximize_noise(new, sums)
        if "W" in step.learn:
            self._treat_unused(new, sums, step)
        return new

    def _maximize_single_slabs(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        used = sums["s"] > _UNUSED * sums["n"]
        n_active = np.where(used, sums["s"], 1.0)
        if "mu" in step.learn:
            new["mu"] = np.where(used, sums["sz"] / n_active, new["mu"])
        if "psi" in step.learn:
            # A difference of nearly equal numbers is not trusted below a share of them.
            least = np.maximum(_NARROWEST * np.diagonal(sums["szsz"]) / n_active, SMALLEST_VARIANCE)
            new["psi"] = np.where(used, np.maximum(_deviation(new["mu"], sums) / n_active, least), new["psi"])

    def _maximize_joint_slabs(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        n_rows = float(sums["n"])
        if "mu" in step.learn:
            new["mu"] = sums["z"] / n_rows
        if "Psi" in step.learn:
            moment = _joint_deviation(new["mu"], sums) / n_rows
            least = np.maximum(_NARROWEST * np.diagonal(sums["zz"]) / n_rows, SMALLEST_VARIANCE)
            np.fill_diagonal(moment, np.maximum(np.diagonal(moment), least))
            new["Psi"] = positive_definite(moment)

    def _treat_unused(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        unused = np.flatnonzero(sums["s"] <= _UNUSED * sums["n"])
        if len(unused) == 0:
            return
        if self.unused == "redraw" and step.rng is not None:
            variances = np.diagonal(new["Psi"]) if self.slab == "full" else new["psi"]
            amplitudes = np.sqrt(new["mu"] ** 2 + variances)[unused]
            fields = step.rng.standard_normal((len(new["W"]), len(unused)))
            new["W"][:, unused] = np.sqrt(self._mean_square(sums)) * fields / amplitudes
            step.notes.append(f"{len(unused)} latents that no state used were drawn anew")
        else:
            step.notes.append(f"{len(unused)} latents that no state used keep their dictionary elements")

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, z, y_n)>_n."""
        prior = self._expected_log_activity(params, sums["s"], float(sums["n"]))
        return prior + self._expected_log_slabs(params, sums) + self._expected_log_likelihood(params, sums)

    def _expected_log_slabs(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(z | s)>_n, of the active slabs where they are independent, of all where not."""
        if self.slab == "full":
            factor = _cholesky(positive_definite(params["Psi"]))
            energy = whiten(factor, whiten(factor, _joint_deviation(params["mu"], sums)).T)
            return -float(sums["n"] * (entropies(factor) - 0.5).sum() + 0.5 * np.trace(energy))
        energies = _deviation(params["mu"], sums) / params["psi"]
        return -float(sums["s"] @ (entropies(np.sqrt(params["psi"])) - 0.5) + 0.5 * energies.sum())

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Residuals of data and slabs are differences of large sums."""
        if self.slab == "full":
            lengths = np.sqrt(np.diagonal(sums["zz"]) + sums["n"] * params["mu"] ** 2)
            inverse = linalg.inv(positive_definite(params["Psi"]))
            slabs = lengths @ np.abs(inverse) @ lengths
        else:
            slabs = np.sum((np.diagonal(sums["szsz"]) + sums["s"] * params["mu"] ** 2) / params["psi"])
        n_values = float(sums["n"]) * len(params["W"])
        return 256 * _EPS * (n_values + float(slabs) + self._largest_energy(params, sums))

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Entropies of states, slabs and noise; where slabs are independent, of the active ones only."""
        if self.slab == "full":
            slabs = entropies(_cholesky(positive_definite(params["Psi"]))).sum()
        else:
            slabs = sums["s"] @ entropies(np.sqrt(params["psi"])) / sums["n"]
        return self._activity_entropy(params) + float(slabs) + self._noise_entropy(params)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = (rng.random((n_rows, self.n_latents)) < self.activity(params)).astype(np.int64)
        white = rng.standard_normal(states.shape)
        if self.slab == "full":
            deviations = white @ _cholesky(positive_definite(params["Psi"])).T
        else:
            deviations = white * np.sqrt(params["psi"])
        clean = (states * (params["mu"] + deviations)) @ params["W"].T
        return clean + self._draw_noise(params, n_rows, rng), states


def _cholesky(covariance: Floats) -> Floats:
    return np.asarray(linalg.cholesky(covariance, lower=True))


def _deviation(mu: Floats, sums: NamedArrays) -> Floats:
    """(H,) sum <s_h (z_h - mu_h)²>."""
    return np.diagonal(sums["szsz"]) - 2 * mu * sums["sz"] + mu**2 * sums["s"]


def _joint_deviation(mu: Floats, sums: NamedArrays) -> Floats:
    """(H, H) sum <(z - mu)(z - mu)ᵀ> over all latents, active or not."""
    crossed = np.outer(mu, sums["z"] - 0.5 * sums["n"] * mu)
    return np.asarray(sums["zz"] - crossed - crossed.T)


def _fields(prepared: Prepared, piece: Piece) -> Floats:
    """(H, K) fields in units of the noise of the known entries."""
    if piece.is_whole:
        return prepared.fields
    return whiten(piece.factor, prepared.W[piece.known].T * prepared.root[:, None])


def _slab_arguments(prepared: Prepared, projected: Projected, piece: Piece) -> tuple[Floats, ...]:
    """b, mu, Gram matrix, Psi, fields and observed entries, as the kernels take them."""
    gram, fields, observed = prepared.gram, prepared.fields, np.empty((0, len(prepared.W)))
    if not piece.is_whole:
        fields = _fields(prepared, piece)
        gram = fields @ fields.T
    elif prepared.factor.ndim == 1 and len(projected.observed):
        gram, observed = np.empty_like(gram), projected.observed[piece.rows]
    return projected.b[piece.rows], prepared.mu, gram, prepared.Psi, fields, observed


def _plain(array: NDArray) -> NDArray:
    """The array in the one memory layout that kernels are compiled for."""
    return np.require(array, requirements=["C", "W"])


def _moments(prepared: Prepared, projected: Projected, piece: Piece, codes: Codes, weights: Floats) -> _Moments:
    """The posterior moments of some rows."""
    arguments, root = _slab_arguments(prepared, projected, piece), prepared.root
    D, H = prepared.W.shape
    D_missing, H_joint = len(arguments[-1]) and D, len(prepared.Psi)
    means, counts, second = np.zeros((len(codes), H)), np.zeros(H), np.zeros((H, H))
    shift, spread = np.zeros(H_joint), np.zeros((H_joint, H_joint))
    y_y, y_sz = np.zeros(D_missing), np.zeros((D_missing, H))
    log_determinant = add_moments(
        *arguments, _plain(codes), _plain(weights), means, counts, second, shift, spread, y_y, y_sz
    )
    if D_missing:
        y_y *= prepared.factor**2
        y_sz *= np.outer(prepared.factor, root)
    second = symmetric(second) * np.outer(root, root)
    return _Moments(means * root, counts, second, log_determinant, shift, symmetric(spread), y_y, y_sz)
