"""Arrays in files: every format gives back the rows that were saved, in any slice, at once and bit for bit."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from prosper_ng.cli import main
from prosper_ng.components import components_of
from prosper_ng.data.dataset import DataError
from prosper_ng.data.row_file import stored_rows
from prosper_ng.data.sources._arrays import ArrayDataset
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.csv import Csv
from prosper_ng.data.sources.hdf5 import Hdf5
from prosper_ng.data.sources.mat import Mat
from prosper_ng.data.sources.npy import Npy
from prosper_ng.data.sources.npz import Npz
from prosper_ng.errors import UserError

N_ROWS, N_COLUMNS = 37, 5
FORMATS = ["hdf5", "hdf5 compressed", "npy", "npy fortran", "npz", "npz compressed", "npz fortran"]
FORMATS += ["mat", "mat 7.3", "csv"]
DTYPES = ["float64", "float32", "float16", ">f8", "int8", "uint16", ">i4", "int64", "bool"]


def numbers(dtype):
    return (np.random.default_rng(1).normal(20, 15, (N_ROWS, N_COLUMNS)) % 100).astype(dtype)


def saved(folder, form, values):
    """A source over `values`, saved to a file of the given format."""
    path = folder / "data"
    if form.startswith("hdf5"):
        options = (
            {"compression": "gzip", "chunks": (8, *(min(side, 3) for side in values.shape[1:]))}
            if "compressed" in form
            else {}
        )
        with h5py.File(path, "w") as file:
            file.create_dataset("group/rows", data=values, **options)
        return Hdf5(path=str(path), dataset="group/rows")
    if form.startswith("npy"):
        np.save(folder / "data.npy", np.asfortranarray(values) if "fortran" in form else values)
        return Npy(path=str(folder / "data.npy"))
    if form.startswith("npz"):
        save = np.savez_compressed if "compressed" in form else np.savez
        save(folder / "data.npz", other=np.zeros(3), rows=np.asfortranarray(values) if "fortran" in form else values)
        return Npz(path=str(folder / "data.npz"), array="rows")
    if form == "csv":
        lines = [",".join(repr(value) for value in row) for row in values.tolist()]
        (folder / "data.csv").write_text("\n".join(lines), encoding="utf-8")
        return Csv(path=str(folder / "data.csv"))
    if form == "mat":
        savemat(path, {"rows": values, "other": np.eye(2)}, appendmat=False, do_compression=True)
    else:
        # As MATLAB writes it: a user block, axes swapped, the class as an attribute.
        with h5py.File(path, "w", userblock_size=512) as file:
            file["rows"] = values.T
            file["rows"].attrs["MATLAB_class"] = np.bytes_("double")
        content = bytearray(path.read_bytes())
        content[:20] = b"MATLAB 7.3 MAT-file,"
        path.write_bytes(content)
    return Mat(path=str(path), variable="rows")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMATS)
def test_rows_come_back_in_any_slice(tmp_path, form, dtype):
    values = numbers(dtype)
    dataset = saved(tmp_path, form, values).open(0)
    assert (dataset.n_rows, dataset.n_observed, dataset.row_shape) == (N_ROWS, N_COLUMNS, (N_COLUMNS,))
    for start, stop in [(20, 37), (0, N_ROWS), (3, 4), (5, 5), (11, 30), (0, 2)]:
        rows = dataset.read(start, stop)
        assert rows.dtype == np.float64
        assert rows.flags.c_contiguous
        np.testing.assert_array_equal(rows, values[start:stop].astype(np.float64))


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_read_can_be_changed_without_changing_the_data(tmp_path, form):
    values = numbers("float64")
    dataset = saved(tmp_path, form, values).open(0)
    dataset.read(0, 5)[:] = -1
    np.testing.assert_array_equal(dataset.read(0, 5), values[:5])


@pytest.mark.parametrize("trailing", [(4, 3), (2, 2, 3), (5,)])
@pytest.mark.parametrize("form", [form for form in FORMATS if form != "csv"])
def test_data_points_of_more_dimensions_are_made_rows_of(tmp_path, form, trailing):
    """The first axis is that of the data points, in MATLAB as well; a row is read as C has it."""
    values = np.random.default_rng(3).normal(size=(N_ROWS, *trailing))
    source = saved(tmp_path, form, values)
    dataset = replace(source, flatten=True).open(0)
    expected = values.reshape(N_ROWS, -1)
    assert (dataset.n_rows, dataset.n_observed, dataset.row_shape) == (N_ROWS, expected.shape[1], trailing)
    for start, stop in [(0, N_ROWS), (5, 5), (11, 30), (36, 37)]:
        rows = dataset.read(start, stop)
        assert rows.flags.c_contiguous
        np.testing.assert_array_equal(rows, expected[start:stop])
    if dataset.stored is not None:
        np.testing.assert_array_equal(stored_rows(dataset.stored, 3, (30, expected.shape[1]))[:], expected[3:33])
    if len(trailing) > 1:
        with pytest.raises(
            DataError, match=r"needed are 2 .*; `flatten: true` makes a row of each, if the 37 entries of"
        ):
            source.open(0)


def test_data_points_lie_on_one_axis():
    with pytest.raises(UserError, match="flatten takes the data points along the first axis, and transpose along"):
        Npy(path="d.npy", flatten=True, transpose=True)


def test_several_files_may_be_flattened(tmp_path):
    values = np.random.default_rng(3).normal(size=(7, 4, 3))
    for number, part in enumerate((values[:3], values[3:])):
        np.save(tmp_path / f"{number}.npy", part)
    dataset = Npy(path=str(tmp_path / "*.npy"), flatten=True).open(0)
    assert (dataset.n_rows, dataset.n_observed, dataset.row_shape) == (7, 12, (4, 3))
    np.testing.assert_array_equal(dataset.read(0, 7), values.reshape(7, 12))
    chosen = Npy(path=str(tmp_path / "*.npy"), flatten=True, columns=(2, 5)).open(0)
    np.testing.assert_array_equal(chosen.read(2, 6), values.reshape(7, 12)[2:6, [2, 5]])


def test_a_vector_is_refused_though_it_could_be_flattened(tmp_path):
    np.save(tmp_path / "d.npy", np.arange(5.0))
    with pytest.raises(DataError, match=r"has 1 dimensions \(5,\).*save it as \(5, 1\)"):
        Npy(path=str(tmp_path / "d.npy"), flatten=True).open(0)
    with pytest.raises(DataError, match=r"the array has 3 dimensions .*; flatten each data point to one row"):
        dataset_of(np.zeros((2, 3, 4)))


def test_pictures_are_learned_from_as_they_lie_in_the_file(tmp_path, capsys):
    np.save(tmp_path / "d.npy", np.random.default_rng(0).normal(size=(20, 4, 3)))
    config = tmp_path / "c.yaml"
    config.write_text(
        "name: r\nmodel: {kind: bsc, n_latents: 2}\nestep: {kind: exhaustive}\ntask: {kind: train}\n"
        f"data: {{kind: npy, path: {tmp_path}/d.npy, flatten: true}}\noutput: {{folder: {tmp_path}/r}}\n"
        "training: {n_sweeps: 1}\n"
    )
    assert main(["run", str(config)]) == 0
    assert (tmp_path / "r" / "dictionary.png").is_file()
    with h5py.File(tmp_path / "r" / "run.h5") as file:
        assert file.attrs["patch_shape"].tolist() == [4, 3]
    for data in ([], [str(tmp_path / "d.npy")]):
        assert main(["infer", str(tmp_path / "r"), *data, "--output", str(tmp_path / "o.h5"), "--force"]) == 0
    capsys.readouterr()
    np.save(tmp_path / "e.npy", np.zeros((20, 4, 4)))
    assert main(["infer", str(tmp_path / "r"), str(tmp_path / "e.npy"), "--output", str(tmp_path / "p.h5")]) == 2
    assert "have 16 values, and the model of" in capsys.readouterr().err


def test_rows_that_do_not_exist_are_refused():
    dataset = dataset_of(numbers("float64"))
    for start, stop in [(-1, 3), (0, N_ROWS + 1), (4, 3)]:
        with pytest.raises(IndexError, match=f"there are {N_ROWS}"):
            dataset.read(start, stop)


def test_hdf5_reads_only_the_rows_asked_for(tmp_path):
    """A chunk that is damaged hurts only those who read it."""
    values = np.random.default_rng(2).normal(size=(100, 4))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        rows = file.create_dataset("rows", data=values, chunks=(10, 4), fletcher32=True)
        place = rows.id.get_chunk_info(7).byte_offset
    with (tmp_path / "d.h5").open("r+b") as file:
        file.seek(place + 5)
        file.write(b"\xff\x00\xff")
    dataset = Hdf5(path=str(tmp_path / "d.h5"), dataset="rows").open(0)
    np.testing.assert_array_equal(dataset.read(0, 70), values[:70])
    np.testing.assert_array_equal(dataset.read(80, 100), values[80:])
    with pytest.raises(Exception, match="rows 65 to 75 cannot be read"):
        dataset.read(65, 75)


def test_soft_links_inside_the_file_are_followed(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["a/b/rows"] = numbers("float64")
        file["absolute"] = h5py.SoftLink("/a/b")
        file["a/relative"] = h5py.SoftLink("b/rows")
    for name in ("absolute/rows", "/a/relative", "a//relative"):
        dataset = Hdf5(path=str(tmp_path / "d.h5"), dataset=name).open(0)
        np.testing.assert_array_equal(dataset.read(0, 3), numbers("float64")[:3])


def test_long_slices_are_read_in_pieces_without_a_seam(tmp_path):
    values = np.random.default_rng(6).normal(size=(10_001, 3))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("rows", data=values, chunks=(999, 2))
    dataset = Hdf5(path=str(tmp_path / "d.h5"), dataset="rows").open(0)
    for start, stop in [(0, 10_001), (5, 8_197), (4_095, 4_097)]:
        np.testing.assert_array_equal(dataset.read(start, stop), values[start:stop])


def test_remove_mean(tmp_path):
    values = numbers("float64")
    np.save(tmp_path / "d.npy", values)
    rows = Npy(path=str(tmp_path / "d.npy"), remove_mean=True).open(0).read(4, 9)
    np.testing.assert_allclose(rows, values[4:9] - values[4:9].mean(axis=1, keepdims=True), atol=1e-13)


def correlated(n_rows, n_columns):
    rng = np.random.default_rng(3)
    return rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns)) + rng.normal(size=n_columns)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitened_rows_are_uncorrelated_and_of_unit_variance(tmp_path, kind):
    values = correlated(2500, 6)
    np.save(tmp_path / "d.npy", values)
    dataset = Npy(path=str(tmp_path / "d.npy"), whiten=kind, whiten_epsilon=0.0).open(0)
    rows = dataset.read(0, 2500)
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(np.cov(rows.T, bias=True), np.eye(6), atol=1e-9)
    np.testing.assert_allclose(dataset.preprocessing.whitening.undo(rows), values, atol=1e-10)
    np.testing.assert_allclose(
        dataset.preprocessing.undo_directions(rows[:5] - rows[5:10]), values[:5] - values[5:10], atol=1e-10
    )


def test_zca_is_symmetric_and_pca_sorts_by_variance(tmp_path):
    np.save(tmp_path / "d.npy", correlated(2500, 6))
    zca = Npy(path=str(tmp_path / "d.npy"), whiten="zca").open(0).preprocessing.whitening
    np.testing.assert_allclose(zca.matrix, zca.matrix.T, atol=1e-12)
    pca = Npy(path=str(tmp_path / "d.npy"), whiten="pca", whiten_epsilon=1.0).open(0)
    assert np.all(np.diff(pca.read(0, 2500).var(axis=0)) < 0)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitening_keeps_a_direction_without_variance_finite(tmp_path, kind):
    values = correlated(500, 6)
    np.save(tmp_path / "d.npy", values)
    dataset = Npy(path=str(tmp_path / "d.npy"), remove_mean=True, whiten=kind).open(0)
    rows = dataset.read(0, 500)
    assert np.abs(rows).max() < 100
    np.testing.assert_allclose(
        dataset.preprocessing.whitening.undo(rows), values - values.mean(axis=1, keepdims=True), atol=1e-10
    )


def test_whitening_of_a_long_file_looks_at_all_of_it(tmp_path):
    """48 evenly spread blocks: a change half way through is seen."""
    values = np.random.default_rng(4).normal(size=(60_000, 2))
    values[30_000:, 1] *= 5
    np.save(tmp_path / "d.npy", values)
    rows = Npy(path=str(tmp_path / "d.npy"), whiten="zca").open(0).read(0, 60_000)
    np.testing.assert_allclose(rows.var(axis=0), 1, rtol=0.05)


@settings(deadline=None, max_examples=30)
@given(
    start=st.integers(0, 299),
    n_rows=st.integers(1, 50),
    remove_mean=st.booleans(),
    kind=st.sampled_from(["none", "zca", "pca"]),
)
def test_a_row_has_the_same_bits_in_every_slice(start, n_rows, remove_mean, kind):
    values = correlated(300, 19)
    dataset = ArrayDataset(dataset_of(values).table, remove_mean, kind)
    stop = min(start + n_rows, 300)
    assert dataset.read(start, stop).tobytes() == dataset.read(0, 300)[start:stop].tobytes()


def with_gaps(values, missing, seed):
    """Each value missing with that probability, and all of row 2."""
    hidden = np.random.default_rng(seed).random(values.shape) < missing
    hidden[2] = True
    return np.where(hidden, np.nan, values)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f8"])
@pytest.mark.parametrize("form", FORMATS)
def test_missing_values_come_back_missing(tmp_path, form, dtype):
    values = with_gaps(numbers("float64"), 0.3, 0).astype(dtype)
    dataset = replace(saved(tmp_path, form, values), missing=True).open(0)
    for start, stop in [(0, N_ROWS), (2, 3), (20, 37)]:
        np.testing.assert_array_equal(dataset.read(start, stop), values[start:stop].astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_without_gaps_are_read_alike_with_the_switch_on(dtype):
    values = numbers(dtype)
    for remove_mean in (False, True):
        plain, switched = (ArrayDataset(dataset_of(values).table, remove_mean, missing=m) for m in (False, True))
        assert switched.read(0, N_ROWS).tobytes() == plain.read(0, N_ROWS).tobytes()


@settings(deadline=None, max_examples=50)
@given(
    start=st.integers(0, 59),
    n_rows=st.integers(1, 60),
    n_columns=st.integers(1, 19),
    missing=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_the_mean_of_what_was_observed_is_removed(start, n_rows, n_columns, missing, seed):
    """Gaps stay gaps, and a row has the same bits whatever its neighbors lack."""
    complete = correlated(60, n_columns)
    values = with_gaps(complete, missing, seed)
    dataset = ArrayDataset(dataset_of(values).table, remove_mean=True, missing=True)
    rows = dataset.read(0, 60)
    np.testing.assert_array_equal(np.isnan(rows), np.isnan(values))
    for found, row in zip(rows, values, strict=True):
        observed = row[~np.isnan(row)]
        expected = observed - observed.mean() if observed.size else observed
        np.testing.assert_allclose(found[~np.isnan(row)], expected, atol=1e-12)
    stop = min(start + n_rows, 60)
    assert dataset.read(start, stop).tobytes() == rows[start:stop].tobytes()
    whole = ~np.isnan(values).any(axis=1)
    plain = ArrayDataset(dataset_of(complete).table, remove_mean=True).read(0, 60)
    assert rows[whole].tobytes() == plain[whole].tobytes()


def test_every_file_of_the_folder_is_a_source():
    sources = components_of("prosper_ng.data.sources")
    assert sorted(sources) == ["array", "bars", "csv", "hdf5", "image", "mat", "npy", "npz", "page", "sample"]
    assert all(callable(source.open) for source in sources.values())
