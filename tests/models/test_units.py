"""A column in other units is the same data: F changes by the Jacobian, and nothing else but what carries the unit."""

import numpy as np
import pytest

from prosper_ng.estep.exhaustive import Exhaustive
from prosper_ng.models.gsc import GSC
from tests.helpers.em_problems import make, train

N_ROWS, COLUMN = 200, 2


def learned(noise, factor, n_sweeps=30, n_parts=2):
    """The free energies of all sweeps and the last parameters, with one column times `factor`."""
    model = GSC(n_latents=4, noise=noise)
    problem, params = make(model, Exhaustive(), n_rows=N_ROWS, block_rows=32, n_parts=n_parts)
    units = np.ones(problem.n_observed)
    units[COLUMN] = factor
    params["W"] *= units[:, None]
    if noise == "full":
        params["Sigma"] *= np.outer(units, units)
    else:
        params["sigma"] *= units
    state, reports = train(problem._replace(values=problem.values * units), params, n_sweeps)
    return np.array([each.free_energy for each in reports]) + np.log(factor), state.params, units


@pytest.mark.parametrize("noise", ["diagonal", "full"])
@pytest.mark.parametrize("factor", [2.0**40, 2.0**-40, 2.0**20, 1e6, 7e10])
def test_a_column_in_other_units_changes_the_free_energy_by_the_jacobian(noise, factor):
    expected, known, _ = learned(noise, 1.0)
    found, params, units = learned(noise, factor)
    assert found == pytest.approx(expected, abs=1e-9)
    assert params["W"] / units[:, None] == pytest.approx(known["W"], rel=1e-7, abs=1e-9)
    if noise == "full":
        assert params["Sigma"] / np.outer(units, units) == pytest.approx(known["Sigma"], rel=1e-7, abs=1e-9)
    else:
        assert params["sigma"] / units == pytest.approx(known["sigma"], rel=1e-8)
