"""Roots of counts and back, and groups of them."""

import numpy as np
import pytest

from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.restoration.photons import mean_count, photon_rounds, stabilized
from prosper_ng.restoration.rounds import Wanted, plan


@pytest.mark.parametrize("mean", [0.5, 1.0, 2.0, 5.0, 20.0, 200.0])
def test_the_mean_of_roots_tells_the_mean_of_counts(mean):
    roots = stabilized(np.random.default_rng(1).poisson(mean, 400_000).astype(float))
    assert mean_count(roots.mean()) == pytest.approx(mean, rel=0.02, abs=0.02)
    if mean >= 5:
        assert roots.var() == pytest.approx(1.0, abs=0.06)


def test_no_photon_is_told_as_none_and_nothing_below_it():
    assert (mean_count(np.array([-3.0, 0.0, 1.0, 2 * np.sqrt(3 / 8)])) < 0.1).all()
    assert (mean_count(np.array([-3.0, 0.0])) >= 0).all()


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_groups_take_noise_out_of_counts(missing):
    rng, y = np.random.default_rng(2), np.arange(48)
    clean = (120 + 100 * np.sin(y / 4)[:, None] * np.cos(y / 9)[None])[:, :, None]
    count = 255 / 8
    noisy = rng.poisson(clean / count) * count
    noisy = np.where(rng.random(noisy.shape) < missing, np.nan, noisy)
    pilot = clean + 12 * rng.standard_normal(clean.shape)
    stages = plan(clean.shape, 1.0, True, 1 - missing, Wanted(), photons=4.0)
    found = list(photon_rounds(pilot, noisy, count, stages, SerialCommunicator()))
    errors = [float(np.sqrt(np.mean((image - clean) ** 2))) for image in (pilot, *(each.image for each in found))]
    assert errors[-1] < 0.85 * errors[0]
    assert np.isfinite(found[-1].deviation).all()
    assert (found[-1].image >= 0).all()
    outside = np.abs(found[-1].image - clean) > 4 * found[-1].deviation
    assert outside.mean() < 0.2
