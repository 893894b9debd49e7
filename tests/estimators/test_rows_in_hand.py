"""What estimators are given besides arrays: read as `learn` reads it, on as many threads as they are told."""

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest

from prosper_ng.errors import UserError
from prosper_ng.estimators import BSC

NAMES = tuple("abcde")


@pytest.fixture(scope="module")
def X():
    """Rows of which one value is missing."""
    rng = np.random.default_rng(0)
    X = (rng.random((60, 3)) < 0.3) @ rng.normal(0.0, 3.0, (3, 5)) + rng.standard_normal((60, 5))
    X[3, 2] = np.nan
    return X


def coder(**changes):
    return BSC(**{"n_components": 3, "max_iter": 2, "random_state": 1} | changes)


@pytest.fixture(scope="module")
def fitted(X):
    return coder().fit(X)


@pytest.mark.parametrize("holder", ["pandas", "polars", "masked", "h5py"])
def test_whatever_holds_the_rows_it_is_the_same(X, fitted, tmp_path, holder):
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        if holder == "h5py":
            held = file.create_dataset("rows", data=np.where(np.isnan(X), -9.0, X))
            held.attrs["_FillValue"] = -9.0
        elif holder == "masked":
            held = np.ma.array(np.nan_to_num(X), mask=np.isnan(X))
        else:
            held = pd.DataFrame(X, columns=NAMES).convert_dtypes()
            held = pl.DataFrame(X, schema=NAMES, nan_to_null=True) if holder == "polars" else held
        found = coder().fit(held)
        assert found.learned_.digest == fitted.learned_.digest
        assert (found.transform(held) == fitted.transform(X)).all()
        assert (found.reconstruct(held) == fitted.reconstruct(X)).all()
    has_names = holder in ("pandas", "polars")
    assert found.learned_.column_names == (NAMES if has_names else None)
    assert tuple(getattr(found, "feature_names_in_", ())) == (NAMES if has_names else ())


def test_columns_that_hold_no_numbers_or_change_places_are_refused(X):
    frame = pd.DataFrame(X, columns=NAMES)
    with pytest.raises(UserError, match=r"X: column 1 \('b'\) holds text \('Paris' in row 0"):
        coder().fit(frame.assign(b="Paris"))
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        coder().fit(frame).transform(frame[list(NAMES[::-1])])


def test_any_number_of_threads_answers_with_the_same_bits(X, fitted):
    several = coder(n_jobs=3).fit(X)
    for method in ("transform", "reconstruct", "score_samples", "predict_states"):
        assert getattr(several, method)(X).tobytes() == getattr(fitted, method)(X).tobytes(), method
