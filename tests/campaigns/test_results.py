"""Tables of what runs came to."""

import csv
import json
import math

import h5py
import numpy as np
import pytest

from prosper_ng import cli
from prosper_ng.campaigns.plan import command_of, freeze
from prosper_ng.campaigns.results import ResultTable, collect, summarise, write_tables
from prosper_ng.campaigns.run_state import run_states
from prosper_ng.storage.run_record import read_run
from tests.helpers.campaigns import planned

nan = math.nan


def table_of(values, states=None, axis=None):
    n = len(values)
    columns = {
        "id": [f"r{row}" for row in range(n)],
        "size": axis or [4, 4, 8, 8],
        "state": states or ["finished"] * n,
        "psnr": np.array(values),
        "elapsed": np.array(values),
    }
    return ResultTable(columns, ("size",), ("psnr", "elapsed"))


def test_means_spreads_and_best_runs_of_each_point():
    found = summarise(table_of([1.0, 3.0, 5.0, 9.0])).columns
    assert found["size"] == [4, 8]
    assert found["n_runs"].tolist() == found["n_finished"].tolist() == [2, 2]
    assert found["psnr_mean"].tolist() == [2.0, 7.0]
    assert found["psnr_std"].tolist() == pytest.approx([math.sqrt(2), math.sqrt(8)])
    assert (found["psnr_min"].tolist(), found["psnr_max"].tolist()) == ([1.0, 5.0], [3.0, 9.0])
    assert found["psnr_best"] == ["r1", "r3"]
    assert found["elapsed_best"] == ["r0", "r2"]


def test_unfinished_and_unknown_numbers_count_for_nothing_but_keep_their_row():
    found = summarise(table_of([1.0, 3.0, nan, 9.0], ["finished", "failed", "finished", "waiting"])).columns
    assert (found["n_runs"].tolist(), found["n_finished"].tolist()) == ([2, 2], [1, 1])
    assert found["psnr_mean"][0] == 1.0
    assert math.isnan(found["psnr_mean"][1])
    assert math.isnan(found["psnr_std"][0])
    assert found["psnr_best"] == ["r0", ""]


def test_sections_and_lists_tell_points_apart():
    axis = [{"kind": "a"}, {"kind": "b"}, [1, 2], [1, 2]]
    assert summarise(table_of([1.0, 2.0, 3.0, 5.0], axis=axis)).columns["psnr_mean"].tolist() == [1.0, 2.0, 4.0]


@pytest.fixture
def ran(tmp_path):
    """A plan of four runs, of which two were run."""
    plan = planned(tmp_path, "fixed: {training.n_sweeps: 2}\nrepeats: 2\ngrid: {model.n_latents: [4, 6]}\n")
    for run in (plan.runs[0], plan.runs[2]):
        freeze(run)
        assert cli.main(command_of(run)[3:]) == 0
    return plan


def without_numbers(folder):
    """Have a status say what those of earlier versions did."""
    content = json.loads((folder / "status.json").read_text())
    del content["numbers"], content["noise"]
    (folder / "status.json").write_text(json.dumps(content))


def test_the_table_is_the_same_whether_the_status_has_the_numbers_or_not(ran, tmp_path):
    tables = []
    for _ in range(2):
        table = collect(ran, run_states(ran, {}))
        write_tables(table, summarise(table), tmp_path)
        tables.append([(tmp_path / name).read_bytes() for name in ("runs.csv", "points.csv")])
        for run in (ran.runs[0], ran.runs[2]) if len(tables) == 1 else ():
            without_numbers(run.folder)
    assert tables[0] == tables[1]


def test_every_run_is_a_row_with_what_it_has_measured(ran):
    table = collect(ran, run_states(ran, {}))
    columns = table.columns
    assert list(columns)[:6] == ["id", "model.n_latents", "repeat", "seed", "state", "reason"]
    assert columns["id"] == [run.id for run in ran.runs]
    assert columns["state"] == ["finished", "waiting", "finished", "waiting"]
    for row in (0, 2):
        record = read_run(ran.runs[row].folder)
        assert columns["free_energy"][row] == record.last("free_energy")
        assert columns["sigma"][row] == record.parameters["sigma"]
        assert columns["recovered_found"][row] == record.results["recovered"]["found"]
        assert columns["sweeps"][row] == 2
        assert columns["n_evaluated"][row] == record.history["n_evaluated"].sum()
    assert all(np.isnan(columns[name][[1, 3]]).all() for name in table.measures)


def test_an_entropy_gap_is_a_measure_where_it_is_more_than_rounding(ran):
    assert "entropy_gap" in read_run(ran.runs[0].folder).history
    assert "entropy_gap" not in collect(ran, run_states(ran, {})).columns
    with h5py.File(ran.runs[0].folder / "run.h5", "r+") as file:
        file["history/entropy_gap"][-1] = -0.01
    without_numbers(ran.runs[0].folder)
    table = collect(ran, run_states(ran, {}))
    np.testing.assert_array_equal(table.columns["entropy_gap"], [-0.01, nan, 0.0, nan])
    assert "entropy_gap" in table.measures


def test_what_rounding_tells_apart_has_no_deviation():
    values = [-300.0, -300.0 + 1e-13, 1e-14, 3e-14]
    found = summarise(table_of(values)).columns["psnr_std"]
    assert found[0] == 0
    assert found[1] == pytest.approx(math.sqrt(2) * 1e-14)


def test_files_hold_the_tables(ran, tmp_path):
    table = collect(ran, run_states(ran, {}))
    points = summarise(table)
    paths = write_tables(table, points, tmp_path / "tables")
    assert [path.name for path in paths] == ["runs.csv", "points.csv", "table.h5"]
    with paths[0].open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == table.columns["id"]
    assert float(rows[2]["free_energy"]) == table.columns["free_energy"][2]
    assert rows[1]["free_energy"] == ""
    with h5py.File(paths[2]) as file:
        assert list(file["runs"]) == list(table.columns)
        assert file["runs/free_energy"][0] == table.columns["free_energy"][0]
        assert file["runs/state"].asstr()[:].tolist() == table.columns["state"]
        assert file["points/n_finished"][:].tolist() == [1, 1]
        assert list(file["runs"].attrs["axes"]) == ["model.n_latents"]
        assert {file["runs"][column].dims[0][0].name for column in table.columns} == {"/run"}
        assert file["points/n_finished"].dims[0][0] == file["point"]


def test_the_command_writes_tables_and_figures(ran, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["campaign", "collect", str(ran.path), "--output", str(ran.folder)]) == 0
    out = capsys.readouterr().out
    assert "2 finished, 2 waiting" in out
    for line in out.splitlines():
        if line.startswith("written: "):
            assert (ran.folder / line.removeprefix("written: ")).exists()
    assert (ran.folder / "figures" / "model.n_latents-free_energy.png").exists()
