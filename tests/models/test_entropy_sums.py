"""The free energy becomes a sum of entropies: at once, or where learning ends."""

import numpy as np
import pytest

from prosper_ng.components import components_of
from prosper_ng.models.interface import KnowsFreeEnergy
from prosper_ng.protocols import lacking
from scripts.bench.entropy_sums import EARLY, cases, history_of


def test_all_models_that_know_their_free_energy_are_held_against_its_sum_of_entropies():
    knowing = {
        kind for kind, model in components_of("prosper_ng.models").items() if not lacking(model, KnowsFreeEnergy)
    }
    assert {case.model["kind"] for case in cases().values()} == knowing


@pytest.mark.slow
@pytest.mark.parametrize("name", cases())
def test_the_gap_is_closed_by_m_steps_or_falls_tenfold(name):
    case = cases()[name]
    closes_late = case.instance.identity == "at convergence"
    runs = [history_of(case, seed, 200 if closes_late else EARLY) for seed in range(3)]
    gaps = np.abs([run["entropy_gap"] for run in runs])
    assert np.isfinite(gaps).all()
    if name == "streams":  # whose means are over draws: they leave so much of the gap
        assert gaps[:, -1].max() <= 0.01 * abs(runs[0]["free_energy"][-1])
    elif closes_late:
        assert gaps[:, -1].mean() <= 0.1 * gaps[:, EARLY - 1].mean()
    else:
        assert gaps.max() <= 1e-9
