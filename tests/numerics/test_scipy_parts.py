"""Functions of scipy taken from the files that hold them are those of its packages."""

import subprocess
import sys

import numpy as np
import pytest
import scipy

from prosper_ng.numerics import scipy_parts

BEFORE_AND_AFTER = """
import sys
from prosper_ng.numerics.scipy_parts import blas, lapack, special
first = [lapack("dpotrf"), lapack("dpotrs"), blas("dsymm"), special("xlogy"), special("xlog1py")]
assert {"scipy.linalg", "scipy.special"}.isdisjoint(sys.modules), "what was taken needs its whole package"
import numpy as np, scipy.linalg, scipy.special
theirs = scipy.linalg.lapack
assert first[:3] == [theirs.dpotrf, theirs.dpotrs, scipy.linalg.blas.dsymm]
assert np.array_equal(scipy.linalg.cholesky(4 * np.eye(2)), 2 * np.eye(2))
assert first[3](2.0, 3.0) == scipy.special.xlogy(2.0, 3.0) and first[4](2.0, 0.5) == scipy.special.xlog1py(2.0, 0.5)
assert lapack("dpotri") is theirs.dpotri and special("expit") is scipy.special.expit
"""


def test_packages_come_later_and_find_them_there():
    subprocess.run([sys.executable, "-c", BEFORE_AND_AFTER], check=True)


@pytest.fixture
def forgotten():
    """As in a process that asks for the first time, now and afterwards."""
    for function in (scipy_parts.lapack, scipy_parts.special):
        function.cache_clear()
    yield
    for function in (scipy_parts.lapack, scipy_parts.special):
        function.cache_clear()


def test_where_scipy_has_them_elsewhere_the_whole_package_is_used(forgotten, monkeypatch):
    monkeypatch.setattr(scipy_parts, "_alone", lambda package, part: None)
    assert scipy_parts.lapack("dpotrf")(np.array([[4.0]]), lower=1) == (2.0, 0)
    assert scipy_parts.special("xlogy") is scipy.special.xlogy
