"""What a learned model says of rows in hand: on threads, of frames, as something that can be looked at."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import prosper_ng
from prosper_ng.data.sources.csv import Csv
from prosper_ng.errors import UserError
from prosper_ng.estep.search import Search
from prosper_ng.inference.learned import Learned
from prosper_ng.models.gsc import GSC
from prosper_ng.testing import random_parameters

NAMES = tuple("vwxyz")


@pytest.fixture(scope="module")
def known():
    """A model that was never learned, of five named columns."""
    model = GSC(n_latents=6)
    params = random_parameters(model, 5, np.random.default_rng(3))
    return Learned(model=model, params=params, n_observed=5, estep=Search(n_states=7), column_names=NAMES)


@pytest.fixture(scope="module")
def rows(known):
    """Some of whose values are missing."""
    rows = known.sample(150)[0]
    rows[::7, 2] = np.nan
    return rows


@pytest.fixture(scope="module")
def alone(known, rows):
    return known.posterior(rows, top_k=2, n_sweeps=4, adaptive=True, missing=True)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_threads_say_the_same_to_the_last_bit(known, rows, alone, n_jobs):
    together = known.posterior(rows, top_k=2, n_sweeps=4, adaptive=True, missing=True, n_jobs=n_jobs)
    for name, values in alone._asdict().items():
        if name != "other_means" and values is not None:
            assert values.tobytes() == getattr(together, name).tobytes(), name
    assert together.other_means["s_z"].tobytes() == alone.other_means["s_z"].tobytes()
    one, several = (known.reconstruct(rows, n_sweeps=4, missing=True, n_jobs=each) for each in (1, n_jobs))
    assert [each.tobytes() for each in one] == [each.tobytes() for each in several]
    energies = known.free_energy(rows, n_sweeps=4, missing=True, n_jobs=n_jobs)
    assert energies.tobytes() == one.free_energy.tobytes()
    assert known.free_energy(rows[:1], n_sweeps=4, n_jobs=n_jobs, missing=True) == energies[:1]


def test_more_threads_than_blocks_of_rows_do_no_harm(known, rows):
    few = known.posterior(rows[1:4], n_jobs=3)
    assert few.means.tobytes() == known.posterior(rows[1:4]).means.tobytes()


@pytest.mark.parametrize("kind", ["pandas", "polars", "csv"])
def test_columns_are_taken_by_their_names(known, rows, alone, tmp_path, kind):
    order = [3, 1, 0, 4, 2]
    frame = pd.DataFrame(rows[:, order], columns=[NAMES[place] for place in order]).assign(more=1.5)
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False, float_format="%.17g")
    frame = {
        "pandas": lambda: frame,
        "polars": lambda: pl.DataFrame({name: frame[name].to_numpy() for name in frame}),
    }.get(kind, lambda: Csv(path=str(path), missing=True).open(0))()
    with pytest.warns(UserWarning, match=r"are taken by their names, as learn\(\.\.\.\) has learned from them"):
        found = known.posterior(frame, top_k=2, n_sweeps=4, adaptive=True, missing=True, n_jobs=2)
    assert found.means.tobytes() == alone.means.tobytes()


def test_columns_of_other_names_are_refused_and_rows_without_names_are_not(known, rows, alone):
    other = pd.DataFrame(rows, columns=list("vwxyu"))
    with pytest.raises(UserError, match=r"has no column 'z'.* or give the numbers alone, as by to_numpy\(\)"):
        known.posterior(other, missing=True)
    found = known.posterior(other.to_numpy(), top_k=2, n_sweeps=4, adaptive=True, missing=True)
    assert found.means.tobytes() == alone.means.tobytes()


def test_columns_that_a_frame_has_numbered_may_change_places_too(known, rows):
    numbered, frame = replace(known, column_names=None), pd.DataFrame(np.nan_to_num(rows))
    with pytest.warns(UserWarning, match="are taken by their names"):
        found = numbered.posterior(frame[[2, 0, 1, 4, 3]])
    assert found.means.tobytes() == numbered.posterior(frame).means.tobytes()


def test_names_of_columns_are_learned_kept_and_saved(rows, tmp_path):
    frame = pd.DataFrame(np.nan_to_num(rows), columns=NAMES)
    learned = prosper_ng.learn(frame, {"kind": "bsc", "n_latents": 2}, training={"n_sweeps": 2})
    plain = prosper_ng.learn(frame.to_numpy(), {"kind": "bsc", "n_latents": 2}, training={"n_sweeps": 2})
    assert (learned.column_names, plain.column_names) == (NAMES, None)
    assert (learned.digest, learned.data_digest) == (plain.digest, plain.data_digest)
    learned.save(tmp_path / "learned.h5")
    assert prosper_ng.load(tmp_path / "learned.h5").column_names == NAMES


def test_learning_does_not_start_from_columns_in_another_order(known, rows):
    frame = pd.DataFrame(np.nan_to_num(rows), columns=NAMES)
    settings = {"estep": {"kind": "search", "n_states": 7}, "training": {"n_sweeps": 1}}
    assert prosper_ng.learn(frame, known.model, start=known, **settings).column_names == NAMES
    with pytest.raises(UserError, match=r"start: learn\(\.\.\.\) has learned from the columns 'v', 'w', 'x', 'y', 'z'"):
        prosper_ng.learn(frame[list(NAMES[::-1])], known.model, start=known, **settings)


def test_what_is_wrong_with_a_row_is_one_sentence_on_any_number_of_threads(known, rows):
    for n_jobs in (1, 2):
        with pytest.raises(UserError, match=r"row 0, column 2 .* is nan; .* set missing=True if NaN marks"):
            known.posterior(rows, n_jobs=n_jobs)
        broken = np.nan_to_num(rows)
        broken[149, 4] = np.inf
        with pytest.raises(UserError, match=r"row 149, column 4 \(counted from 0\) is inf"):
            known.free_energy(broken, n_jobs=n_jobs)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_jobs": 0}, "n_jobs must be a number of threads, or -1 for one on each core, not 0"),
        ({"n_jobs": 2, "comm": 1}, "n_jobs=2 asks for threads beside the ranks of comm; leave one of them out"),
        ({"comm": 3}, "comm must be None or a communicator of mpi4py, not int"),
        ({"top_k": "3"}, "top_k must be 1 or more, not '3'"),
        ({"n_sweeps": 2.5}, "n_sweeps must be 1 or more, not 2.5"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(known, rows, arguments, sentence):
    with pytest.raises(UserError) as refused:
        known.posterior(rows, missing=True, **arguments)
    assert sentence in str(refused.value)


def test_answers_show_their_shapes(known, rows, alone):
    assert isinstance(alone, prosper_ng.Posterior)
    assert repr(alone).startswith("Posterior(states=(150, 2, 6) int8, probabilities=(150, 2) float64, ")
    assert "other_means={s_z: (150, 6) float64}" in repr(alone)
    filled = known.reconstruct(rows[:2], missing=True)
    assert repr(filled) == (
        "Reconstruction(prediction=(2, 5) float64, filled=(2, 5) float64, free_energy=(2,) float64)"
    )
