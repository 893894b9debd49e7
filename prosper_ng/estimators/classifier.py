"""Mixtures that tell classes, also from a few labels, as a classifier of scikit-learn."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.callback import with_callbacks
from sklearn.metrics import accuracy_score
from sklearn.utils import _safe_indexing
from sklearn.utils._missing import is_pandas_na
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples, check_is_fitted, column_or_1d

from prosper_ng.errors import UserError, listed, warn
from prosper_ng.estimators.base import Floats, Labeled
from prosper_ng.estimators.mixtures import Mixture

_SHOWN = 5
_WRITTEN = "-1", "nan", "None", "<NA>", ""
"""Texts that marks of rows without a label turn into where they are put among texts."""


class MixtureClassifier(
    ClassifierMixin, Mixture, kind="mixture",
    fixed={"n_classes": None}, n_components=None, observable="normal", unlabeled="auto",
):  # fmt: skip
    """A mixture whose components have a probability of each class, learned from rows with labels and without.

    Parameters
    ----------
    n_components : C, the number of components; where None as many as there are rows with labels, but at least one and
        at most ten for each class, and at most one for ten rows.
    observable, noise, equal_weights, unused, n_states, n_near, init, max_iter : those of `Mixture`.
    unlabeled : the value in y of rows whose class is not known, besides what is missing there (NaN, None, NA); None
        where there is no such value, so that -1 is a class. "auto" is -1 as in `sklearn.semi_supervised`, but for y of
        -1 and 1 alone, which are two classes; beside 0 and 1 alone or other negative numbers it has to be said which.

    All others are those of `SparseCoder`.

    Attributes
    ----------
    classes_ : (K,) the classes.
    params_ : all parameters by their symbols, R (C, K) the probability of each class in each component among them.
    means_, components_, weights_, lower_bound_, n_iter_, free_energy_trace_, learned_ : those of `Mixture`.

    NaN marks missing values of X. What is said of a row depends on nothing but what it holds. A component without
    labels says nothing of classes, so there should not be many more components than labels. The mathematics are those
    of Forster, Sheikh and Lücke (Neural Simpletrons, Neural Computation 2018).
    """

    unlabeled: Any
    warm_start: bool

    @with_callbacks
    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> "MixtureClassifier":
        """Learn from the rows of X (n, D), and what y (n,) says of their classes; see `unlabeled`.

        Each row counts as `sample_weight` (n,) rows, with its label. Raises ValueError where a parameter is not legal,
        the data do not suit the model or have fewer rows than there are components, or y is no classes of rows, of at
        least two classes. Ctrl-C ends learning with a warning, and with what the last whole sweep came to.
        """
        self._learn(X, y, sample_weight)
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the most probable class of each row of X (n, D); of equally probable ones the first of `classes_`."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, K) the probability of each class for each row of X (n, D)."""
        return np.asarray(self.posterior(X).other_means["classes"])

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """The share of the rows of X (n, D) whose class is told right, among those of which y (n,) has a label.

        Raises ValueError where it has none, or not one for each row.
        """
        check_is_fitted(self)
        values, is_known = _told(y, type(self).__name__, _num_samples(X))
        if self.unlabeled is not None:
            mark = -1 if _is(self.unlabeled, "auto") else self.unlabeled
            is_known[is_known] = ~_equal(values[is_known], mark) | _equal(self.classes_, mark).any()
        if not is_known.any():
            raise UserError("no row has a label in y, so there is nothing to be told right or wrong")
        numbers, known = np.flatnonzero(is_known), _plain(values[is_known])
        weights = None if sample_weight is None else _safe_indexing(sample_weight, numbers)
        predicted = self.predict(_safe_indexing(X, numbers))
        return float(accuracy_score(known, predicted, sample_weight=weights))

    def _number(self, rows: Floats, labeled: Labeled | None) -> Any:
        if self.n_components is not None or labeled is None:
            return self.n_components
        n_classes, n_labels = len(labeled.classes), int(np.count_nonzero(~np.isnan(labeled.numbers)))
        return max(n_classes, min(n_labels, 10 * n_classes, len(rows) // 10))

    def _labeled(self, y: object, rows: Floats, weights: Floats | None) -> Labeled:
        labeled = _labels(y, len(rows), self.unlabeled, type(self).__name__)
        before = getattr(self, "classes_", None)
        if self.warm_start and before is not None and not np.array_equal(before, labeled.classes):
            raise UserError(
                f"`warm_start`: the classes were {_named(before)} before, and are {_named(labeled.classes)} in y; "
                "other classes need a new start"
            )
        if weights is not None:
            counted = labeled.numbers[~np.isnan(labeled.numbers) & (weights > 0)].astype(np.int64)
            lost = labeled.classes[np.bincount(counted, minlength=len(labeled.classes)) == 0]
            if len(lost):
                raise UserError(f"all rows of class {_named(lost)} have a `sample_weight` of 0; leave them out")
        return labeled

    def _finish(self, rows: Floats, weights: Floats | None) -> None:
        R = self.params_["R"]
        is_silent = np.ptp(R, axis=1) == 0
        share = float(self.weights_[is_silent].sum())
        if share * len(rows) >= 1:
            warn(
                f"{np.count_nonzero(is_silent)} of {len(R)} components have no row with a label, and {share:.0%} of "
                "the rows are of them: there all classes are equally probable; take fewer components, or more labels"
            )


def _labels(y: object, n_rows: int, unlabeled: Any, name: str) -> Labeled:
    """What y (n_rows,) says of classes; UserError where it says none, or another number of them."""
    values, is_told = _told(y, name, n_rows)
    is_known, told = is_told.copy(), values[is_told]
    is_known[is_told] = True if unlabeled is None else ~_marked(told, unlabeled)
    if not is_known.any():
        raise UserError("no row has a label in y, and some of each class are needed")
    known = _plain(values[is_known])
    if known.dtype.kind == "f" and np.isinf(known).any():
        raise UserError("y holds infinity, which is no class")
    check_classification_targets(known)
    classes, numbers = np.unique(known, return_inverse=True)
    if len(classes) == 1:
        hint = "; `unlabeled=None` takes -1 for one" if _is(unlabeled, "auto") and _equal(told, -1).any() else ""
        raise UserError(f"y has labels of one class only, {_named(classes)}, and two are needed at least{hint}")
    found = np.full(n_rows, np.nan)
    found[is_known] = numbers
    return Labeled(classes, found)


class _Told(NamedTuple):
    values: NDArray[Any]
    """(n,) what y holds."""
    is_known: NDArray[np.bool_]
    """(n,) whether that is not missing."""


def _told(y: Any, name: str, n_rows: int) -> _Told:
    """What y (n_rows,) holds; ValueError where it is none, or of another shape."""
    if y is None:
        raise UserError(f"{name} requires y to be passed, but the target y is None")
    dtype = None if isinstance(y, np.ndarray) and y.dtype.kind in "biufSU" else object  # else NaN may become a text
    values = column_or_1d(np.ma.getdata(y) if np.ma.isMaskedArray(y) else y, warn=True, dtype=dtype)
    if len(values) != n_rows:
        raise UserError(f"y has {len(values)} labels for the {n_rows} rows of X")
    missing = np.ma.getmaskarray(y).reshape(-1) if np.ma.isMaskedArray(y) else np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    elif dtype is object:
        missing = missing | np.array(
            [each is None or is_pandas_na(each) or bool(each != each) for each in values], bool
        )
    return _Told(values, ~missing)


def _marked(values: NDArray[Any], unlabeled: Any) -> NDArray[np.bool_]:
    """(n,) which of the values stand for rows without a label; UserError where that cannot be told."""
    if not np.isscalar(unlabeled):
        raise UserError(f"`unlabeled` must be 'auto', None, or one value of y, not {unlabeled!r}")
    if not _is(unlabeled, "auto"):
        return _equal(values, unlabeled)
    marked = _equal(values, -1)
    if (texts := _written(values)) is not None:
        if len(texts):
            raise UserError(_asked(f"the text {texts[0]!r}", texts[0]))
        return marked
    others = np.unique(_plain(values[~marked]))
    if not marked.any() or np.array_equal(others, [1]):
        return np.zeros(len(values), bool)
    if np.array_equal(others, [0, 1]):
        raise UserError(_asked("-1, 0 and 1", -1))
    if len(others) and others[0] < 0:
        raise UserError(_asked(f"-1 beside other negative numbers ({_named(others[others < 0])})", -1))
    return marked


def _asked(what: str, mark: Any) -> str:
    return (
        f"y holds {what}: say `unlabeled={mark!r}` if rows with {mark!r} are of unknown class, or `unlabeled=None` if "
        "that is a class like the others"
    )


def _written(values: NDArray[Any]) -> list[str] | None:
    """The texts among values (n,) that may stand for none; None where there are no texts at all."""
    texts = values if values.dtype.kind == "U" else [each for each in values if isinstance(each, str)]
    if len(texts) == 0:
        return None
    return [each for each in _WRITTEN if each in texts]


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Values (n,) of one type; texts stay objects where they are. UserError where they are texts and others."""
    if values.dtype.kind != "O":
        return values
    n_texts = sum(isinstance(each, str) for each in values)
    if 0 < n_texts < len(values):
        other = next(each for each in values if not isinstance(each, str))
        raise UserError(f"y holds texts and others, such as {other!r}; classes must be of one kind")
    return values if n_texts else np.array(values.tolist())


def _equal(values: NDArray[Any], mark: Any) -> NDArray[np.bool_]:
    """(n,) which of the values are the mark, a text and a number never."""
    if values.dtype.kind in "biuf" and not isinstance(mark, str):
        return np.asarray(values == mark)
    return np.array([_is(each, mark) for each in values.tolist()], bool)


def _is(value: Any, mark: Any) -> bool:
    return isinstance(value, str) == isinstance(mark, str) and bool(value == mark)


def _named(classes: NDArray[Any]) -> str:
    return listed([repr(each) for each in classes.tolist()], _SHOWN)
