"""Rows in files: the same numbers as in memory, and errors where the file is not what it was."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from prosper_ng.data.dataset import DataError
from prosper_ng.data.row_file import FileRows, StoredRows, mapped_array, stored_rows, written_rows

VALUES = np.random.default_rng(0).standard_normal((50, 3))


def written(folder: Path, dtype: str = "float64") -> FileRows:
    return written_rows((VALUES[start : start + 7] for start in range(0, 50, 7)), (50, 3), dtype, folder)


def in_npy(folder: Path, start: int = 0) -> FileRows:
    np.save(folder / "a.npy", VALUES)
    offset = (folder / "a.npy").stat().st_size - VALUES.nbytes
    return stored_rows(StoredRows(folder / "a.npy", offset, VALUES.dtype), start, (50 - start, 3))


@pytest.mark.parametrize(
    "index",
    [slice(None), slice(3, 9), slice(9, 3), slice(40, 70), slice(0, 50, 7), [], [4], [4, 5, 6], [0, 49], [7, 3, 3]],
    ids=str,
)
def test_rows_are_those_of_an_array(tmp_path, index):
    index = np.array(index, np.int64) if isinstance(index, list) else index
    for rows in (written(tmp_path), in_npy(tmp_path)):
        assert (rows.shape, len(rows)) == ((50, 3), 50)
        found = rows[index]
        assert found.flags.c_contiguous or isinstance(index, slice)
        assert (found == VALUES[index]).all()
        assert found.shape == VALUES[index].shape


def test_rows_from_a_row_on(tmp_path):
    assert (in_npy(tmp_path, 20)[:] == VALUES[20:]).all()


def test_single_precision_rounds_once(tmp_path):
    assert (written(tmp_path, "float32")[:] == VALUES.astype(np.float32)).all()


def test_rows_that_are_not_there(tmp_path):
    with pytest.raises(IndexError, match="rows 49 to 50 were asked for; there are 50"):
        written(tmp_path)[np.array([49, 50])]


def test_scratch_files_have_no_name_and_leave_nothing_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    rows, array = written(tmp_path), mapped_array((5, 2), np.uint64, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert rows[:].any()
    assert not array.any()
    array[2, 1] = 7
    assert array.sum() == 7
    del rows, array
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_changes_is_an_error(tmp_path):
    rows = in_npy(tmp_path)
    os.utime(tmp_path / "a.npy", (1, 1))
    with pytest.raises(DataError, match=r"a\.npy was changed while its rows were in use"):
        rows[:2]


def test_a_file_that_is_cut_off_is_an_error(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    rows = stored_rows(StoredRows(tmp_path / "a.npy", 128, VALUES.dtype), 0, (51, 3))
    assert rows[:50].any()
    with pytest.raises(DataError, match="is cut off: rows 50 to 51"):
        rows[50:]


def test_no_room_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", Path("/proc/nowhere")):
        with pytest.raises(DataError, match=r"a scratch file of .* cannot be written in .*memory\.scratch") as caught:
            written(folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be written"):
        mapped_array((1 << 60,), np.uint8, tmp_path)
