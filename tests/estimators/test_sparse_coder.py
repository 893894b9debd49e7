"""Estimators: scikit-learn's own checks, and what they do not see."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import prosper_ng
from prosper_ng import estimators
from prosper_ng.cli import main
from prosper_ng.components import components_of
from prosper_ng.config.hints import fields_of
from prosper_ng.errors import UserError
from prosper_ng.estimators import (
    BSC,
    DSC,
    EFMCA,
    GSC,
    MCA,
    MMCA,
    SBN,
    TSC,
    BinaryVAE,
    Laplace,
    NoisyOR,
    SparseCoder,
    Streams,
)

CLASSES = [BSC, TSC, DSC, MCA, MMCA, EFMCA, GSC, NoisyOR, SBN]
BASIS = np.array([[3.0, 0, 0, 3, 0, 0], [0, 3, 3, 0, 0, 0], [0, 0, 0, 0, 3, 3]])


@pytest.fixture(scope="module")
def X():
    """Rows (120, 6) that three latents make."""
    rng = np.random.default_rng(5)
    return (rng.random((120, 3)) < 0.4) @ BASIS + 0.3 * rng.standard_normal((120, 6))


@pytest.mark.heavy
@parametrize_with_checks([each(4) for each in [*CLASSES, BinaryVAE, Laplace, Streams]])
def test_scikit_learn_has_nothing_to_complain_of(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([each(12) for each in CLASSES])
def test_scikit_learn_has_nothing_to_complain_of_where_states_are_searched_for(estimator, check):
    check(estimator)


def test_every_model_is_an_estimator():
    of_latents = {kind for kind, model in components_of("prosper_ng.models").items() if "n_latents" in fields_of(model)}
    assert {each.kind for each in [*CLASSES, BinaryVAE, Laplace, Streams]} == of_latents
    mixtures = {"Mixture", "MixtureClassifier", "GaussianMixture", "KMeans", "MFA"}
    assert set(estimators.__all__) == {
        "SparseCoder",
        "BinaryVAE",
        "Laplace",
        "Streams",
        *(each.__name__ for each in CLASSES),
        *mixtures,
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_bits_as_from_the_command(kind, X, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = (X > 1).astype(float) if kind in (NoisyOR, SBN) else X
    np.save("rows.npy", rows)
    options = {name: getattr(kind(), name) for name in kind._options}
    model = ", ".join(f"{name}: {_yaml(value)}" for name, value in options.items())
    (tmp_path / "run.yaml").write_text(
        f"name: twin\nseed: 3\ndata: {{kind: npy, path: rows.npy}}\n"
        f"model: {{kind: {kind.kind}, n_latents: 3, {model}}}\ntraining: {{n_sweeps: 4, updates_per_sweep: 2}}\n"
        "output: {figures: false}\n"
    )
    assert main(["run", "run.yaml", "--quiet"]) == 0
    coder = kind(3, max_iter=4, n_updates=2, tol=0, random_state=3)
    digests = {clone(coder).set_params(n_jobs=n_jobs).fit(rows).learned_.digest for n_jobs in (None, 2)}
    assert digests == {prosper_ng.load("runs/twin").digest}


def _yaml(value):
    return str(list(value) if isinstance(value, tuple) else value).lower()


def test_starts_are_tried_and_rows_held_out(X):
    coder = BSC(3, max_iter=30, tol=0.0, n_init=3, validation_fraction=0.2, random_state=2).fit(X)
    training = {"n_sweeps": 30, "restarts": 3}
    found = prosper_ng.learn(X, {"kind": "bsc", "n_latents": 3}, training=training, seed=2, held_out=0.2)
    assert coder.learned_.digest == found.digest
    assert coder.n_iter_ == len(coder.free_energy_trace_) == 30
    assert (coder.free_energy_trace_ == found.history["free_energy"][-30:]).all()
    stopped = BSC(3, max_iter=30, tol=1.0, validation_fraction=0.2, random_state=2).fit(X)
    assert (stopped.n_iter_, stopped.learned_.ending.startswith("the free energy of the rows held out")) == (4, True)


def test_codes_bring_back_the_data(X):
    coder = BSC(3, random_state=1, max_iter=60).fit(X)
    codes = coder.transform(X)
    assert np.sqrt(np.mean((coder.inverse_transform(codes) - X) ** 2)) < 0.4
    assert coder.components_.shape == (3, 6)
    assert set(coder.params_) == {"W", "pi", "sigma"}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_inverse_of_certain_states_is_the_mean_of_the_data(kind, X):
    coder = kind(3, random_state=1, max_iter=3).fit(X)
    if kind is GSC:
        slabs = coder.transform(X)
        np.testing.assert_allclose(coder.inverse_transform(slabs), slabs @ coder.components_)
        return
    drawn, states = coder.sample(4000, seed=1)
    same = (states == states[0]).all(axis=1)
    mean, error = drawn[same].mean(axis=0), drawn[same].std(axis=0) / np.sqrt(same.sum())
    assert (np.abs(mean - coder.inverse_transform(states[:1])[0]) < 6 * error + 1e-9).all()


def test_the_soft_maximum_has_its_own_inverse(X):
    coder = MMCA(3, superposition="soft", random_state=1, max_iter=3).fit(X)
    both = coder.inverse_transform(np.array([[1.0, 1.0, 0.0]]))[0]
    one, other = coder.components_[:2]
    rho = 6.0
    power = np.sign(one) * np.abs(one) ** rho + np.sign(other) * np.abs(other) ** rho
    np.testing.assert_allclose(both, np.sign(power) * np.abs(power) ** (1 / rho), rtol=1e-9)


def test_missing_values_are_filled_in(X):
    holes = X.copy()
    holes[::5, 2] = np.nan
    coder = GSC(3, random_state=1, max_iter=30).fit(holes)
    filled = coder.reconstruct(holes)
    known = ~np.isnan(holes)
    np.testing.assert_array_equal(filled[known], holes[known])
    assert np.sqrt(np.mean((filled[~known] - X[~known]) ** 2)) < 0.8 * X[:, 2].std()
    assert np.isfinite(coder.transform(holes)).all()


def test_what_is_said_of_a_row_depends_on_it_alone(X):
    coder = GSC(12, n_states=20, random_state=1, max_iter=3).fit(X)
    order = np.random.default_rng(1).permutation(len(X))
    codes = coder.transform(X)
    np.testing.assert_array_equal(coder.transform(X[order]), codes[order])
    np.testing.assert_array_equal(coder.transform(X[7:8]), codes[7:8])


def test_it_goes_on_from_where_it_stood_where_this_is_asked_for(X):
    coder = BSC(3, random_state=1, max_iter=4, tol=0, warm_start=True).fit(X)
    before = coder.score(X)
    coder.fit(X)
    assert coder.free_energy_trace_[0] >= before - 1e-9
    assert BSC(3, random_state=1, max_iter=4, tol=0).fit(X).free_energy_trace_[0] < before


def test_it_serves_in_pipelines_searches_clones_and_pickles(X):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), BSC(random_state=0, max_iter=5)), {"bsc__n_components": [1, 3]}, cv=2
    )
    search.fit(X)
    assert search.best_params_ == {"bsc__n_components": 3}
    best = search.best_estimator_
    copy = pickle.loads(pickle.dumps(best))
    np.testing.assert_array_equal(copy.transform(X), best.transform(X))
    assert clone(best[-1]).get_params() == best[-1].get_params()
    assert list(best[-1].get_feature_names_out()) == ["bsc0", "bsc1", "bsc2"]


class Stopper:
    """A callback that ends `fit` after two sweeps."""

    def __init__(self):
        self.n_components = []

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        if context.task_name == "sweep":
            self.n_components.append(fitted_estimator.transform(X).shape[1])
        return len(self.n_components) == 2


def test_callbacks_see_each_sweep_and_can_end_learning(X):
    stopper = Stopper()
    coder = BSC(3, random_state=1, max_iter=9, tol=0).set_callbacks(stopper).fit(X)
    assert (coder.n_iter_, stopper.n_components[:2]) == (2, [3, 3])


def test_scikit_learns_monitor_scores_each_sweep(X):
    monitor = ScoringMonitor(scoring=lambda coder, X, y: {"F": coder.score(X)})
    coder = BSC(3, random_state=1, max_iter=4, tol=0).set_callbacks(monitor)
    coder.fit(X, np.zeros(len(X)))  # scikit-learn's monitor scores nothing without targets
    scores = [entry["F"] for entry in monitor.get_logs().data if entry["task_name"] == "sweep"]
    assert len(scores) == 4
    assert scores[-1] == pytest.approx(coder.score(X))


def test_an_interruption_keeps_what_was_learned(X):
    class Impatient(Stopper):
        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            if context.task_name == "sweep" and len(self.n_components) == 2:
                raise KeyboardInterrupt
            self.n_components.append(3)

    coder = BSC(3, random_state=1, max_iter=9, tol=0).set_callbacks(Impatient())
    with pytest.warns(ConvergenceWarning, match="interrupted after 3 sweeps"):
        coder.fit(X)
    three = BSC(3, random_state=1, max_iter=3, tol=0).fit(X)
    np.testing.assert_array_equal(coder.components_, three.components_)
    assert coder.transform(X).shape == (120, 3)


@pytest.mark.parametrize(
    ("coder", "sentence"),
    [
        (BSC(0), "BSC(...): error: `n_components` must be an integer greater than 0, not the integer `0`"),
        (BSC(3, max_iter=0), "`max_iter` must be an integer greater than 0"),
        (BSC(3, n_states=0), "`n_states` must be an integer greater than 0"),
        (GSC(3, noise="loud"), "`noise` must be one of `scalar`, `diagonal`, `full`"),
        (BSC(3, estep="serch"), "did you mean `search`?"),
        (BSC(3, random_state=-1), "`random_state` must be an integer"),
        (DSC(3, values=(1.0, 2.0)), "0 among them"),
    ],
)
def test_illegal_parameters_are_told_by_their_names_here(coder, sentence, X):
    with pytest.raises(UserError) as caught:
        coder.fit(X)
    assert sentence in str(caught.value)


def test_data_that_are_not_binary_are_refused_where_no_threshold_is_given(X):
    with pytest.raises(ValueError, match="0 or 1"):
        NoisyOR(3, binarize=None, max_iter=2).fit(X)


def test_codes_of_another_width_are_refused(X):
    coder = BSC(3, random_state=1, max_iter=2).fit(X)
    with pytest.raises(UserError, match=r"values of the latents are \(n, 3\), not \(2, 4\)"):
        coder.inverse_transform(np.zeros((2, 4)))
    with pytest.raises(NotFittedError):
        BSC(3).inverse_transform(np.zeros((2, 3)))


def test_a_further_model_is_one_short_class(X):
    class Mine(SparseCoder, kind="bsc", shared_pi=True):
        """With one activity for all."""

    coder = Mine(3, random_state=1, max_iter=2).fit(X)
    assert coder.params_["pi"].shape == ()
    assert "shared_pi" in Mine().get_params()
