"""Estimators of mixtures: scikit-learn's own checks, its `KMeans` and `GaussianMixture` in the same run, odd data."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn import cluster, mixture
from sklearn.base import clone
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data as check_weights
from sklearn.utils.estimator_checks import parametrize_with_checks

import prosper_ng
from prosper_ng.cli import main
from prosper_ng.components import components_of
from prosper_ng.errors import UserError
from prosper_ng.estimators import MFA, GaussianMixture, KMeans, Mixture, mixtures
from tests.estimators.test_sparse_coder import CLASSES as CODERS
from tests.estimators.test_sparse_coder import Stopper

CLASSES = [Mixture, GaussianMixture, KMeans, MFA]


def blobs(n_clusters, n_observed=5, n_rows=600, spread=4.0, seed=2):
    """Rows (n, D) around centers at random, and which (n,)."""
    rng = np.random.default_rng(seed)
    centers, labels = spread * rng.standard_normal((n_clusters, n_observed)), rng.integers(n_clusters, size=n_rows)
    return centers[labels] + rng.standard_normal((n_rows, n_observed)), labels


@pytest.fixture(scope="module")
def X():
    """Rows (600, 5) of 6 clusters."""
    return blobs(6)[0]


@pytest.fixture(scope="module")
def holes(X):
    """The same, of which a tenth of the values are missing."""
    return np.where(np.random.default_rng(3).random(X.shape) < 0.1, np.nan, X)


def excused(estimator):
    """What its own `KMeans` is excused from as well: k-means++ draws rows, and repeated ones are more of them."""
    return {"check_sample_weight_equivalence_on_dense_data": "starts are drawn among rows"}


@pytest.mark.heavy
@parametrize_with_checks([each(4) for each in CLASSES], expected_failed_checks=excused)
def test_scikit_learn_has_nothing_to_complain_of(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([each(4, n_near=2) for each in CLASSES], expected_failed_checks=excused)
def test_scikit_learn_has_nothing_to_complain_of_where_clusters_are_searched_for(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "one",
    [
        *(each(1) for each in CLASSES),
        KMeans(4, init=np.random.default_rng(0).random((4, 30))),
        GaussianMixture(4, init={"W": np.random.default_rng(0).random((30, 4)), "V": np.full((30, 4), 0.1)}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_weights_are_repetitions_where_nothing_is_drawn(one):
    check_weights(type(one).__name__, one)


def test_weights_are_those_of_kmeans(X):
    weights = np.random.default_rng(4).integers(0, 4, len(X)) / 2
    options = {"init": X[:6], "max_iter": 3, "tol": 0}
    other = cluster.KMeans(6, n_init=1, **options).fit(X, sample_weight=weights)
    found = KMeans(6, **options).fit(X, sample_weight=weights)
    np.testing.assert_allclose(found.cluster_centers_, other.cluster_centers_, rtol=0, atol=1e-9)
    assert found.inertia_ == pytest.approx(other.inertia_, rel=1e-9)
    assert found.score(X, sample_weight=weights) == pytest.approx(-found.inertia_, rel=1e-12)
    np.testing.assert_array_equal(KMeans(6, **options).fit_predict(X, sample_weight=weights), found.labels_)
    with pytest.raises(UserError, match=r"the weight of row 2 \(counted from 0\) is -1; legal are 0 and numbers from"):
        found.fit(X, sample_weight=np.where(np.arange(len(X)) == 2, -1.0, 1.0))


def test_every_model_is_an_estimator():
    others = {"bvae", "glyphs", "laplace", "streams"}
    assert others | {each.kind for each in [*CODERS, *CLASSES]} == set(components_of("prosper_ng.models"))


@pytest.mark.parametrize(("n_clusters", "n_near"), [(12, 64), (80, 80)])
@pytest.mark.parametrize("n_sweeps", [1, 2, 3, 8])
def test_centers_are_those_of_lloyd_in_each_sweep(n_clusters, n_near, n_sweeps):
    X = blobs(n_clusters)[0] + 1e3
    init = X[:n_clusters]
    options = {"init": init, "max_iter": n_sweeps, "tol": 0}
    other = cluster.KMeans(n_clusters, n_init=1, algorithm="lloyd", **options).fit(X)
    found = KMeans(n_clusters, n_near=n_near, **options).fit(X)
    np.testing.assert_allclose(found.cluster_centers_, other.cluster_centers_, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.labels_, other.labels_)
    np.testing.assert_array_equal(found.predict(X[:50]), found.labels_[:50])
    np.testing.assert_allclose([found.inertia_, found.score(X)], [other.inertia_, other.score(X)], rtol=1e-9)
    np.testing.assert_allclose(found.transform(X), other.transform(X), atol=1e-6)


@pytest.mark.parametrize("n_sweeps", [1, 5, 40])
def test_likelihoods_are_those_of_gaussian_mixture_from_the_same_start(n_sweeps):
    X = blobs(8, spread=1.5)[0]
    means, precisions, weights = X[:8], np.full((8, 5), 0.3), np.full(8, 1 / 8)
    other = mixture.GaussianMixture(
        8, covariance_type="diag", reg_covar=0, max_iter=n_sweeps, tol=0,
        means_init=means, precisions_init=precisions, weights_init=weights,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        other.fit(X)
    init = {"W": means.T, "V": 1 / precisions.T, "pi": weights}
    found = GaussianMixture(8, init=init, max_iter=n_sweeps, tol=0).fit(X)
    assert found.score(X) == pytest.approx(other.score(X), abs=1e-9)
    for name in ("means_", "covariances_", "weights_"):
        np.testing.assert_allclose(getattr(found, name), getattr(other, name), atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.score_samples(X), other.score_samples(X), atol=1e-9)
    np.testing.assert_allclose(found.predict_proba(X), other.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(found.predict(X), other.predict(X))
    assert found.lower_bound_ <= found.score(X)


def test_one_component_of_factors_is_factor_analysis():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 1)) @ rng.normal(0.0, 2.0, (1, 6)) + rng.standard_normal((300, 6))
    found = MFA(n_factors=1, tol=0, max_iter=40, random_state=1).fit(X)
    assert found.score(X) == pytest.approx(FactorAnalysis(1, tol=1e-9, max_iter=5000).fit(X).score(X), abs=1e-9)


def test_the_start_of_its_own_finds_the_clusters():
    X, labels = blobs(6)
    for each in (KMeans(6, random_state=1), Mixture(6, random_state=1), GaussianMixture(6, random_state=1)):
        assert adjusted_rand_score(labels, each.fit_predict(X)) > 0.95


@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_bits_as_from_the_command(kind, X, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)
    options = ["noise: scalar, equal_weights: true", "clusters, n_states: 1, n_near: 2"]
    options = options if kind is KMeans else ["noise: diagonal", "clusters, n_states: 3, n_near: 2"]
    (tmp_path / "run.yaml").write_text(
        f"name: twin\nseed: 3\ndata: {{kind: npy, path: rows.npy}}\n"
        f"model: {{kind: {kind.kind}, n_components: 6, {options[0]}}}\nestep: {{kind: {options[1]}}}\n"
        "training: {n_sweeps: 4, updates_per_sweep: 2}\noutput: {figures: false}\n"
    )
    assert main(["run", "run.yaml", "--quiet"]) == 0
    one = kind(6, n_near=2, max_iter=4, n_updates=2, tol=0, random_state=3)
    fitted = [clone(one).set_params(n_jobs=n_jobs).fit(X) for n_jobs in (None, 2)]
    assert {each.learned_.digest for each in fitted} == {prosper_ng.load("runs/twin").digest}
    np.testing.assert_array_equal(fitted[0].predict(X), fitted[1].predict(X))


def test_labels_are_the_nearest_of_all_where_learning_looked_at_few():
    X = blobs(100, 10, 1500)[0]
    found = KMeans(100, random_state=1, n_near=5, max_iter=5).fit(X)
    assert found.learned_.estep.n_near == 5
    squares = cdist(X, found.cluster_centers_, "sqeuclidean")
    np.testing.assert_array_equal(found.labels_, squares.argmin(axis=1))
    assert found.inertia_ == pytest.approx(squares.min(axis=1).sum(), rel=1e-12)
    np.testing.assert_array_equal(KMeans(100, random_state=1, n_near=5, max_iter=5).fit_predict(X), found.labels_)
    found.set_params(compute_labels=False).fit(X)
    assert not hasattr(found, "labels_")
    np.testing.assert_array_equal(found.fit_predict(X), squares.argmin(axis=1))


def test_what_learning_looks_at_is_chosen_by_how_many_there_are(X):
    def looked_at(each):
        return each._searching(getattr(each, each._size))

    assert looked_at(Mixture(64)) == looked_at(Mixture(65, n_near=65)) == {"kind": "exhaustive"}
    assert looked_at(Mixture(65)) == {"kind": "clusters", "n_near": 64}
    assert looked_at(Mixture(65, n_near=8, n_states=2)) == {"kind": "clusters", "n_near": 8, "n_states": 2}
    assert looked_at(KMeans(65)) == {"kind": "clusters", "n_near": 64, "n_states": 1}
    assert looked_at(KMeans(3)) == {"kind": "clusters", "n_near": 3, "n_random": 0, "n_cells": 3, "n_states": 1}
    assert KMeans(3, estep="exhaustive", max_iter=2).fit(X).learned_.estep.kind == "exhaustive"


def test_missing_values_count_for_nothing(X, holes):
    found = KMeans(6, random_state=1).fit(holes)
    assert adjusted_rand_score(found.labels_, KMeans(6, random_state=1).fit(X).labels_) > 0.9
    distances = np.sqrt(np.nansum((holes[:, None] - found.cluster_centers_) ** 2, axis=2))
    np.testing.assert_allclose(found.transform(holes), distances, rtol=1e-12)
    np.testing.assert_array_equal(found.labels_, distances.argmin(axis=1))
    assert found.inertia_ == pytest.approx(np.square(distances.min(axis=1)).sum())
    np.testing.assert_array_equal(
        found.reconstruct(holes)[0], np.where(np.isnan(holes[0]), found.components_[found.labels_[0]], holes[0])
    )
    soft = GaussianMixture(6, random_state=1).fit(holes)
    assert np.isfinite(soft.score_samples(holes)).all()
    np.testing.assert_allclose(soft.predict_proba(holes).sum(axis=1), 1)


def test_a_column_that_was_never_observed_counts_for_nothing_later(X):
    hidden = X.copy()
    hidden[:, 2] = np.nan
    with pytest.warns(UserWarning, match="no value of column 2"):
        found = KMeans(6, random_state=1).fit(hidden)
    with warnings.catch_warnings(action="ignore"):
        assert found.score(X) == pytest.approx(-found.inertia_)
    np.testing.assert_allclose(found.transform(X), found.transform(hidden))


def test_other_observables(X):
    counts = np.random.default_rng(1).poisson(np.exp(X / 4))
    found = Mixture(6, observable="poisson", random_state=1).fit(counts)
    assert found.means_.shape == (6, 5)
    assert found.weights_.sum() == pytest.approx(1)
    rows, labels = found.sample(2000, seed=2)
    assert (rows == rows.round()).all()
    for c, mean in enumerate(found.means_):
        own = rows[labels == c]
        assert (np.abs(own.mean(axis=0) - mean) < 5 * np.sqrt((mean + 0.01) / len(own))).all()
    on = (X > 0).astype(float)
    assert Mixture(3, observable="bernoulli", random_state=1).fit(on).score(on) < 0


def test_probabilities_are_made_piece_by_piece_and_refused_where_they_do_not_fit(X, monkeypatch):
    found = GaussianMixture(6, random_state=1, max_iter=3).fit(X)
    whole = found.predict_proba(X)
    monkeypatch.setattr(mixtures, "_NUMBERS", 100)
    np.testing.assert_array_equal(found.predict_proba(X), whole)
    np.testing.assert_array_equal(whole.argmax(axis=1), found.predict(X))
    monkeypatch.setattr(mixtures, "available_memory", lambda: 20_000)
    with pytest.raises(
        UserError, match=r"6 components for 600 rows take 28\.1 KiB, and 19\.5 KiB are free; ask for fe"
    ):
        found.predict_proba(X)


def test_it_serves_in_pipelines_searches_clones_and_pickles(X):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianMixture(random_state=0)),
        {"gaussianmixture__n_components": np.array([1, 3, 6])}, cv=2,
    ).fit(X)  # fmt: skip
    assert search.best_params_ == {"gaussianmixture__n_components": 6}
    best = search.best_estimator_
    copy = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(copy.predict_proba(X), best.predict_proba(X))
    assert clone(best[-1]).get_params() == best[-1].get_params()
    frame = pd.DataFrame(X, columns=list("abcde"))
    told = KMeans(3, random_state=0).set_output(transform="pandas").fit(frame)
    assert list(told.transform(frame).columns) == ["kmeans0", "kmeans1", "kmeans2"]
    assert told.learned_.column_names == tuple("abcde")
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        told.predict(frame[list("edcba")])


def test_it_goes_on_from_where_it_stood_and_callbacks_end_it(X):
    found = GaussianMixture(6, random_state=1, max_iter=4, tol=0, warm_start=True, init=X[:6]).fit(X)
    before = found.score(X)
    assert found.fit(X).free_energy_trace_[0] >= before - 1e-9
    stopper = Stopper()
    stopper.on_fit_task_end = lambda estimator, context, **_: context.task_name == "sweep"
    ended = KMeans(6, random_state=1).set_callbacks(stopper).fit(X)
    assert (ended.n_iter_, len(ended.labels_)) == (1, 600)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_few_rows_few_columns_and_equal_rows(X, offset):
    with warnings.catch_warnings(action="error"):
        assert KMeans(20, random_state=1).fit(X[:20] + offset).inertia_ == pytest.approx(0, abs=1e-6)
        one = KMeans(3, random_state=1).fit(X[:, :1] + offset)
        assert one.inertia_ == pytest.approx(-one.score(X[:, :1] + offset))
        assert KMeans(4, random_state=1).fit(np.repeat(X[:2], 10, axis=0) + offset).inertia_ < 1e-6
        twice = GaussianMixture(4, random_state=1).fit(np.repeat(X[:2], 10, axis=0) + offset)
    np.testing.assert_allclose(twice.predict_proba(X[:2] + offset).sum(axis=1), 1)
    assert (twice.covariances_ > 0).all()


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (KMeans(0), "KMeans(...): error: `n_clusters` must be an integer greater than 0, not the integer `0`"),
        (KMeans(7), "`n_clusters` is 7, and the data have no more rows than n_samples=6; choose at most as many as "),
        (GaussianMixture(7), "`n_components` is 7, and the data have no more rows than n_samples=6"),
        (Mixture(None), "Mixture(...): error: `n_components` must be an integer greater than 0, not null"),
        (KMeans(3, n_near=0), "`n_near` must be an integer greater than 0"),
        (KMeans(3, n_near="all"), "`n_near` must be an integer greater than 0"),
        (Mixture(3, n_states=0), "`n_states` must be an integer greater than 0"),
        (Mixture(3, observable="posson"), "unknown kind `posson` of `observable`; did you mean `poisson`?"),
        (Mixture(3, estep="search"), "estep search cannot work on the states of model mixture"),
        (GaussianMixture(3, noise="full"), "`noise` must be `scalar` or `diagonal`"),
        (KMeans(3, init="random"), "`init` must be 'k-means++', an array of numbers, or a mapping of parameters to"),
        (KMeans(3, init=np.zeros((2, 5))), "`init` has the shape (2, 5), and (3, 5) is needed"),
        (KMeans(3, init=np.full((3, 5), np.nan)), "`init` (mean of each component) must be a finite number, not nan"),
        (GaussianMixture(3, init={"w": 1}), "`init` holds 'w', and the parameters are W, V, pi"),
        (GaussianMixture(3, init={"pi": [0.5, 0.5]}), "`init`: pi has the shape (2,), and (3,) is needed"),
    ],
)  # fmt: skip
def test_what_is_not_legal_is_told_in_one_sentence(one, sentence, X):
    with pytest.raises(UserError) as caught:
        one.fit(X[:6])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("method", ["predict", "transform", "score", "score_samples"])
def test_nothing_is_said_before_it_is_learned(X, method):
    with pytest.raises(NotFittedError):
        getattr(KMeans(3), method)(X)
