"""Mixtures of any observable as estimators of scikit-learn, in the words of its `GaussianMixture` and `KMeans`."""

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.callback import with_callbacks
from sklearn.utils import gen_batches
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from prosper_ng.data.memory_settings import text_of
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.estimators.base import Estimator, Floats, Labeled
from prosper_ng.inference.answers import Posterior
from prosper_ng.inference.learned import Learned
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.interface import learnable
from prosper_ng.models.roles import legal_value
from prosper_ng.parallel.memory import available_memory
from prosper_ng.training.settings import Training

Labels = NDArray[np.int32]

_NUMBERS = 1 << 21
"""Of those that are worked on together beside a result."""


class Clustering(Estimator):
    """What mixtures and k-means share: what they start from, what learning looks at, and labels of rows."""

    _defaults: ClassVar[Mapping[str, Any]] = {"n_near": 64, "init": "k-means++", "max_iter": 100}

    @with_callbacks
    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> "Clustering":
        """Learn from the rows of X (n, D), each of which counts as `sample_weight` (n,) rows; y is not looked at.

        Raises ValueError where a parameter is not legal, or the data do not suit the model or have fewer rows than
        there are components. Ctrl-C ends learning with a warning, and with what the last whole sweep came to.
        """
        self._learn(X, y, sample_weight)
        return self

    def predict(self, X: ArrayLike) -> Labels:
        """(n,) the component of each row of X (n, D), the most probable of all."""
        check_is_fitted(self)
        return self._labels(self._rows(X))

    def fit_predict(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Labels:
        """Learn from the rows of X (n, D); (n,) the component of each."""
        return self.fit(X, y, sample_weight).predict(X)

    def sample(self, n_samples: int = 1, seed: int = 0) -> tuple[Floats, Labels]:
        """Rows (n, D) drawn from the model, and the components (n,) that made them."""
        rows, states = super().sample(n_samples, seed)
        return rows, states[:, 0]

    def _labels(self, rows: Floats) -> Labels:
        return cast(Posterior, self._said_of(rows, "posterior")).states[:, 0, 0]

    @property
    def _asked(self) -> Learned:
        """Rows are held against all components, whatever learning looked at."""
        return dataclasses.replace(self.learned_, estep=Exhaustive())

    def _searching(self, number: Any) -> Mapping[str, Any]:
        """All components of each row; the best few of all; or those of the ones near to the best before."""
        n_states: dict[str, Any] = {} if self.n_states is None else {"n_states": self.n_states}
        if not all(isinstance(each, int | np.integer) for each in (number, self.n_near)) or number > self.n_near:
            return {"kind": "clusters", "n_near": self.n_near} | n_states
        if self.n_states is None:
            return {"kind": "exhaustive"}
        return {"kind": "clusters", "n_near": max(number, 1), "n_random": 0, "n_cells": max(number, 1)} | n_states

    def _settings(self, rows: Floats, labeled: Labeled | None = None) -> LearningSettings:
        settings, number = super()._settings(rows, labeled), self._number(rows, labeled)
        if number > len(rows):
            raise UserError(
                f"`{self._size}` is {number}, and the data have no more rows than n_samples={len(rows)}; choose at "
                "most as many as there are rows"
            )
        return settings

    def _start(self, settings: LearningSettings, rows: Floats) -> Learned | Mapping[str, Any] | None:
        start, init = super()._start(settings, rows), self.init
        if start is not None or (isinstance(init, str) and init == "k-means++"):
            return start
        specs = learnable(settings.model.parameters(rows.shape[1]))
        if not isinstance(init, Mapping):
            spec = specs["W"]
            return {"W": legal_value(spec, _array(init, spec.shape[::-1], "`init`").T, "`init`")}
        found = {}
        for name, value in init.items():
            if name not in specs:
                raise UserError(f"`init` holds {name!r}, and the parameters are {', '.join(specs)}")
            origin = f"`init`: {name}"
            found[name] = legal_value(specs[name], _array(value, specs[name].shape, origin), origin)
        return found or None


class Mixture(Clustering, kind="mixture", fixed={"n_classes": None}, n_components=1, observable="normal"):
    """A mixture of any observable: each row is of one component, and its entries are drawn for themselves.

    Parameters
    ----------
    n_components : C, the number of components.
    observable : the distribution of an entry: normal, poisson, bernoulli, exponential, gamma or beta.
    noise : of normal: "diagonal" for a variance of each entry in each component, "scalar" for one of all.
    equal_weights : whether all components are equally probable.
    unused : what becomes of a component that no row belongs to: "keep" where it is, or "redraw" from another.
    n_states : components that are kept of each row while learning; where None all if all are looked at, else 3.
    n_near : how many are looked at around each of these in a sweep; all where there are no more.
    init : "k-means++"; means (C, D) to start from; or parameters to start from by their symbols, as in `params_`.
    max_iter : sweeps over the rows, at most.

    All others are those of `SparseCoder`.

    Attributes
    ----------
    means_, components_ : (C, D) means of the entries.
    weights_ : (C,) probabilities of the components.
    params_ : all parameters by their symbols.
    lower_bound_ : F per row after the last sweep.
    n_iter_ : sweeps that were done.
    free_energy_trace_ : (n_iter_,) F per row after each sweep.
    learned_ : the `prosper_ng.Learned`, which answers by what learning looks at; the estimator looks at all components.

    NaN marks missing values. What is said of a row depends on nothing but what it holds.
    """

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, C) the probability of each component for each row of X (n, D).

        Raises UserError where so many numbers would not fit into memory.
        """
        check_is_fitted(self)
        rows, n_components = self._rows(X), len(self.components_)
        needed, free = 8 * len(rows) * n_components, available_memory()
        if free is not None and needed > free:
            raise UserError(
                f"probabilities of {n_components} components for {len(rows)} rows take {text_of(needed)}, and "
                f"{text_of(free)} are free; ask for fewer rows at a time, or for the best by posterior(X, top_k=5)"
            )
        found = np.empty((len(rows), n_components))
        for part in gen_batches(len(rows), max(1, _NUMBERS // n_components)):
            said = self._said_of(rows[part], "posterior", top_k=n_components)
            np.put_along_axis(found[part], said.states[:, :, 0], said.probabilities, axis=1)
        return found

    def score_samples(self, X: ArrayLike) -> Floats:
        """(n,) the log likelihood of each row of X (n, D), over its observed entries."""
        return super().score_samples(X)

    def _attributes(self, found: Learned, training: Training) -> dict[str, Any]:
        told = super()._attributes(found, training)
        weights, bound = found.model.activity(found.params), float(told["free_energy_trace_"][-1])
        return told | {"means_": told["components_"], "weights_": weights, "lower_bound_": bound}


class GaussianMixture(Mixture, kind="mixture", fixed={"observable": "normal", "n_classes": None}, n_components=1):
    """A mixture of Gaussians with a variance for each entry of each component, or one for all.

    `noise` "diagonal" is `covariance_type="diag"` of scikit-learn; "scalar" is one variance of all entries and
    components. `covariances_` (C, D) are the variances. All else is as in `Mixture`.
    """

    def _attributes(self, found: Learned, training: Training) -> dict[str, Any]:
        told, params = super()._attributes(found, training), found.params
        shape = told["means_"].shape
        variances = params["V"].T if "V" in params else np.full(shape, np.square(params["sigma"]))
        return told | {"covariances_": variances}


class MFA(Mixture, kind="mfa", n_components=1):
    """A mixture of factor analyzers: Gaussians whose entries vary together by `n_factors` factors, and by noise.

    `noise` is "diagonal" for a variance of each entry in each component, "scalar" for one in each component,
    "shared" for one in all. One component is `FactorAnalysis` of scikit-learn, or its probabilistic `PCA`. All else is
    as in `Mixture`.
    """


class KMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, Clustering,
    kind="mixture", fixed={"observable": "normal", "noise": "scalar", "equal_weights": True, "n_classes": None},
    n_clusters=8, n_states=1, max_iter=300, compute_labels=True,
):  # fmt: skip
    """Clusters of rows by their distance to centers: Gaussians of one variance, equally probable, one for each row.

    Parameters
    ----------
    n_clusters : C, the number of clusters.
    unused : what becomes of a center that no row belongs to: "keep" where it is, or "redraw" from another.
    n_states : clusters that a row belongs to while learning; with more than 1 in proportion to their probabilities.
    n_near : how many are looked at around each of these in a sweep; all where there are no more, as Lloyd's algorithm.
    init : "k-means++"; centers (C, D) to start from; or parameters to start from by their symbols, as in `params_`.
    max_iter : sweeps over the rows, at most.
    compute_labels : whether `fit` holds the rows against all centers at the end, for `labels_` and `inertia_`.

    All others are those of `SparseCoder`.

    Attributes
    ----------
    cluster_centers_, components_ : (C, D) the centers.
    labels_ : (N,) the cluster of each row.
    inertia_ : sum of the squared distances of the rows to their centers, over the observed entries, weighted.
    params_, n_iter_, free_energy_trace_, learned_ : those of `Mixture`.

    NaN marks missing values: distances are those of the observed entries.
    """

    _size = "n_clusters"

    def fit_predict(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Labels:
        """Learn from the rows of X (n, D); (n,) the nearest center of each."""
        self.fit(X, y, sample_weight)
        return self.labels_ if self.compute_labels else self.predict(X)

    def transform(self, X: ArrayLike) -> Floats:
        """(n, C) the distance of each row of X (n, D) to each center."""
        check_is_fitted(self)
        rows = self._known(self._rows(X))
        found, lacks = np.empty((len(rows), len(self.components_))), np.isnan(rows).any(axis=1)
        found[~lacks] = cdist(rows[~lacks], self.components_)
        for c, center in enumerate(self.components_):
            found[lacks, c] = np.sqrt(np.nansum(np.square(rows[lacks] - center), axis=1))
        return found

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the sum of the squared distances of the rows of X (n, D) to the nearest centers."""
        check_is_fitted(self)
        rows = self._rows(X)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, rows, dtype=np.float64)
        return -self._inertia(rows, self._labels(rows), weights)

    def _inertia(self, rows: Floats, labels: Labels, weights: Floats | None) -> float:
        """The sum over rows (n, D) of their squared distances to the centers of these labels, times weights (n,)."""
        rows, squares = self._known(rows), np.empty(len(rows))
        for part in gen_batches(len(rows), max(1, _NUMBERS // rows.shape[1])):
            squares[part] = np.nansum(np.square(rows[part] - self.components_[labels[part]]), axis=1)
        return float(squares.sum() if weights is None else squares @ weights)

    def _known(self, rows: Floats) -> Floats:
        """Rows (n, D) without what lies in columns of which `fit` saw no value."""
        unseen = self.learned_.never_observed
        return np.where(np.isin(np.arange(rows.shape[1]), unseen), np.nan, rows) if len(unseen) else rows

    def _attributes(self, found: Learned, training: Training) -> dict[str, Any]:
        told = super()._attributes(found, training)
        return told | {"cluster_centers_": told["components_"]}

    def _finish(self, rows: Floats, weights: Floats | None) -> None:
        for name in {"labels_", "inertia_"} & vars(self).keys():
            delattr(self, name)
        if self.compute_labels:
            self.labels_ = self._labels(rows)
            self.inertia_ = self._inertia(rows, self.labels_, weights)


def _array(value: Any, shape: tuple[int, ...], origin: str) -> Floats:
    """The numbers that were given; UserError where they are none, or of another shape."""
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise UserError(
            "`init` must be 'k-means++', an array of numbers, or a mapping of parameters to such, not "
            + reprlib.repr(value)
        ) from None
    if found.shape != shape:
        raise UserError(f"{origin} has the shape {found.shape}, and {shape} is needed")
    return found
