"""What is counted of the data before learning begins, what is refused, and what the user is warned of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.config import from_mapping
from prosper_ng.errors import UserError
from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.experiments.run import assemble_run
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.census import take_census
from prosper_ng.learning.census_warnings import named
from prosper_ng.models.bsc import BSC
from prosper_ng.models.mca import MCA
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.parallel.team import on_team
from prosper_ng.training.em import Problem
from tests.helpers.small_runs import Runner

BSC_MEAN = {"kind": "bsc", "data_mean": True}
DIAGONAL, FULL = ({"kind": "gsc", "noise": noise} for noise in ("diagonal", "full"))
SPARSE = {"kind": "mca"}


def rows(n_rows=200, n_observed=8, seed=0):
    """Superpositions of four fields, as a model without surprises has them."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(0.0, 3.0, (n_observed, 4))
    return (rng.random((n_rows, 4)) < 0.3) @ fields.T + rng.standard_normal((n_rows, n_observed))


def changed(column, values):
    """The rows with other values in a column, or in some."""
    found = rows()
    found[:, column] = values
    return found


def without(*, some_rows=(), columns=()):
    found = rows()
    found[list(some_rows)], found[:, list(columns)] = np.nan, np.nan
    return found


def census_of(values, model=None, block_rows=7):
    blocks = RowBlocks(len(values), block_rows)
    return take_census(Problem(model or BSC(n_latents=2), Exhaustive(), values, blocks, SerialCommunicator(), 0))


def examples_of(values, n_examples, comm=None, block_rows=7, seed=0, weights=None):
    class Wants(BSC):
        def n_examples(self, n_rows):
            assert n_rows == (len(values) if weights is None else np.count_nonzero(weights))
            return n_examples

    comm = comm or SerialCommunicator()
    blocks = RowBlocks(len(values), block_rows)
    mine = blocks.owned_rows(comm.rank, comm.size)
    own = None if weights is None else weights[mine.start : mine.stop]
    problem = Problem(
        Wants(n_latents=2), Exhaustive(), values[mine.start : mine.stop], blocks, comm, seed, weights=own
    )  # fmt: skip
    return take_census(problem).moments.examples


@pytest.fixture
def assembled(tmp_path):
    """A function (values, model, data, memory, training) -> the parts of a run over a file of these values."""

    def make(values, model=None, data=None, **sections):
        np.save(tmp_path / "rows.npy", values)
        config = {
            "name": "test",
            "data": {"kind": "npy", "path": str(tmp_path / "rows.npy"), "missing": True} | (data or {}),
            "model": {"kind": "bsc", "n_latents": 4} | (model or {}),
            "estep": {"kind": "search"},
            **sections,
        }
        return assemble_run(from_mapping(config, RunConfig).value, SerialCommunicator(), tmp_path)

    return make


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 20), st.floats(0, 1), st.integers(0, 2**32))
def test_the_counts_are_those_of_all_rows(n_rows, block_rows, missing, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((n_rows, 3))
    values[rng.random((n_rows, 3)) < missing] = np.nan
    values[0, 0] = -1.5
    found, seen = census_of(values, MCA(n_latents=2), block_rows), ~np.isnan(values)
    assert (found.n_observed == seen.sum(axis=0)).all()
    assert (found.low == np.where(seen, values, np.inf).min(axis=0)).all()
    assert (found.high == np.where(seen, values, -np.inf).max(axis=0)).all()
    empty = np.flatnonzero(~seen.any(axis=1))
    assert (found.n_empty, found.first_empty) == (len(empty), tuple(empty[:3]))
    assert found.n_negative == np.count_nonzero((values < 0).any(axis=1))
    below = np.square(values[values < 0]).sum() / np.nansum(values**2)
    assert found.negative_energy == pytest.approx(below)
    assert list(found.never_observed) == list(np.flatnonzero(~seen.any(axis=0)))


def test_names_of_a_few_and_a_count_of_the_others():
    assert [named(range(n)) for n in (1, 2, 3, 5)] == ["0", "0 and 1", "0, 1 and 2", "0, 1, 2 and 2 more"]
    assert named((4, 7, 9), 12) == "4, 7, 9 and 9 more"


TRANSPOSED = "are they transposed? Every row is one data point"
NO_MEAN = "model {} here has no mean of its own, and the data lie far from 0 for how little they vary (column {}: mean "


@pytest.mark.parametrize(
    ("values", "model", "said"),
    [
        (rows(8, 200), {}, [f"the data have 8 rows of 200 values; {TRANSPOSED}"]),
        (rows(1), {}, [f"the data have a single row of 8 values; {TRANSPOSED}"]),
        (rows(1, 1), {}, ["the data have a single row of 1 value"]),
        (rows(3), {}, ["the data have 3 rows for 4 latents: "]),
        (rows(6), FULL, ["the data have 6 rows of 8 values, too few to estimate a covariance of the noise of 8 x 8"]),
        (np.zeros((50, 8)), {}, ["all values of the data are 0: "]),
        (np.full((50, 8), 0.1), BSC_MEAN, ["all rows of the data are the same: "]),
        (np.full((50, 8), 1e9), DIAGONAL, ["all rows of the data are the same: "]),
        (changed(5, 3.0), DIAGONAL, ["the values of column 5 (counted from 0) are all the same"]),
        (changed([1, 5], 3.0), FULL, ["the values of columns 1 and 5 (counted from 0) are all the same"]),
        (rows()[:, [0, 1, 2, 1, 3, 2]], FULL, ["columns 3 and 5 (counted from 0) repeat others value by value: "]),
        (without(columns=[2]), {}, ["no value of column 2 (counted from 0) was observed: nothing can be learned"]),
        (without(columns=range(1, 6)), {}, ["no value of columns 1, 2, 3 and 2 more (counted from 0) was observed"]),
        (without(some_rows=[3, 9, 50, 60]), {}, ["4 of 200 rows hold no observed value (3, 9, 50 and 1 more, counted"]),
        (rows(), SPARSE, ["model mca cannot produce values below 0, and 199 of 200 rows hold such values, down"]),
        (changed(6, -1.0), SPARSE | {"superposition": "soft"}, ["model mca cannot produce values below 0, and 200 "]),
        (rows() + 1e6, {}, [NO_MEAN.format("bsc", 1)]),
        (changed(3, rows()[:, 3] + 1e7), DIAGONAL, [NO_MEAN.format("gsc", 3)]),
        (rows() - 1e6, {"kind": "mmca"}, [NO_MEAN.format("mmca", 3)]),
        (rows() + 1e13, BSC_MEAN, ["columns 0, 1, 2 and 5 more (counted from 0) lie so far from 0 that their"]),
        ((rows() + 1e5).astype(np.float32), BSC_MEAN, ["columns 0, 1, 2 and 5 more (counted from 0) lie so far from"]),
        (changed(2, 1e7 * rows()[:, 2]), BSC_MEAN, ["column 2 (counted from 0) has a standard deviation of "]),
        (changed(2, 1e-200 * rows()[:, 2]), {"kind": "gsc"}, ["column 3 (counted from 0) has a standard deviation of"]),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_said_once_each(assembled, values, model, said):
    warnings = assembled(values, model).warnings
    assert len(warnings) == len(said)
    for warning, beginning in zip(warnings, said, strict=True):
        assert warning.startswith(beginning)
        assert "\n" not in warning


@pytest.mark.parametrize(
    ("values", "model"),
    [
        (rows(), {}),
        (rows(), {"kind": "mmca"}),
        (rows(), FULL),
        (rows(40, 100), {}),
        (rows() + 1e3, {}),
        (rows() + 1e6, BSC_MEAN),
        (changed(3, 7.0), {}),  # such as the border of written digits
        (changed(2, 1e5 * rows()[:, 2]), {}),
        (changed(2, 1e7 * rows()[:, 2]), DIAGONAL),
        (rows()[:, [0, 1, 1]], DIAGONAL),
        (np.where(np.random.default_rng(1).random((200, 8)) < 0.3, np.nan, rows()), DIAGONAL),
        (np.random.default_rng(0).poisson(0.02, (500, 30)), SPARSE),
        (np.abs(rows()) + 0.3 * np.random.default_rng(1).standard_normal((200, 8)), SPARSE),
        (rows().astype(np.float16), {}),
        ((np.abs(rows()) * 10).astype(np.uint8), {}),
        (rows() > 1, {}),
        (1e100 * rows(), {}),
        (1e-80 * rows(), FULL),
    ],
)
def test_what_is_usual_is_no_warning(assembled, values, model):
    assert assembled(values, model).warnings == ()


@pytest.mark.parametrize("whiten", ["pca", "zca"])
def test_what_whitening_leaves_of_a_direction_without_variance_is_no_other_unit(assembled, whiten):
    data = {"missing": False, "whiten": whiten, "remove_mean": True}
    assert assembled(rows(), data=data).warnings == ()


@pytest.mark.parametrize(
    ("values", "memory", "said"),
    [
        (np.full((20, 8), np.nan), {}, "all values of the data are NaN, which marks what was not observed; at least "),
        (1e200 * rows(), {}, "row 0, column 0 (counted from 0) is 2.09e+200, whose squares, added up, leave double pr"),
        (
            changed(3, 1e308),
            {},
            "row 0, column 3 (counted from 0) is 1e+308, whose squares, added up, leave double preci",
        ),
        (1e-200 * rows(), {}, "no value of the data exceeds 1.51e-199 in magnitude, and squares of that vanish; in do"),
        (5e-324 * np.ceil(rows()), {}, "no value of the data exceeds "),
        (1e39 * rows(), {"precision": "single"}, "column 0 (counted from 0) is 2.09e+39, beyond single precision"),
        (1e39 * rows(), {"precision": "single", "data_budget": 9}, "column 0 (counted from 0) is 2.09e+39, beyond s"),
        (1e-42 * rows(), {"precision": "single"}, "no value of the data exceeds 1.51e-41 in magnitude, and squares of"),
        (1e-60 * rows(), {"precision": "single"}, "no value of the data exceeds 1.51e-59 in magnitude, and squares of"),
    ],
)
def test_what_cannot_be_computed_with_is_refused_in_one_sentence(assembled, recwarn, values, memory, said):
    with pytest.raises(UserError) as caught:
        assembled(values, memory=memory)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [str(each.message) for each in recwarn if issubclass(each.category, RuntimeWarning)] == []


@pytest.mark.parametrize("model", [DIAGONAL, FULL])
def test_a_column_whose_squares_vanish_can_have_no_noise_of_its_own(assembled, model):
    values = changed(3, 1e-200 * rows()[:, 3])
    with pytest.raises(
        UserError, match=r"^no value in column 3 \(counted from 0\) exceeds .*e-199 in magnitude, and squ"
    ):
        assembled(values, model)
    assert assembled(values, {}).problem.n_observed == 8


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1e160, "row 0, column 0 (counted from 0) is 2.09e+160, whose squares, added up, leave double precision; dat"),
        (1e-200, "cannot be whitened: no value exceeds 1.51e-199 in magnitude, and squares of that vanish; multiply "),
    ],
)
def test_what_cannot_be_whitened_for_its_magnitude_is_said(assembled, factor, said):
    with pytest.raises(UserError) as caught:
        assembled(factor * rows(), data={"whiten": "zca", "missing": False})
    assert said in str(caught.value)


def test_parameters_whose_squares_are_no_numbers_are_refused(assembled):
    for name in ("W", "sigma"):
        with pytest.raises(
            UserError,
            match=rf"^training.initial: {name} \(.*\) reaches 1e\+160 in magnitude, and squares of that, added up",
        ):
            assembled(rows(), training={"initial": {name: 1e160}})


def test_remedies_are_those_that_the_model_and_the_source_have(assembled):
    def remedy(values, model, **data):
        return assembled(values, model, data).warnings[0].rpartition("; ")[2]

    shifted, one = rows() + 1e6, changed(3, rows()[:, 3] + 1e7)
    by_hand = "subtract the mean of each column from the data"
    assert remedy(shifted, {}) == f"set model.data_mean: true, or set data.remove_mean: true, or {by_hand}"
    assert remedy(one, {}) == f"set model.data_mean: true, or {by_hand}"
    assert remedy(one, {"kind": "gsc"}) == by_hand
    assert remedy(shifted, SPARSE) == "subtract the smallest value of each column from the data"
    small = changed(2, 1e-7 * rows()[:, 2])
    assert remedy(small, BSC_MEAN) == "divide each column by its standard deviation"
    assert remedy(small, {"kind": "gsc"}).endswith("by its standard deviation, or choose model.noise: diagonal")


def test_columns_that_a_file_of_parameters_tells_of_are_not_unknown(assembled, tmp_path):
    values = without(columns=[2, 5])
    assert list(assembled(values).unknown) == [2, 5]
    np.savez(tmp_path / "start.npz", W=np.ones((8, 4)))
    parts = assembled(values, training={"initial_file": str(tmp_path / "start.npz")})
    assert list(parts.unknown) == []
    assert parts.warnings == (
        "no value of columns 2 and 5 (counted from 0) was observed: it stays as training.initial_file says",
    )
    constant = {"initial_file": str(tmp_path / "start.npz"), "initial": {"W": 1.0}}
    assert list(assembled(values, training=constant).unknown) == [2, 5]


def test_warnings_are_on_the_terminal_and_in_the_log_and_unknown_columns_in_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", without(columns=[2, 5], some_rows=[0]))
    text = (
        "name: few\ndata: {kind: npy, path: rows.npy, missing: true}\nmodel: {kind: bsc, n_latents: 4}\n"
        "estep: {kind: search, n_states: 6}\ntraining: {n_sweeps: 2}\noutput: {figures: false}\n"
    )
    run = Runner(tmp_path / "first", text, capsys)
    said = run().err.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "no value of columns 2 and 5",
        "1 of 200 rows hold no observed value",
    ]
    log = run.log()
    assert all(log.count(f"WARNING {line}") == 1 for line in said)
    # Who goes on from this run with a column that it knows and one that it does not knows one of them.
    np.save("rows.npy", without(columns=[1, 2]))
    again = Runner(tmp_path / "second", text.replace("n_sweeps: 2", "n_sweeps: 2, initial_file: first"), capsys)
    said = again().err.splitlines()
    assert said == [
        "no value of column 2 (counted from 0) was observed: nothing can be learned there, and "
        "reconstructions leave NaN",
        "no value of column 1 (counted from 0) was observed: it stays as training.initial_file says",
    ]


@pytest.mark.parametrize("n_examples", [1, 5, 30])
@pytest.mark.parametrize("block_rows", [1, 7, 64])
def test_examples_are_different_rows_drawn_by_the_seed(n_examples, block_rows):
    values = np.arange(30.0)[:, None] * [1.0, 100.0]
    found = examples_of(values, n_examples, block_rows=block_rows)
    assert found.shape == (n_examples, 2)
    assert (found[:, 1] == 100.0 * found[:, 0]).all()
    numbers = found[:, 0].astype(int).tolist()
    assert len(set(numbers)) == n_examples
    assert set(numbers) <= set(range(30))
    assert examples_of(values, n_examples, block_rows=3).tobytes() == found.tobytes()
    if n_examples > 1:
        assert numbers != sorted(numbers)
        assert (examples_of(values, n_examples, seed=1) != found).any()


def test_all_rows_are_equally_likely_to_be_examples():
    values = np.arange(20.0)[:, None]
    drawn = np.concatenate([examples_of(values, 4, seed=seed)[:, 0] for seed in range(500)])
    counts = np.bincount(drawn.astype(int), minlength=20)
    assert abs(counts - 100).max() < 45  # more than four standard deviations of a count


@pytest.mark.parametrize(("n_examples", "expected"), [(0, 0), (-3, 0), (31, 30), (10**9, 30)])
def test_there_are_as_many_examples_as_are_wanted_and_rows_to_draw_from(n_examples, expected):
    assert examples_of(np.ones((30, 2)), n_examples).shape == (expected, 2)
    assert census_of(np.ones((30, 2))).moments.examples.shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_examples_are_the_same_bits_on_any_number_of_ranks(size, dtype):
    values = rows(40).astype(dtype)
    values[::3, 2] = -0.0
    values[1::4, 5] = np.nan
    values[7] = np.nan
    alone = examples_of(values, 25)
    assert np.isfinite(alone).all()
    assert alone.dtype == np.float64
    for found in on_team(size, lambda comm: examples_of(values, 25, comm)):
        assert found.tobytes() == alone.tobytes()


def test_what_an_example_misses_is_at_its_mean():
    values = np.arange(12.0).reshape(6, 2)
    values[2], values[4, 1], values[:, 1] = np.nan, np.nan, np.where(np.arange(6) == 1, 3.0, np.nan)
    found = examples_of(values, 6)
    complete = np.where(np.isnan(values), [np.nanmean(values[:, 0]), 3.0], values)
    assert sorted(map(tuple, found)) == sorted(map(tuple, complete))


def test_examples_of_rows_in_a_file_are_read_block_by_block(tmp_path):
    values = rows(300)
    np.save(tmp_path / "rows.npy", values)

    class Watched:
        """Rows that tell how many were asked for at a time."""

        shape, dtype, largest = values.shape, values.dtype, 0

        def __len__(self):
            return len(values)

        def __getitem__(self, index):
            found = values[index]
            Watched.largest = max(Watched.largest, len(found))
            return found

    class Wants(BSC):
        def n_examples(self, n_rows):
            return 40

    problem = Problem(Wants(n_latents=2), Exhaustive(), Watched(), RowBlocks(300, 7), SerialCommunicator(), 0)
    assert take_census(problem).moments.examples.tobytes() == examples_of(values, 40).tobytes()
    assert Watched.largest == 7


def test_examples_of_weighted_rows_are_drawn_by_their_weights():
    values, weights = np.arange(600.0)[:, None], np.where(np.arange(600) < 300, 1.0, 3.0)
    weights[::7] = 0.0
    first = examples_of(values, 100, weights=weights)
    assert len(np.unique(first)) == 100
    assert (first % 7 != 0).all()
    assert not (np.diff(first[:, 0]) > 0).all()
    heavy = np.mean([np.mean(examples_of(values, 100, seed=seed, weights=weights) >= 300) for seed in range(20)])
    assert 0.68 < heavy < 0.76  # without replacement a little less than 3 of 4
    for found in on_team(3, lambda comm: examples_of(values, 100, comm, weights=weights)):
        assert found.tobytes() == first.tobytes()


@given(st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_moments_of_weighted_rows_are_those_of_rows_that_come_so_often(seed):
    rng = np.random.default_rng(seed)
    values, weights = rows(60, 3, seed), rng.integers(0, 4, 60)
    values[rng.random(values.shape) < 0.1] = np.nan
    blocks = RowBlocks(60, 7)
    problem = Problem(BSC(n_latents=2), Exhaustive(), values, blocks, SerialCommunicator(), 0, weights=weights * 1.0)
    weighted, plain = take_census(problem), census_of(np.repeat(values, weights, axis=0))
    assert weighted.moments.mean == pytest.approx(plain.moments.mean, rel=1e-12)
    assert weighted.moments.variance == pytest.approx(plain.moments.variance, rel=1e-12)
    assert weighted.moments.n_rows == np.count_nonzero(weights)
    assert (weighted.low == plain.low).all()
    assert (weighted.n_observed == np.count_nonzero(~np.isnan(values[weights > 0]), axis=0)).all()
