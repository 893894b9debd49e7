"""Rows of which some have labels: what is learned of classes, and what is refused."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import prosper_ng
from prosper_ng.cli import main
from prosper_ng.errors import UserError
from prosper_ng.storage.run_record import read_run

RNG = np.random.default_rng(0)
CLASS = RNG.integers(0, 3, 300)
ROWS = 6.0 * np.array([[1, 0], [0, 1], [-1, -1]])[CLASS] + RNG.standard_normal((300, 2))
FEW = np.where(np.arange(300) < 12, CLASS, np.nan)
MODEL = {"kind": "mixture", "n_components": 6, "n_classes": 3}


def learned(labels, model=MODEL, n_sweeps=15, **options):
    return prosper_ng.learn(ROWS, model, labels=labels, training={"n_sweeps": n_sweeps}, progress=False, **options)


def classes(known, rows=ROWS):
    return known.posterior(rows).other_means["classes"]


def test_a_few_labels_tell_the_class_of_all_rows():
    found = classes(learned(FEW))
    assert found.sum(axis=1) == pytest.approx(1)
    assert (found.argmax(axis=1) == CLASS).mean() > 0.98


def test_labels_give_the_same_bits_on_threads_and_count_into_the_digest():
    whole = learned(FEW)
    assert learned(FEW, n_jobs=3).digest == whole.digest
    assert learned(FEW.tolist()).digest == whole.digest
    in_whole_numbers = np.where(np.isnan(FEW), -1, FEW).astype(int)
    assert learned(in_whole_numbers).params.buffer.tobytes() == whole.params.buffer.tobytes()
    other = FEW.copy()
    other[3] = (other[3] + 1) % 3
    assert learned(other).data_digest != whole.data_digest


@pytest.mark.filterwarnings("ignore:no row has the label")
@pytest.mark.parametrize(
    ("labels", "model", "said"),
    [
        (np.where(np.arange(300) == 7, 3.0, FEW), MODEL, r"label of row 7 .* is 3; legal are the classes 0 to 2"),
        (np.where(np.arange(300) == 9, 0.5, FEW), MODEL, r"label of row 9 .* is 0\.5; legal are"),
        (np.where(np.arange(300) == 2, -2.0, FEW), MODEL, r"label of row 2 .* is -2; legal are"),
        (FEW[:299], MODEL, r"299 labels for the 300 rows"),
        (["a"] * 300, MODEL, r"labels are no numbers"),
        (FEW, {"kind": "mixture", "n_components": 6}, r"learns no classes"),
        (FEW, {"kind": "bsc", "n_latents": 3}, r"model bsc learns no classes"),
        (None, MODEL, r"has n_classes: 3, and rows have no labels"),
    ],
)
def test_what_is_no_label_is_refused_in_a_sentence(labels, model, said):
    with pytest.raises(UserError, match=said):
        learned(labels, model)


def test_a_coreset_of_rows_with_labels_is_refused():
    with pytest.raises(UserError, match="a coreset leaves out most rows"):
        learned(FEW, coreset=50)


def test_a_class_without_a_label_is_a_warning():
    with pytest.warns(UserWarning, match="no row has the label 2"):
        learned(np.where(FEW == 2, np.nan, FEW))


def test_a_run_learns_from_labels_in_a_file_and_goes_on_with_the_same(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "labels.npy", FEW)
    config = tmp_path / "run.yaml"
    text = (
        "name: few\ndata: {{kind: npy, path: {0}/rows.npy, labels: {0}/labels.npy}}\n"
        "model: {{kind: mixture, n_components: 6, n_classes: 3}}\n"
        "training: {{n_sweeps: {1}}}\noutput: {{figures: false}}\n"
    )
    for n_sweeps in (4, 8):
        config.write_text(text.format(tmp_path, n_sweeps), encoding="utf-8")
        assert main(["run", str(config), "--output", str(tmp_path / "run"), "--quiet"]) == 0
    assert read_run(tmp_path / "run").attributes["digest"] == learned(FEW, n_sweeps=8).digest
    np.save(tmp_path / "labels.npy", CLASS.astype(float))
    config.write_text(text.format(tmp_path, 9), encoding="utf-8")
    assert main(["run", str(config), "--output", str(tmp_path / "run"), "--quiet"]) != 0
    assert "data" in capsys.readouterr().err


def started(labels, **options):
    """The means (C, D) and the probabilities of classes (C, K) that learning starts from."""
    training = {"n_sweeps": 1, "learn": ["pi"]}
    known = prosper_ng.learn(ROWS, MODEL, labels=labels, training=training, progress=False, **options)
    return known.params["W"].T, known.params["R"]


def test_components_start_from_rows_with_labels_and_are_of_their_classes():
    W, R = started(FEW)
    numbers = [np.flatnonzero((row == ROWS).all(axis=1)).item() for row in W]
    assert len({*numbers} & {*range(12)}) == 6
    np.testing.assert_array_equal(R.argmax(axis=1), CLASS[numbers])
    assert np.unique(CLASS[numbers], return_counts=True)[1].min() >= 1
    W, R = started(np.where(np.arange(300) < 4, CLASS, np.nan), seed=1)
    numbers = [np.flatnonzero((row == ROWS).all(axis=1)).item() for row in W]
    assert {*numbers[:4]} == {0, 1, 2, 3}
    np.testing.assert_array_equal(R[:4].argmax(axis=1), CLASS[numbers[:4]])
    assert (R[4:] == 1 / 3).all()


def test_components_that_are_given_have_no_class_to_start_with():
    W, R = started(FEW, start={"W": ROWS[:6].T})
    np.testing.assert_array_equal(W, ROWS[:6])
    assert (R == 1 / 3).all()


def test_rows_that_count_nothing_are_none_to_start_from():
    W, _ = started(CLASS, weights=(np.arange(300) > 280).astype(float))
    assert {np.flatnonzero((row == ROWS).all(axis=1)).item() for row in W} <= {*range(281, 300)}


@pytest.mark.slow
def test_fifty_labels_tell_digits_apart():
    """Poisson mixtures, five seeds."""
    found = {50: [], 1200: []}
    digits, digit = load_digits(return_X_y=True)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(digits))
        rows, truth = digits[order[:1200]], digit[order[:1200]].astype(float)
        for n_known, n_components, warmest in ((50, 50, 8.0), (1200, 100, 1.0)):
            labels = np.where(np.arange(1200) < n_known, truth, np.nan)
            model = {"kind": "mixture", "observable": "poisson", "n_components": n_components, "n_classes": 10}
            training = {"n_sweeps": 60, "annealing": {"temperature": [[0, warmest], [30, 1.0]]}}
            known = prosper_ng.learn(rows, model, labels=labels, training=training, seed=seed, progress=False)
            predicted = classes(known, digits[order[1200:]]).argmax(axis=1)
            found[n_known].append((predicted == digit[order[1200:]]).mean())
    assert np.mean(found[50]) > 0.84
    assert np.mean(found[1200]) > 0.93
