"""Maximum models whose magnitudes keep their order from sweep to sweep."""

import numpy as np
import pytest

from prosper_ng.models.interface import MStep
from prosper_ng.models.mca import MCA
from prosper_ng.models.mmca import MMCA
from prosper_ng.numerics.ordered_means import ascending
from prosper_ng.testing.problems import exact, moments_of


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("kind", [MCA, MMCA])
def test_with_their_order_kept_magnitudes_never_lower_the_free_energy(kind, missing):
    rng = np.random.default_rng(8)
    values = np.abs(rng.normal(0, 3, (90, 6))) * (1 if kind is MCA else np.sign(rng.normal(size=(90, 6))))
    observed = rng.random(values.shape) >= missing
    falls = {}
    for order in ("free", "kept"):
        model = kind(n_latents=4, order=order)
        params, trace = model.initial(moments_of(values), np.random.default_rng(1)), []
        for _ in range(40):
            found = exact(model, params, values, observed)
            trace.append(float(found.posterior.free_energy.sum()))
            new = model.maximize(params, found.sums, MStep(frozenset(params)))
            if order == "kept":
                order_before = ascending(np.abs(params["W"]))
                magnitudes = np.take_along_axis(np.abs(new["W"]), order_before, axis=1)
                assert (np.diff(magnitudes, axis=1) >= 0).all()
            params = new
        falls[order] = np.diff(trace).min()
    assert falls["kept"] >= -1e-8 * abs(trace[-1])
    assert falls["free"] < 0  # else the data say nothing of the difference


def test_an_order_is_that_of_winners():
    with pytest.raises(ValueError, match="order: kept is for superposition hard"):
        MCA(n_latents=3, superposition="soft", order="kept")
