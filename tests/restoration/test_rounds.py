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


@pytest.mark.parametrize("n_rounds", [None, 1, 2, 7, 20])
def test_gaps_without_noise_are_closed_at_levels_that_fall(n_rounds):
    stages = plan(SHAPE, 10.0, False, 0.2, Wanted(n_rounds=n_rounds))
    levels = [stage.sigma for stage in stages]
    assert levels == sorted(levels, reverse=True)
    assert stages[-1].over_relaxation == 0
    assert max(stage.over_relaxation for stage in stages) < 1
    assert n_rounds is None or len(stages) == n_rounds
    assert levels == [2 * stage.sigma for stage in plan(SHAPE, 5.0, False, 0.2, Wanted(n_rounds=n_rounds))]


def test_the_fewer_values_there_are_the_larger_are_the_patches_that_close_gaps():
    sides = {
        (n_channels, share): [
            stages[place].groups.patch_size[0]
            for stages in [plan((99, 99, n_channels), 9.0, False, share, Wanted())]
            for place in (0, -1)
        ]
        for n_channels in (1, 3)
        for share in (0.1, 0.2, 0.5, 0.99)
    }
    assert sides[3, 0.2] == [8, 6]
    assert sides[1, 0.2] == [12, 10]
    for n_channels in (1, 3):
        ordered = [sides[n_channels, share] for share in (0.1, 0.2, 0.5, 0.99)]
        assert ordered == sorted(ordered, reverse=True)


def test_a_picture_of_which_a_single_value_is_known_has_rounds_as_well():
    noisy = np.full((8, 9, 1), np.nan)
    noisy[3, 3] = 70.0
    pilot = np.full(noisy.shape, 70.0)
    for found in rounds(pilot, noisy, 0.0, plan(noisy.shape, 0.0, False, 1 / 72, Wanted()), True, SerialCommunicator()):
        np.testing.assert_allclose(found.image, 70.0, atol=1e-9)


def test_what_is_wanted_counts_and_fits_into_the_picture():
    wanted = Wanted(patch_size=50, n_similar=5, window=9, step=3, n_rounds=2)
    for share_observed in (1.0, 0.5):
        stages = plan(SHAPE, 25.0, True, share_observed, wanted)
        groups = stages[0].groups
        assert (groups.patch_size, groups.n_similar, groups.reach, groups.step) == ((40, 30), 5, 4, 3)
        assert len(stages) == 2


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
