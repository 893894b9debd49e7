"""Labels of rows: each component has a probability of each class, and a label is one more value that was observed.

p(k | c) = R_ck is learned with everything else; where no label is known, nothing is said. The class probabilities of a
row are sum_c q_c R_ck. With a Poisson mixture of normalized rows this is the classifier of Forster, Sheikh and Lücke
(Neural Simpletrons, Neural Computation 2018), whose second layer is R turned around by Bayes' rule.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.models._mixture import add_means
from prosper_ng.models.interface import Batch, Codes, Floats, MStep, ParameterSpec
from prosper_ng.numerics.constraints import Simplex
from prosper_ng.numerics.named_arrays import NamedArrays, Shape
from prosper_ng.numerics.sharing import row_sums, total
from prosper_ng.numerics.special import floored_shares

_LEAST = 1e-6
"""Of p(k | c): a label that is wrong must not make a row impossible."""
_SURE = 0.9
"""Of the class of the row that a component starts from."""


class ClassLabels:
    """The part of a mixture that concerns classes; without `n_classes` there is none of it."""

    n_components: int
    n_classes: int | None

    @property
    def learned_classes(self) -> int | None:
        """K; None where rows have no labels."""
        return self.n_classes

    def _class_specs(self) -> dict[str, ParameterSpec]:
        if self.n_classes is None:
            return {}
        shape = (self.n_components, self.n_classes)
        return {"R": ParameterSpec(shape, Simplex(_LEAST), "probability of each class in each component")}

    def _class_statistics(self) -> dict[str, Shape]:
        return {} if self.n_classes is None else {"classes": (self.n_components, self.n_classes)}

    def _initial_classes(self, labels: NDArray[np.int64]) -> dict[str, Floats]:
        """The classes of the first components, as far as they are known, are those of the rows they start from."""
        if self.n_classes is None:
            return {}
        R = np.full((self.n_components, self.n_classes), 1 / self.n_classes)
        R[: len(labels)] = (1 - _SURE) / (self.n_classes - 1)
        R[np.arange(len(labels)), labels] = _SURE
        return {"R": R}

    def _log_R(self, params: NamedArrays) -> Floats:
        """(C, K) log p(k | c)."""
        if self.n_classes is None:
            return np.empty((self.n_components, 0))
        return np.asarray(np.log(params["R"] / params["R"].sum(axis=1, keepdims=True)))

    def _labels(self, batch: Batch) -> NDArray[np.int64]:
        """(n,) classes, -1 where none is known; (0,) where none is of any row."""
        return np.empty(0, np.int64) if batch.labels is None or self.n_classes is None else batch.labels

    def _maximize_classes(self, new: NamedArrays, sums: NamedArrays, step: MStep) -> None:
        """The shares of the labels in each component; one without labels keeps its own."""
        if self.n_classes is None or "R" not in step.learn:
            return
        for c in np.flatnonzero(sums["classes"].sum(axis=1) > 0):
            new["R"][c] = floored_shares(sums["classes"][c], _LEAST)

    def _expected_log_classes(self, params: NamedArrays, sums: NamedArrays) -> float:
        return 0.0 if self.n_classes is None else total(row_sums(sums["classes"] * self._log_R(params)))

    def _class_entropy(self, params: NamedArrays, sums: NamedArrays) -> float:
        """The mean of minus log p(k | c) over all rows, those without labels with 0."""
        return 0.0 if self.n_classes is None else -self._expected_log_classes(params, sums) / float(sums["n"])

    def posterior_means(self, prepared: Any, projected: Any, codes: Codes, weights: Floats) -> dict[str, Floats]:
        """`classes` (n, K): the probability of each class, where there are any."""
        if self.n_classes is None:
            return {}
        found = np.zeros((len(codes), self.n_classes))
        add_means(codes, weights, np.exp(prepared.log_R), found)
        return {"classes": found}


@kernel
def add_log_classes(log_R: Any, labels: Any, codes: Any, result: Any) -> None:
    """Add to log joints (n, S) the log probabilities of what labels (n,) say."""
    for n in range(labels.shape[0]):
        if labels[n] >= 0:
            for s in range(codes.shape[1]):
                if codes[n, s, 0] < np.uint64(log_R.shape[0]):
                    result[n, s] += log_R[np.int64(codes[n, s, 0]), labels[n]]


@kernel
def add_labels(codes: Any, weights: Any, labels: Any, sums: Any) -> None:
    """Add the weights (n, S) to sums (C, K) of components and classes."""
    for n in range(labels.shape[0]):
        if labels[n] >= 0:
            for s in range(codes.shape[1]):
                if weights[n, s] != 0.0 and codes[n, s, 0] < np.uint64(sums.shape[0]):
                    sums[np.int64(codes[n, s, 0]), labels[n]] += weights[n, s]
