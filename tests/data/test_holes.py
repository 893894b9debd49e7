"""Rows that a file only has room for are told of where the file system knows."""

import numpy as np
import pytest

from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.data.sources.npy import Npy


def test_rows_that_a_file_of_numpy_only_has_room_for(tmp_path):
    path, shape = tmp_path / "d.npy", (4096, 16)
    mapped = np.lib.format.open_memmap(path, "w+", "f8", shape)
    mapped[:1024] = 1.0
    mapped.flush()
    if path.stat().st_blocks * 512 >= path.stat().st_size:
        pytest.skip("this file system makes no holes")
    (doubt,) = Npy(path=str(path)).open(0).doubts
    assert "of 4096 rows or more were never written (from row 10" in doubt
    whole = np.load(path, mmap_mode="r")
    assert dataset_of(whole).doubts == (f"the array: {doubt}",)
    assert dataset_of(whole[:1024]).doubts == ()
    mapped[:] = 1.0
    mapped.flush()
    assert Npy(path=str(path)).open(0).doubts == ()
    np.save(path, np.zeros(shape))
    assert Npy(path=str(path)).open(0).doubts == ()
