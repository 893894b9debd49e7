"""Text tables for a learned model: read as the run's own was, and never with columns in another order than it knows."""

import json
import shutil

import h5py
import numpy as np
import pytest

import prosper_ng
from prosper_ng.cli import main
from prosper_ng.data.sources.bars import Bars
from prosper_ng.storage.run_record import RunFileError, read_run
from tests.helpers.inference_runs import commands, train

VALUES = Bars(n_bars=4, n_rows=60).open(5).read(0, 60)
NAMES = ["a", "b", "c", "d"]
SECTIONS = {
    "model": {"kind": "bsc", "n_latents": 4},
    "estep": {"kind": "exhaustive"},
    "training": {"n_sweeps": 4},
}


def table(path, values, names, delimiter=","):
    lines = [delimiter.join(map(repr, row)) for row in values.tolist()]
    path.write_text("\n".join([*([delimiter.join(names)] if names else []), *lines]), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on the four named columns of a table that holds an identifier and a label besides."""
    folder = tmp_path_factory.mktemp("named")
    rows = [f"r{row},{','.join(map(repr, values))},x" for row, values in enumerate(VALUES.tolist())]
    (folder / "own.csv").write_text("\n".join(["id,a,b,c,d,label", *rows]), encoding="utf-8")
    data = {"kind": "csv", "path": str(folder / "own.csv"), "columns": "1:5", "row_shape": [2, 2]}
    train(folder, data=data, **SECTIONS)
    return folder


@pytest.fixture
def call(tmp_path, capsys):
    return commands(tmp_path, capsys)


def test_a_run_keeps_the_names_of_its_columns_and_the_shape_of_its_rows(folder):
    record = read_run(folder / "run")
    assert record.column_names == tuple(NAMES)
    assert record.attributes["patch_shape"].tolist() == [2, 2]
    known = prosper_ng.load(folder / "run")
    known.save(folder / "saved.h5", force=True)
    assert prosper_ng.load(folder / "saved.h5").column_names == tuple(NAMES)


@pytest.mark.parametrize("stored", ["5", "no JSON", 3, '["a"]'])
def test_damaged_names_are_said_in_one_sentence(folder, tmp_path, stored):
    shutil.copytree(folder / "run", tmp_path / "run")
    with h5py.File(tmp_path / "run" / "run.h5", "r+") as file:
        file.attrs["column_names"] = stored
    with pytest.raises(RunFileError, match="column_names holds no name for each column of the data"):
        prosper_ng.load(tmp_path / "run")


def test_columns_are_taken_by_name_whatever_their_order(folder, call, capsys, tmp_path):
    own, _, _ = call("infer", folder / "run")
    order = [2, 0, 3, 1]
    more = np.column_stack([VALUES[:, order], np.arange(60.0) ** 2])
    tables = {
        "order": table(tmp_path / "order.csv", VALUES[:, order], [NAMES[place] for place in order]),
        "more": table(tmp_path / "more.tsv", more, [*(NAMES[place] for place in order), "e"], "\t"),
    }
    for path in tables.values():
        out = tmp_path / "by_name.h5"
        assert main(["infer", str(folder / "run"), path, "--output", str(out), "--force"]) == 0
        assert "are taken by their names, as" in capsys.readouterr().err
        with h5py.File(out) as file:
            assert (file["means"][()] == own["means"]).all()
            assert json.loads(file.attrs["data_source"])["columns"] == NAMES


def test_what_needs_no_word_is_read_as_it_is(folder, call, capsys, tmp_path):
    own, _, _ = call("infer", folder / "run")
    np.save(tmp_path / "plain.npy", VALUES)
    for data in (folder / "own.csv", tmp_path / "plain.npy"):
        found, _, _ = call("infer", folder / "run", data, "--force")
        assert (found["means"] == own["means"]).all()
        assert capsys.readouterr().err == ""


def test_tables_that_are_written_have_these_names_and_can_be_read_again(folder, tmp_path):
    filled, codes = tmp_path / "filled.csv", tmp_path / "codes.csv"
    assert main(["reconstruct", str(folder / "run"), "--output", str(filled), "--quiet"]) == 0
    assert filled.read_text(encoding="utf-8").splitlines()[0] == "a,b,c,d"
    assert main(["infer", str(folder / "run"), str(filled), "--output", str(codes), "--quiet"]) == 0
    assert len(codes.read_text(encoding="utf-8").splitlines()) == len(VALUES)  # of latents, as many as columns here


def test_columns_of_other_names_are_refused(folder, call, tmp_path):
    lacking = table(tmp_path / "lacking.csv", np.column_stack([np.arange(60.0) ** 2, VALUES]), [*"eabcf"])
    said = call("infer", folder / "run", lacking)
    assert "has no column 'd'" in said
    assert "name them alike, or leave the header out" in said
    twice = table(tmp_path / "twice.csv", np.column_stack([VALUES, VALUES[:, :1]]), [*NAMES, "a"])
    assert "has 2 columns 'a'" in call("infer", folder / "run", twice)


def test_rows_in_several_files_and_transposed(tmp_path, call):
    """A run over transposed tables reads others in the same way, and knows columns by the names of rows."""
    for part, rows in (("1", VALUES[:20]), ("2", VALUES[20:])):
        lines = ["\t".join([name, *map(repr, column)]) for name, column in zip(NAMES, rows.T.tolist(), strict=True)]
        (tmp_path / f"p{part}.tsv").write_text("\n".join(lines), encoding="utf-8")
        (tmp_path / f"q{part}.tsv").write_text("\n".join(lines[::-1]), encoding="utf-8")
    data = {"kind": "csv", "path": str(tmp_path / "p*.tsv"), "transpose": True}
    run = train(tmp_path, data=data, **SECTIONS)
    own, attributes, _ = call("infer", run)
    assert attributes["n_rows"] == 60
    other, _, _ = call("infer", run, tmp_path / "q*.tsv", "--force")
    assert (own["means"] == other["means"]).all()


def test_a_run_goes_on_from_the_same_rows_in_other_files(tmp_path):
    """And draws its dictionary in the shape of its rows."""
    table(tmp_path / "p1.csv", VALUES[:20], NAMES)
    table(tmp_path / "p2.csv", VALUES[20:], NAMES)
    np.save(tmp_path / "turned.npy", VALUES.T)
    data = {"kind": "csv", "path": str(tmp_path / "p*.csv"), "row_shape": [2, 2], "whiten": "zca"}
    run = train(tmp_path, data=data, **SECTIONS, output={"figures": True})
    assert (run / "dictionary.png").is_file()
    again = ["run", str(tmp_path / "config.yaml"), "--output", str(run), "--quiet", "--set", "training.n_sweeps=6"]
    turned = [f"data.path={tmp_path}/turned.npy", "data.kind=npy", "data.transpose=true"]
    assert main([*again, *(word for each in turned for word in ("--set", each))]) == 0
    assert read_run(run).sweeps == 6
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert "rows come from 2 files in this order" in log
    assert "p1.csv: 4 fields, delimiter comma, header" in log
