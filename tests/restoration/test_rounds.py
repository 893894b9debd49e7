"""Which rounds there are, and pictures of which there is little to say."""

import numpy as np
import pytest

from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.restoration.rounds import Wanted, plan, rounds

SHAPE = (40, 30, 1)


@pytest.mark.parametrize(("sigma", "side"), [(5, 9), (25, 10), (50, 12)])
def test_patches_grow_with_the_noise(sigma, side):
    stages = plan(SHAPE, sigma, True, 1.0, Wanted())
    assert {stage.groups.patch_size for stage in stages} == {(side, side)}
    assert len(stages) == 3


def test_gaps_without_noise_are_closed_at_levels_that_fall():
    stages = plan(SHAPE, 3.0, False, 0.2, Wanted())
    levels = [stage.sigma for stage in stages]
    assert levels == sorted(levels, reverse=True)
    assert stages[0].over_relaxation > 0 == stages[-1].over_relaxation
    for n_rounds in (1, 2, 7, 20):
        assert len(plan(SHAPE, 3.0, False, 0.2, Wanted(n_rounds=n_rounds))) == n_rounds


def test_what_is_wanted_counts_and_fits_into_the_picture():
    wanted = Wanted(patch_size=50, n_similar=5, window=9, step=3, n_rounds=2, share=0.5)
    for share_observed in (1.0, 0.5):
        stages = plan(SHAPE, 25.0, True, share_observed, wanted)
        groups = stages[0].groups
        assert (groups.patch_size, groups.n_similar, groups.reach, groups.step) == ((40, 30), 5, 4, 3)
        assert (groups.share, len(stages)) == (0.5, 2)


@pytest.mark.parametrize("sigma", [0.0, 1e-300, 30.0])
@pytest.mark.parametrize("value", [0.0, 200.0])
def test_a_picture_of_one_gray_stays_that(sigma, value):
    gray = np.full(SHAPE, value)
    for found in rounds(gray, gray, sigma, plan(SHAPE, sigma, True, 1.0, Wanted()), False, SerialCommunicator()):
        np.testing.assert_allclose(found.image, gray, atol=1e-9)
        assert np.isfinite(found.deviation).all()


def test_a_picture_without_noise_stays_nearly_what_it_is():
    picture = np.random.default_rng(0).uniform(0, 255, SHAPE)
    *_, found = rounds(picture, picture, 0.0, plan(SHAPE, 0.0, True, 1.0, Wanted()), False, SerialCommunicator())
    np.testing.assert_allclose(found.image, picture, atol=0.1)
