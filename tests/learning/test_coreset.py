"""Few rows that stand for all: which, how much each counts, and what is told of all rows in the end."""

import json

import numpy as np
import pytest
import yaml

import prosper_ng
from prosper_ng import cli
from prosper_ng.config import from_mapping
from prosper_ng.errors import UserError
from prosper_ng.experiments.estimate import estimate
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.learning.coreset import AllRows, drawn_coreset
from prosper_ng.models.mixture import Mixture
from prosper_ng.numerics.random_streams import stream
from prosper_ng.observables.poisson import Poisson
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.parallel.team import on_team
from prosper_ng.storage.run_record import read_run
from prosper_ng.training.held_out import HeldOut

N, D, C, M = 400, 3, 4, 60
SCALAR, DIAGONAL = Mixture(n_components=C, noise="scalar"), Mixture(n_components=C)
CLUSTERS = {"kind": "clusters", "n_states": 2, "n_near": 3}


def rows_of(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(rng.uniform(-9, 9, (C, D))[rng.integers(C, size=N)])


def draw(values, model=SCALAR, m=M, seed=0, weights=None, comm=None):
    comm = comm or SerialCommunicator()
    weigh = None if weights is None else lambda start, stop: weights[start:stop]
    every = AllRows(lambda start, stop: values[start:stop].copy(), weigh, values.shape[1], RowBlocks(N, 16), comm)
    return drawn_coreset(m, every, every, model, seed)


def learn(rows, model=SCALAR, estep=CLUSTERS, **changes):
    given = {"training": {"n_sweeps": 5, "block_rows": 8}, "seed": 3, "coreset": M} | changes
    return prosper_ng.learn(rows, model, estep=estep, missing=bool(np.isnan(rows).any()), **given)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_rows_are_drawn_and_weighted_by_their_distance_from_the_mean(is_weighted):
    values = rows_of()
    own = np.random.default_rng(1).exponential(size=N) if is_weighted else np.ones(N)
    own[3] = 0.0 if is_weighted else 1.0
    found = draw(values, weights=own if is_weighted else None, seed=5)
    squares = np.sum(np.square(values - np.average(values, axis=0, weights=own)), axis=1)
    q = 0.5 * own / own.sum() + 0.5 * own * squares / (own @ squares)
    priorities = q / (1 - stream(5, "coreset").uniform(np.arange(N)))
    order = np.argsort(-priorities)
    assert (found.numbers == np.sort(order[:M])).all()
    expected = own * np.maximum(1, priorities[order[M]] / np.where(q > 0, q, np.nan))
    assert found.weights == pytest.approx(expected[found.numbers], rel=1e-10)


def test_sums_over_them_are_those_over_all_rows_on_average():
    values = rows_of()
    own = np.random.default_rng(1).exponential(size=N)
    statistics = np.concatenate([np.ones((N, 1)), values, values**2], axis=1)
    exact = own @ statistics
    found = [draw(values, seed=seed, weights=own) for seed in range(400)]
    sums = np.array([each.weights @ statistics[each.numbers] for each in found])
    errors = (sums.mean(axis=0) - exact) / (sums.std(axis=0) / np.sqrt(len(found)))
    assert np.abs(errors).max() < 4
    assert sums[:, 0].std() < 0.2 * exact[0]


def test_any_number_of_ranks_draws_the_same_bits():
    values, weights = rows_of(), np.random.default_rng(1).exponential(size=N)
    values[np.random.default_rng(2).random((N, D)) < 0.1] = np.nan
    first = draw(values, DIAGONAL, weights=weights)
    for size in (2, 3):
        for found in on_team(size, lambda comm: draw(values, DIAGONAL, weights=weights, comm=comm)):
            assert [each.tobytes() for each in found] == [each.tobytes() for each in first]


def test_columns_count_in_units_of_their_own_unless_they_share_one_noise():
    values = rows_of()
    other = values * [1.0, 1024.0, 1.0] + [0.0, 0.0, 2.0**20]
    one, two = draw(values, DIAGONAL), draw(other, DIAGONAL)
    assert (one.numbers == two.numbers).all()
    assert two.weights == pytest.approx(one.weights, rel=1e-6)
    assert (draw(values).numbers != draw(other).numbers).any()


def test_rows_without_any_weight_are_never_drawn_and_fewer_than_asked_for_are_all():
    weights = np.where(np.arange(N) % 9 == 0, 2.0, 0.0)
    found = draw(rows_of(), weights=weights)
    assert (found.numbers == np.arange(0, N, 9)).all()
    assert (found.weights == 2.0).all()


@pytest.mark.parametrize(
    "values", [np.full((N, 2), 1e6), np.where(np.arange(N)[:, None] == 7, 1e140, np.zeros((N, 1)))], ids=["flat", "far"]
)
def test_rows_without_variation_and_one_that_is_far(values):
    found = draw(values, DIAGONAL)
    assert len(found.numbers) == M
    assert np.isfinite(found.weights).all()


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("model", [SCALAR, DIAGONAL, Mixture(n_components=C, observable=Poisson())])
def test_the_last_step_is_a_sweep_over_all_rows(model, is_weighted):
    rows, last = np.round(np.abs(rows_of())), []
    weights = np.random.default_rng(3).integers(0, 3, N) if is_weighted else None
    found = learn(
        rows, model, "exhaustive", weights=weights,
        on_sweep=lambda report, params: last.append({name: values.copy() for name, values in params.items()}),
    )  # fmt: skip
    start, training = last[-1], {"n_sweeps": 1, "block_rows": 8}
    whole = learn(rows, model, "exhaustive", weights=weights, coreset=None, start=start, training=training)
    for name, values in whole.params.items():
        assert found.params[name] == pytest.approx(values, rel=1e-9), name
        assert (found.params[name] != start[name]).any()
    told = found.on_all_rows
    assert told["n_rows"] == N
    assert told["free_energy"] == pytest.approx(whole.history["free_energy"][-1], rel=1e-12)
    if model is SCALAR:
        assert told["mean_squared_error"] == pytest.approx(float(whole.params["sigma"]) ** 2, rel=1e-9)
    else:
        assert "mean_squared_error" not in told


def test_the_error_that_is_told_is_that_of_the_nearest_centers():
    rows = rows_of()
    found = learn(rows, Mixture(n_components=C, noise="scalar", equal_weights=True), CLUSTERS | {"n_states": 1})
    nearest = np.square(rows[:, :, None] - found.params["W"]).sum(axis=1).min(axis=1)
    assert found.on_all_rows["mean_squared_error"] == pytest.approx(nearest.mean() / D, rel=1e-3)
    assert found.on_all_rows["mean_squared_error"] >= nearest.mean() / D * (1 - 1e-12)
    assert learn(rows, coreset=None).on_all_rows == {}


def test_the_last_step_learns_what_the_last_sweep_learns():
    start = {"W": np.random.default_rng(1).normal(0, 5, (D, C))}
    training = {"n_sweeps": 3, "block_rows": 8, "hold": {"W": 9}, "learn": ["W", "pi"]}
    with pytest.warns(UserWarning, match=r"training\.hold: W is learned from sweep 9 on"):
        found = learn(rows_of(), estep="exhaustive", start=start, training=training)
    assert (found.params["W"] == start["W"]).all()


def test_rows_held_out_are_no_part_of_the_last_step():
    rows = rows_of()
    drawn = draw(rows, seed=3).numbers
    held = drawn[HeldOut(0.2, 3, M).among(np.arange(M))]
    changed = rows.copy()
    changed[held] += 1e-9  # which draws the same rows
    one, other = (learn(each, held_out=0.2, estep="exhaustive") for each in (rows, changed))
    assert one.on_all_rows["n_rows"] == N - len(held)
    assert one.data_digest != other.data_digest
    for name, values in one.params.items():
        assert other.params[name] == pytest.approx(values, rel=1e-12), name
    assert (one.history["held_out_free_energy"] != other.history["held_out_free_energy"]).all()


@pytest.mark.parametrize("has_gaps", [False, True])
def test_any_number_of_ranks_learns_the_same_bits(has_gaps):
    rows = rows_of()
    rows[np.random.default_rng(2).random((N, D)) < 0.1 * has_gaps] = np.nan
    training = {"n_sweeps": 3, "block_rows": 8, "updates_per_sweep": 2, "restarts": 2, "restart_sweeps": 2}
    found = [learn(rows, held_out=0.2, training=training, n_jobs=n_jobs) for n_jobs in (1, 2, 3)]
    assert len({(each.digest, each.data_digest, str(each.on_all_rows)) for each in found}) == 1
    assert np.isfinite(found[0].history["held_out_free_energy"]).all()
    assert found[0].data_digest == learn(rows, coreset=None).data_digest


def test_learning_in_a_folder_goes_on_with_the_same_rows(tmp_path):
    rows, weights = rows_of(), np.random.default_rng(3).exponential(size=N)
    whole = learn(rows, weights=weights)
    first = learn(rows, weights=weights, folder=tmp_path / "a", training={"n_sweeps": 2, "block_rows": 8})
    assert first.n_sweeps == 2
    found = learn(rows, weights=weights, folder=tmp_path / "a")
    assert (found.digest, found.on_all_rows) == (whole.digest, whole.on_all_rows)
    assert prosper_ng.load(tmp_path / "a").on_all_rows == whole.on_all_rows
    whole.save(tmp_path / "b.h5")
    assert prosper_ng.load(tmp_path / "b.h5").on_all_rows == whole.on_all_rows
    for changes, sentence in (
        (
            {"weights": 2 * weights + 1},
            "holds a run on other data: the array does not hold the rows that it began",
        ),
        (
            {"weights": None},
            "does not hold the rows that it began with, with the same weights and labels; choose another",
        ),
        ({"coreset": 50}, r"holds 60 rows and the data 50: continue with the data .*, and its data.coreset if it had"),
        ({"coreset": None}, r"holds 60 rows and the data 400"),
    ):
        with pytest.raises(UserError, match=sentence):
            learn(rows, folder=tmp_path / "a", **{"weights": weights} | changes)


def test_as_many_as_there_are_rows_are_all_of_them_with_a_warning():
    rows = rows_of()
    with pytest.warns(UserWarning, match=f"coreset: {N} rows are no fewer than the {N} there are; all"):
        found = learn(rows, coreset=N)
    assert found.digest == learn(rows, coreset=None).digest
    assert found.on_all_rows == {}


@pytest.fixture
def config(tmp_path):
    """The configuration of a run over weighted rows in files."""
    np.save(tmp_path / "rows.npy", rows_of())
    np.save(tmp_path / "w.npy", np.random.default_rng(3).exponential(size=N))
    return {
        "name": "few",
        "seed": 3,
        "data": {
            "kind": "npy", "path": str(tmp_path / "rows.npy"), "weights": str(tmp_path / "w.npy"), "coreset": M
        },
        "model": {"kind": "mixture", "n_components": C, "noise": "scalar"},
        "estep": CLUSTERS,
        "training": {"n_sweeps": 5, "block_rows": 8},
        "output": {"folder": str(tmp_path / "run"), "figures": False},
    }  # fmt: skip


def test_a_run_tells_of_all_rows_in_its_log_and_results(config, tmp_path, capsys):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert cli.main(["validate", str(tmp_path / "run.yaml")]) == 0
    assert cli.main(["--quiet", "run", str(tmp_path / "run.yaml")]) == 0
    record, log = read_run(tmp_path / "run"), (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    whole = learn(rows_of(), weights=np.load(tmp_path / "w.npy"))
    assert record.attributes["digest"] == whole.digest
    assert record.results["all_rows"] == whole.on_all_rows
    assert f"a coreset of {M} of {N} rows is learned from, weighted to stand for all" in log
    assert (
        f"after a step on all {N} rows: free energy {whole.on_all_rows['free_energy']:.6g} per row, mean squared error"
        in log
    )
    capsys.readouterr()
    assert cli.main(["show", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["all_rows"]["n_rows"] == N
    assert cli.main(["--quiet", "infer", str(tmp_path / "run"), "--output", str(tmp_path / "i.h5")]) == 0


def test_what_it_takes_is_that_of_the_rows_that_are_drawn(config):
    found, whole = (
        estimate(from_mapping({**config, "data": data}, RunConfig).value, 1)
        for data in (config["data"], {**config["data"], "coreset": None})
    )
    assert (found.blocks.n_rows, whole.blocks.n_rows) == (M, N)
    assert found.needs.total < whole.needs.total
    assert found.n_passed == N


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"weights": "nothing.npy"}, "error: nothing.npy: no such file\n  while opening the data\n"),
        ({"coreset": 0}, "error: `data.coreset` must be an integer greater than 0 or null, not the integer `0`\n"),
    ],
)
def test_bad_input_is_a_sentence(config, tmp_path, capsys, data, sentence):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({**config, "data": config["data"] | data}), encoding="utf-8")
    assert cli.main(["run", str(tmp_path / "run.yaml")]) == 2
    assert sentence in capsys.readouterr().err


def test_a_picture_is_put_together_from_all_rows(config):
    data = {"kind": "image", "image": "camera", "patch_size": 4, "coreset": 50}
    changed = {**config, "data": data, "task": {"kind": "denoise"}}
    with pytest.raises(UserError, match=r"task denoise is about all rows, and data\.coreset learns from some"):
        from_mapping(changed, RunConfig)


def test_another_coreset_is_another_computation_and_none_is_the_former_one(config):
    plain = {**config, "data": {name: config["data"][name] for name in ("kind", "path")}}
    lasting = [from_mapping(each, RunConfig).lasting["data"] for each in (plain, config)]
    assert set(lasting[0]) == {"kind", "path", "missing", "remove_mean", "whiten", "whiten_epsilon"}
    assert {"weights", "coreset"} <= set(lasting[1])
