"""The posterior over preselected states of a model with linear superposition, by its marginals."""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.candidates import Preselected
from prosper_ng.latents.posterior import Mask, Tempering
from prosper_ng.models.interface import Batch, Floats
from prosper_ng.models.linear.kernels import Prepared, Projected, centered
from prosper_ng.models.linear.tree import Marginals, Quadratic, add_moments, marginals
from prosper_ng.numerics.linear import cross_moment
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.special import gaussian_entropy


class LinearPosterior:
    """q_n of preselected states: probabilities of each latent's values and second moments of the candidates."""

    n_accepted = 0

    def __init__(
        self, alphabet: Floats, prepared: Prepared, projected: Projected, batch: Batch, chosen: Preselected,
        tempering: Tempering,
    ) -> None:  # fmt: skip
        """Find the marginals; where they are tempered, the free energy takes a second pass."""
        self.alphabet, self.prepared, self.projected, self.batch, self.chosen = (
            alphabet, prepared, projected, batch, chosen,
        )  # fmt: skip
        plain = _quadratic(prepared, projected)
        self.marginals: Marginals = marginals(_tempered(plain, prepared, tempering), alphabet, chosen)
        self.entropy = self.marginals.entropy
        self.free_energy = self.marginals.free_energy
        if tempering.temperature != 1:
            self.free_energy = marginals(plain, alphabet, chosen, only_free_energy=True).free_energy
        n_nonzero = len(alphabet) - 1
        n_combined = int(np.count_nonzero(chosen.tree.depths > 1))
        self.n_evaluated = len(batch.values) * (1 + prepared.W.shape[1] * n_nonzero + n_combined)

    @property
    def n_bytes(self) -> int:
        """Of the marginals."""
        return sum(array.nbytes for array in self.marginals)

    def means(self) -> Floats:
        """(n, H) <s>."""
        if len(self.alphabet) == 2 and self.alphabet[1] == 1:
            return self.marginals.masses[:, :, 0]
        return self.marginals.masses @ self.alphabet[1:]

    def accumulate(self, kept: Mask | None, sums: NamedArrays) -> None:
        """Add the moments of the rows that are kept."""
        masses, means, values = self.marginals.masses, self.means(), centered(self.prepared, self.batch)
        rows = np.ones(len(values), bool) if kept is None else kept
        if kept is not None:
            means, values = means * kept[:, None], values * kept[:, None]
        sums["n"] += add_moments(
            self.alphabet, self.chosen.candidates, rows, masses, self.marginals.pairs, sums["counts"], sums["s_s"]
        )  # fmt: skip
        sums["y_y"] += np.vdot(values, values)
        sums["y_s"] += cross_moment(values, means)
        if "y" in sums:
            sums["y"] += values.sum(axis=0)
        if len(self.projected.missing):
            self._accumulate_missing(rows, means, sums)

    def _accumulate_missing(self, rows: Mask, means: Floats, sums: NamedArrays) -> None:
        """Add the moments of the missing entries, which are hidden."""
        prepared, variance = self.prepared, 1.0 / self.prepared.precision
        y = sums["y"] if "y" in sums else np.zeros(len(prepared.W))
        squares = self.marginals.masses @ self.alphabet[1:] ** 2
        n_missing = _add_missing(
            self.projected.missing, rows, np.ascontiguousarray(prepared.W.T), prepared.mu - prepared.center, variance,
            means, squares, self.chosen.candidates, self.marginals.pairs, y, sums["y_y"].reshape(1), sums["y_s"],
        )  # fmt: skip
        sums["hidden_entropy"] += n_missing * gaussian_entropy(float(np.sqrt(variance)), 1)

    def reconstruct(self) -> Floats:
        """(n, D) posterior predictive mean W <s> + mu."""
        return self.means() @ self.prepared.W.T + self.prepared.mu


def _quadratic(prepared: Prepared, projected: Projected) -> Quadratic:
    missing = projected.missing
    elements = np.ascontiguousarray(prepared.W.T) if len(missing) else np.empty((0, 0))
    return Quadratic(projected.zero, projected.singletons, prepared.gram, elements, prepared.precision, missing)


def _tempered(plain: Quadratic, prepared: Prepared, tempering: Tempering) -> Quadratic:
    """The log joints that weights are made from: another quadratic function."""
    if tempering.temperature == 1:
        return plain
    beta = 1.0 / tempering.temperature
    prior = np.zeros_like(prepared.log_odds) if tempering.anneal_prior else prepared.log_odds
    singletons = (plain.singletons - prior) * beta + prior
    return plain._replace(singletons=singletons, gram=beta * plain.gram, precision=beta * plain.precision)


@kernel
def _add_missing(
    missing: Any, rows: Any, elements: Any, mu: Any, variance: float, means: Any, squares: Any, candidates: Any,
    pairs: Any, y: Any, y_y: Any, y_s: Any,
) -> np.int64:  # fmt: skip
    """Complete sum y (D,), sum yᵀy (1,) and sum y<s>ᵀ (D, H) by the missing entries; how many there are.

    A missing entry is W_d s + mu_d plus noise, so it needs <s> and <s sᵀ> only.
    """
    n_candidates = candidates.shape[1]
    n_missing = np.int64(0)
    for n in range(missing.shape[0]):
        if not rows[n]:
            continue
        for d in range(missing.shape[1]):
            if not missing[n, d]:
                continue
            n_missing += 1
            mean, square = mu[d], mu[d] * mu[d] + variance
            for h in range(elements.shape[0]):
                mean += elements[h, d] * means[n, h]
                square += elements[h, d] * (2.0 * mu[d] * means[n, h] + elements[h, d] * squares[n, h])
                y_s[d, h] += mu[d] * means[n, h] + elements[h, d] * squares[n, h]
            place = 0
            for i in range(n_candidates):
                a = candidates[n, i]
                for j in range(i + 1, n_candidates):
                    b, both = candidates[n, j], pairs[n, place]
                    place += 1
                    y_s[d, a] += elements[b, d] * both
                    y_s[d, b] += elements[a, d] * both
                    square += 2.0 * elements[a, d] * elements[b, d] * both
            y[d] += mean
            y_y[0] += square
    return n_missing
