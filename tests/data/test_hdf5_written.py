"""What was never written of a dataset reads as zeros: refused where it is all of it, else told with its share."""

import warnings

import h5py
import numpy as np
import pytest

import prosper_ng
from prosper_ng.cli import main
from prosper_ng.data.dataset import DataError
from prosper_ng.data.sources._hdf5_dataset import read_array
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.mat import Mat

ROWS = np.random.default_rng(0).normal(size=(100, 4))


def partly(path, rows, **options):
    """A file with some of the rows of a dataset written."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("rows", (100, 4), options.pop("dtype", "f8"), **{"chunks": (10, 4)} | options)
        for start in rows:
            dataset[start : start + 10] = ROWS[start : start + 10]
    return path


def opened(path, **options):
    return Hdf5(path=str(path), dataset="rows", **options).open(0)


def test_rows_that_were_never_written_are_told(tmp_path):
    path = partly(tmp_path / "d.h5", range(0, 70, 10))
    dataset = opened(path)
    assert dataset.doubts == (
        f"dataset 'rows' of {path}: 30% of its chunks were never written, which leaves 30 of 100 rows without a value "
        "(the first is row 70, counted from 0); it is read as 0.0 there: cut it to what was written",
    )
    assert not dataset.read(70, 100).any()


@pytest.mark.parametrize(
    ("rows", "options", "share", "n_rows", "first"),
    [
        ([10, 30], {}, "80%", 80, 0),
        ([0, 90], {"compression": "gzip"}, "80%", 80, 10),
        ([0], {"chunks": (10, 3), "maxshape": (None, 4)}, "90%", 90, 10),
        ([0, 60], {"chunks": (60, 2)}, None, 0, None),
        ([0], {"chunks": (60, 4)}, "50%", 40, 60),
        ([0], {"fillvalue": -1.0}, "90%", 90, 10),
    ],
)
def test_the_share_is_counted_in_chunks(tmp_path, rows, options, share, n_rows, first):
    dataset = opened(partly(tmp_path / "d.h5", rows, **options))
    if share is None:
        assert dataset.doubts == ()
        return
    (doubt,) = dataset.doubts
    assert f"{share} of its chunks were never written, which leaves {n_rows} of 100 rows" in doubt
    assert f"the first is row {first}," in doubt
    assert f"read as {options.get('fillvalue', 0.0)} there" in doubt


def test_parts_of_rows(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("rows", (100, 4), "f8", chunks=(10, 2))[:, :2] = 1.0
    (doubt,) = opened(tmp_path / "d.h5").doubts
    assert "50% of its chunks were never written; it is read as 0.0 there" in doubt


@pytest.mark.parametrize("how", ["chunks", "contiguous", "nan"])
def test_where_nothing_was_written_there_are_no_data(tmp_path, how):
    options = {"contiguous": {"chunks": None}, "nan": {"fillvalue": np.nan}}.get(how, {})
    partly(tmp_path / "d.h5", [], **options)
    for missing in (False, True):
        with pytest.raises(DataError, match=r"was declared with shape \(100, 4\) but never written"):
            opened(tmp_path / "d.h5", missing=missing)


def test_what_was_not_written_is_missing_where_the_fill_value_is_nan(tmp_path):
    path = partly(tmp_path / "d.h5", [0], fillvalue=np.nan)
    dataset = opened(path, missing=True)
    assert dataset.doubts == ()
    assert np.isnan(dataset.read(0, 100)).sum() == 360
    with pytest.raises(DataError, match=r"row 10, column 0 .* is nan; .* set `missing: true`"):
        opened(path).read(0, 100)


def test_where_it_is_left_to_chance_what_is_read(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        options.set_chunk((10, 4))
        options.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((100, 4))
        h5py.h5d.create(file.id, b"rows", h5py.h5t.NATIVE_DOUBLE, space, options)
        file["rows"][:50] = 1.0
    with pytest.raises(DataError, match=r"50% of its chunks were never written.*; what would be read there is left to"):
        opened(tmp_path / "d.h5")


def test_rows_of_a_file_of_matlab_lie_along_the_last_axis(tmp_path):
    with h5py.File(tmp_path / "d.mat", "w") as file:
        file.create_dataset("rows", (4, 100), "f8", chunks=(4, 20))[:, :60] = 1.0
        file["rows"].attrs["MATLAB_class"] = np.bytes_("double")
    (doubt,) = Mat(path=str(tmp_path / "d.mat"), variable="rows").open(0).doubts
    assert (
        "40% of its chunks were never written, which leaves 40 of 100 rows without a value (the first is row 60"
        in doubt
    )


def test_parameters_must_be_written_as_a_whole(tmp_path):
    path = partly(tmp_path / "d.h5", [0])
    with pytest.raises(DataError, match="90% of its chunks were never written"):
        read_array(path, "rows")


def test_a_dataset_in_hand_is_looked_at_alike(tmp_path):
    with h5py.File(partly(tmp_path / "d.h5", range(0, 70, 10))) as file:
        training = {"n_sweeps": 1}
        with pytest.warns(UserWarning, match="the array: 30% of its chunks were never written") as told:
            learned = prosper_ng.learn(file["rows"], {"kind": "bsc", "n_latents": 2}, training=training)
        assert [str(each.message).startswith("the array: 30%") for each in told].count(True) == 1
        for answer in (learned.posterior, learned.free_energy, learned.reconstruct):
            with pytest.warns(UserWarning, match="the array: 30% of its chunks were never written") as told:
                answer(file["rows"])
            assert told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            learned.free_energy(file["rows"][:70])
        for thing, what in ((file, "file"), (file["/"], "group")):
            with pytest.raises(DataError, match=f"is a {what} of h5py; give one of the datasets in it"):
                dataset_of(thing)
        closed = file["rows"]
    with pytest.raises(DataError, match="belongs to a file that was closed"):
        dataset_of(closed)


def test_a_dataset_in_hand_may_be_spread_over_files_that_are_there(tmp_path):
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["rows"] = ROWS[:50]
    layout = h5py.VirtualLayout((100, 4), "f8")
    for place, name in enumerate("ab"):
        layout[50 * place : 50 * (place + 1)] = h5py.VirtualSource(f"{name}.h5", "rows", (50, 4))
    (tmp_path / "raw").write_bytes(ROWS.tobytes())
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("external", (100, 4), "f8", external=[(str(tmp_path / "raw"), 0, 3200)])
    with h5py.File(tmp_path / "d.h5") as file:
        for name in ("virtual", "external"):
            dataset = dataset_of(file[name])
            assert dataset.doubts == ()
            np.testing.assert_array_equal(dataset.read(0, 50), ROWS[:50])
    (tmp_path / "b.h5").unlink()
    (tmp_path / "raw").write_bytes(ROWS[:50].tobytes())
    with h5py.File(tmp_path / "d.h5") as file:
        for name in ("virtual", "external"):
            (doubt,) = dataset_of(file[name]).doubts
            assert doubt.startswith(
                "the array: 50% of it is in no file that is there, and is read as 0.0; bring the files"
            )
    (tmp_path / "a.h5").unlink()
    with h5py.File(tmp_path / "d.h5") as file, pytest.raises(DataError, match="100% of it is in no file that is there"):
        dataset_of(file["virtual"])


def test_commands_say_so(tmp_path, capsys):
    partly(tmp_path / "d.h5", range(0, 70, 10))
    config = tmp_path / "c.yaml"
    config.write_text(
        "name: r\nmodel: {kind: bsc, n_latents: 2}\nestep: {kind: exhaustive}\ntask: {kind: train}\n"
        f"data: {{kind: hdf5, path: {tmp_path}/d.h5, dataset: rows}}\noutput: {{folder: {tmp_path}/r}}\n"
        "training: {n_sweeps: 1}\n"
    )
    said = "30% of its chunks were never written"
    assert main(["run", str(config)]) == 0
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count(said) == 1
    assert said in (tmp_path / "r" / "log.txt").read_text()
    for command in (["infer"], ["reconstruct", "--output", str(tmp_path / "o.h5")]):
        assert main([command[0], str(tmp_path / "r"), *command[1:]]) == 0
        assert capsys.readouterr().err.count(f"warning: dataset 'rows' of {tmp_path}/d.h5: {said}") == 1
