"""The classifier: scikit-learn's own checks, and what y may hold."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import prosper_ng
from prosper_ng.errors import UserError
from prosper_ng.estimators import MixtureClassifier
from tests.estimators.test_mixtures import excused

RNG = np.random.default_rng(0)
CLASS = RNG.integers(0, 3, 300)
X = 6.0 * np.array([[1, 0], [0, 1], [-1, -1]])[CLASS] + RNG.standard_normal((300, 2))
FEW = np.arange(300) < 12
NAMES = np.array(["ant", "bee", "cow"])[CLASS]


def six(**options):
    return MixtureClassifier(6, random_state=0, **options)


@pytest.mark.heavy
@parametrize_with_checks([MixtureClassifier(4), MixtureClassifier()], expected_failed_checks=excused)
def test_scikit_learn_has_nothing_to_complain_of(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([MixtureClassifier(4, n_near=2)], expected_failed_checks=excused)
def test_scikit_learn_has_nothing_to_complain_of_where_clusters_are_searched_for(estimator, check):
    check(estimator)


def listed(values):
    return [value if known else None for value, known in zip(values.tolist(), FEW, strict=True)]


@pytest.mark.parametrize(
    "y",
    [
        CLASS,
        np.where(FEW, CLASS, -1),
        np.where(FEW, CLASS, np.nan),
        np.where(FEW, NAMES, None),
        np.where(FEW, NAMES.astype(object), -1),
        np.ma.array(CLASS, mask=~FEW),
        listed(NAMES),
        [float("nan") if each is None else each for each in listed(NAMES)],
        pd.Series(CLASS, dtype="Int64").where(FEW),
        pd.Series(NAMES, dtype="string").where(FEW),
        pd.Series(NAMES, dtype="category").where(FEW),
    ],
)
def test_labels_of_all_kinds_and_rows_without(y):
    found = six().fit(X, y)
    names = NAMES if isinstance(found.classes_[0], str) else CLASS
    np.testing.assert_array_equal(found.classes_, np.unique(names))
    assert np.mean(found.predict(X) == names) > 0.99
    assert found.score(X, y) == 1
    probabilities = found.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(found.classes_[probabilities.argmax(axis=1)], found.predict(X))
    np.testing.assert_array_equal(clone(found).fit_predict(X, y), found.predict(X))


@pytest.mark.parametrize(
    ("y", "unlabeled", "classes"),
    [
        (np.where(CLASS == 0, -1, 1), "auto", [-1, 1]),
        (np.where(CLASS == 0, -1.0, 1.0), "auto", [-1, 1]),
        (CLASS - 1, None, [-1, 0, 1]),
        (CLASS - 1, -1, [0, 1]),
        (CLASS, 2, [0, 1]),
        (np.where(FEW, NAMES, "nan"), "nan", ["ant", "bee", "cow"]),
        (NAMES, "cow", ["ant", "bee"]),
        (CLASS == 1, "auto", [False, True]),
    ],
)
@pytest.mark.filterwarnings("ignore:. of 6 components have no row with a label")
def test_which_rows_have_no_label_is_a_parameter(y, unlabeled, classes):
    found = six(unlabeled=unlabeled).fit(X, y)
    assert found.classes_.tolist() == classes
    labeled = np.isin(y, classes)
    assert found.score(X, y) == np.mean(found.predict(X[labeled]) == y[labeled])


@pytest.mark.parametrize(
    ("y", "options", "sentence"),
    [
        (CLASS - 1, {}, "y holds -1, 0 and 1: say `unlabeled=-1` if rows with -1 are of unknown class, or"),
        (CLASS - 2, {}, r"-1 beside other negative numbers \(-2\): say"),
        (np.where(FEW, 0, -1), {}, "labels of one class only, 0, .* at least; `unlabeled=None` takes -1 for one"),
        (np.array(["-1", *NAMES[1:]]), {}, "y holds the text '-1': say `unlabeled='-1'` if"),
        (np.where(FEW, NAMES, ""), {}, "y holds the text '': say"),
        (np.zeros(300), {}, "labels of one class only, 0.0, and two are needed at least$"),
        (np.full(300, np.nan), {}, "no row has a label in y"),
        (np.full(300, -1), {}, "no row has a label in y"),
        (CLASS[:299], {}, "y has 299 labels for the 300 rows of X"),
        (np.stack([CLASS, CLASS], axis=1), {}, r"y should be a 1d array, got an array of shape \(300, 2\)"),
        (X[:, 0], {}, "Unknown label type: continuous"),
        (np.where(FEW, CLASS, np.inf), {}, "y holds infinity, which is no class"),
        (np.array([1, "a"] * 150, object), {}, "y holds texts and others, such as 1"),
        (None, {}, "MixtureClassifier requires y to be passed"),
        (CLASS, {"unlabeled": [1]}, r"`unlabeled` must be 'auto', None, or one value of y, not \[1\]"),
        (CLASS, {"n_components": 301}, "`n_components` is 301, and the data have no more rows than n_samples=300"),
        (CLASS, {"n_components": "a"}, "`n_components` must be an integer greater than 0, not the text"),
    ],
)
def test_what_cannot_be_learned_from_is_told_in_one_sentence(y, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        six().set_params(**options).fit(X, y)


def test_labels_of_rows_that_do_not_count_are_none():
    with pytest.raises(UserError, match="all rows of class 2 have a `sample_weight` of 0; leave them out"):
        six().fit(X, CLASS, (CLASS != 2).astype(float))
    found = six().fit(X, np.where(FEW, 0, CLASS), np.where(FEW, 0.0, 2.0))
    np.testing.assert_array_equal(found.predict(X), CLASS)
    assert found.score(X, np.where(FEW, 9, CLASS), np.where(FEW, 0.0, 2.0)) == 1


def test_components_without_labels_are_a_warning():
    with pytest.warns(UserWarning, match="of 60 components have no row with a label, and .*% of the rows are of them"):
        MixtureClassifier(60, random_state=0).fit(X, np.where(FEW, CLASS, -1))


def test_a_score_is_of_rows_with_labels_and_of_all_rows_given():
    found = six().fit(X, CLASS)
    wrong = np.where(np.arange(300) < 3, -1, (CLASS + 1) % 3)
    assert found.score(X, wrong) == 0
    with pytest.raises(UserError, match="no row has a label in y, so there is nothing to be told"):
        found.score(X, np.full(300, -1))
    with pytest.raises(UserError, match="y has 5 labels for the 300 rows of X"):
        found.score(X, CLASS[:5])
    with pytest.raises(ValueError, match="Mix of label input types"):
        found.score(X, NAMES)


def test_how_many_components_there_are_where_that_is_not_said():
    assert len(MixtureClassifier(random_state=0).fit(X, CLASS).means_) == 30
    assert len(MixtureClassifier(random_state=0).fit(X, np.where(FEW, CLASS, -1)).means_) == 12
    assert len(MixtureClassifier(random_state=0).fit(X[:40], CLASS[:40]).means_) == 4


def test_the_same_bits_as_learn():
    found = six(max_iter=4, tol=0).fit(X, np.where(FEW, NAMES, None))
    model = {"kind": "mixture", "n_components": 6, "n_classes": 3}
    training, labels = {"n_sweeps": 4}, np.where(FEW, CLASS, np.nan)
    known = prosper_ng.learn(X, model, estep="exhaustive", labels=labels, training=training, progress=False)
    assert found.learned_.digest == known.digest
    np.testing.assert_array_equal(found.predict_proba(X), known.posterior(X).other_means["classes"])


def test_it_serves_in_pipelines_searches_clones_and_pickles():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), six()), {"mixtureclassifier__n_components": [1, 6]}, cv=3
    ).fit(X, NAMES)  # fmt: skip
    assert search.best_params_ == {"mixtureclassifier__n_components": 6}
    best = search.best_estimator_
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(X), best.predict(X))
    assert clone(best[-1]).get_params() == best[-1].get_params()
    assert cross_val_score(six(), X, np.where(FEW | (CLASS == 2), CLASS, -1), cv=3).min() > 0.9
    frame = pd.DataFrame(X, columns=["x", "y"])
    told = six().fit(frame, pd.Series(NAMES))
    assert told.score(frame, pd.Series(NAMES)) == 1
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        told.predict(frame[["y", "x"]])


def test_callbacks_can_ask_for_classes():
    monitor = ScoringMonitor(scoring="accuracy")
    six(max_iter=3, tol=0).set_callbacks(monitor).fit(X, NAMES)
    scores = [entry["accuracy"] for entry in monitor.get_logs().data if entry["task_name"] == "sweep"]
    assert len(scores) == 3
    assert scores[-1] == 1


def test_a_warm_start_is_of_the_same_classes_and_a_fit_that_fails_leaves_all_as_it_was():
    found = six(warm_start=True).fit(X, NAMES)
    assert found.fit(X, NAMES).score(X, NAMES) == 1
    with pytest.raises(UserError, match="the classes were 'ant', 'bee', 'cow' before, and are 0, 1, 2 in y"):
        found.fit(X, CLASS)
    assert found.score(X, NAMES) == 1
