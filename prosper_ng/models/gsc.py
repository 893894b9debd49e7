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

from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.errors import NumericalError
from prosper_ng.latents.neighbors import Neighborhood, Neighbors, evaluated
from prosper_ng.latents.space import LatentSpace
from prosper_ng.models._activity import ActivityPrior, log_prior_of_states
from prosper_ng.models._gaussian import (
    UNUSED,
    GaussianNoise,
    GaussianSlabs,
    cholesky,
    completed,
    entropies,
    log_density,
    pieces,
    whiten,
)
from prosper_ng.models.interface import Batch, Codes, Floats, Identity, Moments, MStep, ParameterSpec
from prosper_ng.models.slab.kernels import add_means, log_joint_of_singles, log_joint_of_states
from prosper_ng.models.slab.moments import (
    Prepared,
    Projected,
    SlabMoments,
    fields,
    moments_of,
    plain,
    slab_arguments,
)
from prosper_ng.models.slab.neighbors import fill_neighbors
from prosper_ng.numerics.cholesky import positive_definite
from prosper_ng.numerics.constraints import REAL
from prosper_ng.numerics.linear import cross_moment, packed, solve_least_change, unpacked
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.special import log_odds

_EPS = float(np.finfo(float).eps)

# Squared signal-to-noise ratio of a dictionary element; the smallest noise that is learned stays far below it.
_SHARPEST = 1e20


@component
class GSC(ActivityPrior, GaussianSlabs, GaussianNoise):
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

    support = REAL

    is_monotone = True
    """The M-step is the maximum of what the free energy is at these statistics."""
    identity: ClassVar[Identity] = "after M-step"
    """The maximum is in closed form."""

    @property
    def groups_missing(self) -> bool:
        """Noise with a covariance is another one for each set of missing values."""
        return self.noise == "full"

    @cached_property
    def space(self) -> LatentSpace:
        """Binary latents."""
        return LatentSpace(self.n_latents)

    @cached_property
    def _singletons(self) -> Codes:
        """(H, words) the states of one active latent."""
        return self.space.encode(np.eye(self.n_latents, dtype=np.int64))

    def parameters(self, n_observed: int) -> dict[str, ParameterSpec]:
        """W, pi, mu, psi or Psi, and sigma or Sigma."""
        return {
            "W": ParameterSpec((n_observed, self.n_latents), REAL, "dictionary", "dictionary"),
            "pi": self._pi_spec(),
            **self._slab_specs(),
            **self._noise_specs(n_observed),
        }

    def statistics(self, n_observed: int) -> dict[str, Shape]:
        """Moments of states, active slabs and data; `szsz` is a packed triangle, `z` and `zz` are about all slabs."""
        shapes: dict[str, Shape] = {"n": (), "hidden_entropy": (), "y_sz": (n_observed, self.n_latents)}
        return shapes | self._slab_statistics() | self._noise_statistics(n_observed)

    def initial(self, moments: Moments, rng: np.random.Generator) -> NamedArrays:
        """Parameters at the scale of the data; slabs of mean and variance 1, pi = 1/H, at most 1/2.

        Where each dimension has a noise of its own, it also has a scale of its own: their units may differ.
        """
        scales = np.full(len(moments.mean), moments.scale) if self.noise == "scalar" else moments.scales
        W, noise = moments.dictionary(self.n_latents, rng, scales), self._initial_noise(scales)
        return NamedArrays.of(W=W, pi=self._initial_pi(), **self._initial_slabs(), **noise)

    def prepare(self, params: NamedArrays, temperature: float = 1.0) -> Prepared:
        """Dictionary elements, Gram matrix and log odds."""
        pi, factor = self.activity(params), self._noise_factor(params)
        Sigma = positive_definite(params["Sigma"]) if self.noise == "full" else np.empty((0, 0))
        root, Psi = np.ones(self.n_latents), np.empty((0, 0))
        if self.slab == "full":
            Psi = positive_definite(params["Psi"])
        else:
            root = np.sqrt(params["psi"])
        elements = whiten(factor, params["W"].T * root[:, None])
        gram = elements @ elements.T
        if not np.max(np.diagonal(gram)) < _SHARPEST:
            raise NumericalError(
                "model gsc: the noise is less than a 10,000,000,000th of what W and the slabs contribute, which leaves "
                "no digit of the posterior; start with a larger sigma, or smaller W and psi"
            )
        return Prepared(
            params["W"], factor, Sigma, root, params["mu"] / root, Psi, elements, gram,
            log_odds(pi)[:, None], float(np.sum(np.log1p(-pi))),
        )  # fmt: skip

    def project(self, prepared: Prepared, batch: Batch) -> Projected:
        """Inner products with the dictionary elements, and the zero state."""
        n_rows, D = batch.values.shape
        observed = np.empty((0, D))
        if batch.observed is not None and not batch.observed.all():
            observed = batch.observed.astype(np.float64)
        b, zero = np.empty((n_rows, self.n_latents)), np.empty(n_rows)
        for piece in pieces(prepared.factor, prepared.Sigma, observed):
            whitened = whiten(piece.factor, batch.values[piece.rows][:, piece.known])
            b[piece.rows] = whitened @ fields(prepared, piece).T
            shown = observed[piece.rows] if piece.is_whole else np.empty((0, D))
            zero[piece.rows] = prepared.log_prior_zero + log_density(piece.factor, whitened, shown)
        correlated = len(observed) > 0 and self.noise == "full"
        return Projected(b, zero, observed, batch.values if correlated else np.empty((0, D)))

    def log_joint(self, prepared: Prepared, projected: Projected, codes: Codes) -> Floats:
        """(n, S) log p(s, y), constants included."""
        result = np.empty(codes.shape[:2])
        for piece in pieces(prepared.factor, prepared.Sigma, projected.observed):
            found = np.empty_like(result[piece.rows])
            log_joint_of_states(
                projected.zero[piece.rows], prepared.log_odds[:, 0], *slab_arguments(prepared, projected, piece),
                plain(codes[piece.rows]), found,
            )  # fmt: skip
            result[piece.rows] = found
        return result

    def log_joint_of_singletons(self, prepared: Prepared, projected: Projected) -> Floats:
        """(n, H, 1) of each latent alone, relative to the zero state."""
        if self.slab == "full" or len(projected.observed):
            codes = np.broadcast_to(self._singletons, (len(projected.b), *self._singletons.shape))
            return (self.log_joint(prepared, projected, codes) - projected.zero[:, None])[:, :, None]
        result = np.empty(projected.b.shape)
        log_joint_of_singles(prepared.log_odds[:, 0], projected.b, prepared.mu, np.diagonal(prepared.gram), result)
        return result[:, :, None]

    def log_joint_of_neighbors(self, prepared: Prepared, projected: Projected, neighborhood: Neighborhood) -> Neighbors:
        """log p(s, y) of the states one change away from the parents."""
        if self.slab == "full" or (self.noise == "full" and len(projected.observed)):
            own = Projected(*(each[neighborhood.rows] for each in projected))
            return evaluated(self.space, neighborhood, lambda codes: self.log_joint(prepared, own, codes))
        found = Neighbors.unknown(self.space, neighborhood)
        fill_neighbors(
            neighborhood, prepared.log_odds[:, 0], projected.b, prepared.mu, prepared.gram, prepared.elements,
            np.ascontiguousarray(prepared.elements.T), projected.observed, found,
        )  # fmt: skip
        return found

    def log_prior(self, prepared: Prepared, codes: Codes) -> Floats:
        """(n, S) log p(s)."""
        result = np.empty(codes.shape[:2])
        log_prior_of_states(prepared.log_odds, prepared.log_prior_zero, codes, self.space.layout, result)
        return result

    def affinity(self, prepared: Prepared, projected: Projected, batch: Batch) -> Floats:
        """(n, H) log p(y | s) of each latent alone."""
        singletons = self.log_joint_of_singletons(prepared, projected)[:, :, 0] + projected.zero[:, None]
        return np.asarray(singletons - prepared.log_prior_zero - prepared.log_odds[:, 0])

    def accumulate(
        self, prepared: Prepared, projected: Projected, batch: Batch, codes: Codes, weights: Floats, sums: NamedArrays
    ) -> None:
        """Add the moments of a batch to the sums."""
        used = np.asarray(weights.any(axis=1))
        values = batch.values if used.all() else batch.values * used[:, None]
        for piece in pieces(prepared.factor, prepared.Sigma, projected.observed):
            found = moments_of(prepared, projected, piece, codes[piece.rows], weights[piece.rows])
            n_rows = int(np.count_nonzero(used[piece.rows]))
            self._add_latents(prepared, found, n_rows, sums)
            if piece.is_whole:
                sums["y_y"] += self._squares(values[piece.rows])
                sums["y_sz"] += cross_moment(values[piece.rows], found.means) * prepared.root
            else:
                second = unpacked(found.second)
                means = found.means * prepared.root
                y_y, y_sz = completed(piece, values[piece.rows], prepared.W, means, second, n_rows)
                sums["y_y"] += packed(y_y)
                sums["y_sz"] += y_sz
                sums["hidden_entropy"] += n_rows * entropies(cholesky(piece.remainder)).sum()
            if len(found.y_y):
                sums["y_y"] += found.y_y if self.noise == "diagonal" else found.y_y.sum()
                sums["y_sz"] += found.y_sz
                sums["hidden_entropy"] += np.sum((1.0 - projected.observed[used]) @ entropies(prepared.factor))

    def _add_latents(self, prepared: Prepared, found: SlabMoments, n_rows: int, sums: NamedArrays) -> None:
        """Add the moments of states and slabs, and the entropy of the slabs."""
        sums["n"] += n_rows
        sums["s"] += found.counts
        sums["sz"] += found.means.sum(axis=0) * prepared.root
        sums["szsz"] += found.second
        sums["hidden_entropy"] -= 0.5 * found.log_determinant
        if self.slab == "diagonal":
            sums["hidden_entropy"] += found.counts @ entropies(prepared.root)
            return
        Psi, mu = prepared.Psi, prepared.mu
        shift = Psi @ found.shift
        crossed = np.outer(mu, n_rows * 0.5 * mu + shift)
        sums["z"] += n_rows * mu + shift
        sums["zz"] += n_rows * Psi + Psi @ found.spread @ Psi + crossed + crossed.T
        sums["hidden_entropy"] += n_rows * entropies(cholesky(Psi)).sum()

    def posterior_means(
        self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats
    ) -> dict[str, Floats]:
        """`s_z` (n, H), the posterior means of the amplitudes, 0 where a latent is not active."""
        means = np.empty_like(projected.b)
        for piece in pieces(prepared.factor, prepared.Sigma, projected.observed):
            own = np.zeros_like(means[piece.rows])
            arguments = slab_arguments(prepared, projected, piece)
            add_means(*arguments, plain(codes[piece.rows]), plain(weights[piece.rows]), own)
            means[piece.rows] = own * prepared.root
        return {"s_z": means}

    def reconstruct(self, prepared: Prepared, projected: Projected, codes: Codes, weights: Floats) -> Floats:
        """(n, D) posterior predictive mean: W <z>, what is not noise, and in missing entries also what is known of it.

        The noise of a missing entry is expected at what that of the observed ones tells, where they are correlated.
        """
        predicted = self.posterior_means(prepared, projected, codes, weights)["s_z"] @ prepared.W.T
        if len(projected.values):
            for piece in pieces(prepared.factor, prepared.Sigma, projected.observed):
                own, known = predicted[piece.rows], piece.known
                own[:, ~known] += (projected.values[piece.rows] - own)[:, known] @ piece.gain.T
                predicted[piece.rows] = own
        return predicted

    def maximize(self, params: NamedArrays, sums: NamedArrays, step: MStep) -> NamedArrays:
        """The parameters of highest expected log joint."""
        new = params.copy()
        self._maximize_pi(new, params, sums["s"] / sums["n"], step)
        if "W" in step.learn:
            new["W"] = solve_least_change(unpacked(sums["szsz"]), sums["y_sz"], params["W"])
        self._maximize_slabs(new, sums, step)
        if step.learn & {"sigma", "Sigma"}:
            self._maximize_noise(new, sums)
        if "W" in step.learn:
            self._treat_unused(new, sums, step)
        return new

    def _treat_unused(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        unused = np.flatnonzero(sums["s"] <= UNUSED * sums["n"])
        if len(unused) == 0:
            return
        if self.unused == "redraw" and step.rng is not None:
            amplitudes = np.sqrt(new["mu"] ** 2 + self._slab_variances(new))[unused]
            elements = step.rng.standard_normal((len(new["W"]), len(unused)))
            new["W"][:, unused] = np.sqrt(self._mean_squares(sums))[:, None] * elements / amplitudes
            step.notes.append(f"{len(unused)} latents that no state used were drawn anew")
        else:
            step.notes.append(f"{len(unused)} latents that no state used keep their dictionary elements")

    def expected_log_joint(self, params: NamedArrays, sums: NamedArrays) -> float:
        """sum_n <log p(s, z, y_n)>_n."""
        prior = self._expected_log_activity(params, sums["s"], float(sums["n"]))
        return prior + self._expected_log_slabs(params, sums) + self._expected_log_likelihood(params, sums)

    def rounding(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Residuals of data and slabs are differences of large sums."""
        energies = self._largest_slab_energy(params, sums) + self._largest_noise_energy(params, sums)
        return 256 * _EPS * (float(sums["n"]) * len(params["W"]) + energies)

    def entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """Entropies of states, slabs and noise; where slabs are independent, of the active ones only."""
        return self._activity_entropy(params) + self._slab_entropy(params, sums) + self._noise_entropy(params)

    def sample(self, params: NamedArrays, n_rows: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Rows (n, D) and the binary states (n, H) that made them."""
        states = self._draw_active(params, n_rows, rng)
        clean = self.superimpose(params, states * self._draw_slabs(params, n_rows, rng))
        return clean + self._draw_noise(params, n_rows, rng), states
