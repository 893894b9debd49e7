"""Patches of an image and the way back: what is cut out and averaged is the image again."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.data.dataset import DataError
from prosper_ng.data.patches import PatchDataset, PatchGrid


@st.composite
def cuts(draw, gaps=False):
    """An image and how to cut it; without gaps every pixel is in a patch."""
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    height, width = draw(st.integers(size[0], 20)), draw(st.integers(size[1], 20))
    stride = draw(st.integers(1, 9 if gaps else min(size)))
    n_channels = draw(st.sampled_from([1, 3]))
    image = np.random.default_rng(draw(st.integers(0, 99))).uniform(0, 255, (height, width, n_channels))
    return image, size, stride


def dataset_of(image, size, stride, **options):
    return PatchDataset(image, image, PatchGrid(image.shape, size, stride), **options)


def restored(dataset, start, rows):
    """Rows as they are learned from, on the 8-bit scale again."""
    return dataset.preprocessing.undo(rows, dataset.raw(start, start + len(rows)), dataset.level)


def merged(dataset, n_pieces=1):
    sums = np.zeros_like(dataset.noisy)
    edges = np.linspace(0, dataset.n_rows, n_pieces + 1).astype(int)
    for start, stop in pairwise(edges):
        dataset.add_patches(start, restored(dataset, start, dataset.read(start, stop)), sums)
    return dataset.merge(sums)


@settings(deadline=None, max_examples=100)
@given(cut=cuts(), remove_mean=st.booleans(), n_pieces=st.integers(1, 4))
def test_cutting_and_merging_gives_the_image_back(cut, remove_mean, n_pieces):
    image, size, stride = cut
    dataset = dataset_of(image, size, stride, remove_mean=remove_mean)
    np.testing.assert_allclose(merged(dataset, n_pieces), image, rtol=0, atol=1e-11)


@settings(deadline=None, max_examples=100)
@given(cut=cuts(gaps=True))
def test_coverage_counts_the_patches_of_every_pixel(cut):
    image, size, stride = cut
    dataset = dataset_of(image, size, stride)
    counted = np.zeros_like(image)
    dataset.grid.add(0, np.ones((dataset.n_rows, dataset.n_observed)), counted)
    np.testing.assert_array_equal(dataset.coverage(), counted)
    for corner in (counted[0, 0], counted[-1, 0], counted[0, -1], counted[-1, -1]):
        assert (corner > 0).all()


@settings(deadline=None, max_examples=60)
@given(cut=cuts(gaps=True))
def test_rows_are_the_patches_in_raster_order(cut):
    image, (height, width), stride = cut
    dataset = dataset_of(image, (height, width), stride, remove_mean=False)
    tops = sorted({*range(0, image.shape[0] - height + 1, stride), image.shape[0] - height})
    lefts = sorted({*range(0, image.shape[1] - width + 1, stride), image.shape[1] - width})
    by_hand = [image[top : top + height, left : left + width].ravel() for top in tops for left in lefts]
    np.testing.assert_array_equal(dataset.read(0, dataset.n_rows), by_hand)
    assert dataset.row_shape == (height, width, image.shape[2])


@st.composite
def lacking(draw, image):
    """The image with some of its values missing, at least one of them not."""
    seed, missing = draw(st.integers(0, 99)), draw(st.floats(0, 1))
    hidden = np.random.default_rng(seed).random(image.shape) < missing
    hidden.flat[draw(st.integers(0, image.size - 1))] = False
    return np.where(hidden, np.nan, image)


@settings(deadline=None, max_examples=60)
@given(cut=cuts(gaps=True), data=st.data(), remove_mean=st.booleans())
def test_patches_lack_the_pixels_that_the_image_lacks(cut, data, remove_mean):
    image, size, stride = cut
    noisy, grid = data.draw(lacking(image)), PatchGrid(image.shape, size, stride)
    dataset = PatchDataset(image, noisy, grid, remove_mean, missing=True)
    rows = dataset.read(0, dataset.n_rows)
    for found, patch in zip(rows, grid.extract(noisy, 0, dataset.n_rows), strict=True):
        observed = ~np.isnan(patch)
        mean = patch[observed].mean() if remove_mean and observed.any() else 0.0
        np.testing.assert_allclose(found, patch - mean, atol=1e-11)
    half = dataset.n_rows // 2
    assert dataset.read(half, dataset.n_rows).tobytes() == rows[half:].tobytes()


@settings(deadline=None, max_examples=100)
@given(cut=cuts(gaps=True), data=st.data(), n_pieces=st.integers(1, 4))
def test_estimates_fill_the_gaps_at_the_level_of_what_was_observed(cut, data, n_pieces):
    """Right estimates of the patches merge into the whole image, where a patch without any pixel has its mean."""
    image, size, stride = cut
    noisy, grid = data.draw(lacking(image)), PatchGrid(image.shape, size, stride)
    dataset = PatchDataset(image, noisy, grid, missing=True)
    true, cut_out = (grid.extract(pixels, 0, grid.n_patches) for pixels in (image, noisy))
    known = ~np.isnan(cut_out)
    levels = [row[seen].mean() if seen.any() else np.nanmean(noisy) for row, seen in zip(cut_out, known, strict=True)]
    estimates = true - np.array(levels)[:, None]
    sums = np.zeros(image.shape)
    for start, stop in pairwise(np.linspace(0, dataset.n_rows, n_pieces + 1).astype(int)):
        dataset.add_patches(start, restored(dataset, start, estimates[start:stop]), sums)
    expected = np.where(dataset.coverage() > 0, image, noisy)
    np.testing.assert_allclose(dataset.merge(sums), expected, rtol=0, atol=1e-10)


def test_an_image_without_gaps_is_cut_and_merged_alike_with_the_switch_on():
    image = textured()
    for remove_mean in (False, True):
        plain = dataset_of(image, (5, 4), 2, remove_mean=remove_mean)
        switched = dataset_of(image, (5, 4), 2, remove_mean=remove_mean, missing=True)
        assert switched.read(0, plain.n_rows).tobytes() == plain.read(0, plain.n_rows).tobytes()
        assert merged(switched).tobytes() == merged(plain).tobytes()


def test_illegal_gaps():
    image = textured((9, 9, 1))
    gap = image.copy()
    gap[4, 5] = np.nan
    with pytest.raises(DataError, match=r"the image: row 4, column 5 .* is nan"):
        dataset_of(gap, (3, 3), 1)
    with pytest.raises(DataError, match=r"the image cannot be whitened: .* leave out `whiten` or `missing`"):
        dataset_of(gap, (3, 3), 1, missing=True, whiten="zca")
    with pytest.raises(DataError, match="the image has no pixel that is not missing"):
        dataset_of(np.full_like(image, np.nan), (3, 3), 1, missing=True)
    gap[2, 1] = np.inf
    with pytest.raises(DataError, match=r"the image: row 2, column 1 .* is inf"):
        dataset_of(gap, (3, 3), 1, missing=True)


@settings(deadline=None, max_examples=40)
@given(cut=cuts(), n_pieces=st.integers(2, 5))
def test_the_sum_has_the_same_bits_however_the_rows_come(cut, n_pieces):
    dataset = dataset_of(*cut)
    rows = dataset.read(0, dataset.n_rows)
    whole, pieces = np.zeros_like(dataset.noisy), np.zeros_like(dataset.noisy)
    dataset.add_patches(0, rows, whole)
    edges = np.linspace(0, dataset.n_rows, n_pieces + 1).astype(int)
    for start, stop in pairwise(edges):
        assert dataset.read(start, stop).tobytes() == rows[start:stop].tobytes()
        dataset.add_patches(start, rows[start:stop], pieces)
    assert whole.tobytes() == pieces.tobytes()


def textured(shape=(40, 50, 1)):
    rng = np.random.default_rng(5)
    return 128 + 40 * np.cumsum(rng.normal(size=shape), axis=1) / 5


@pytest.mark.parametrize("remove_mean", [False, True])
@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitening_is_undone_before_merging(kind, remove_mean):
    image = textured()
    dataset = dataset_of(image, (5, 4), 2, remove_mean=remove_mean, whiten=kind)
    np.testing.assert_allclose(merged(dataset, 3), image, atol=1e-9)


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitened_patches_are_uncorrelated(kind):
    dataset = dataset_of(textured(), (4, 4), 1, remove_mean=True, whiten=kind, whiten_epsilon=1e-9)
    variances = np.linalg.eigvalsh(np.cov(dataset.read(0, dataset.n_rows).T, bias=True))
    assert variances[0] < 1e-9
    np.testing.assert_allclose(variances[1:], 1, rtol=1e-5)


def test_directions_are_unwhitened_without_the_mean():
    dataset = dataset_of(textured(), (4, 4), 1, remove_mean=False, whiten="zca")
    plain = dataset_of(textured(), (4, 4), 1, remove_mean=False)
    white, rows = dataset.read(0, 20), plain.read(0, 20)
    np.testing.assert_allclose(
        dataset.preprocessing.undo_directions(white[1:] - white[:-1]), rows[1:] - rows[:-1], atol=1e-9
    )
    np.testing.assert_array_equal(plain.preprocessing.undo_directions(rows), rows)


def test_pixels_in_gaps_stay_as_they_are():
    image = textured((11, 13, 1))
    dataset = dataset_of(image, (2, 2), 4)
    sums = np.zeros_like(image)
    dataset.add_patches(0, restored(dataset, 0, dataset.read(0, dataset.n_rows)) + 7, sums)
    covered = dataset.coverage() > 0
    assert 0 < covered.sum() < covered.size
    np.testing.assert_allclose(dataset.merge(sums), np.where(covered, image + 7, image))


def test_the_clean_image_is_not_what_is_cut():
    clean = textured((9, 9, 1))
    dataset = PatchDataset(clean, clean + 1, PatchGrid(clean.shape, (3, 3), 1), remove_mean=False)
    np.testing.assert_array_equal(dataset.read(0, 1).ravel(), (clean[:3, :3] + 1).ravel())


@pytest.mark.parametrize("size", [(10, 3), (3, 12)])
def test_a_patch_larger_than_the_image_is_refused(size):
    with pytest.raises(DataError, match=f"patches of {size[0]} x {size[1]} pixels do not fit into an image of 9 x 11"):
        PatchGrid((9, 11, 1), size, 1)


def test_patches_that_do_not_exist_are_refused():
    dataset = dataset_of(textured((9, 9, 1)), (3, 3), 1)
    assert dataset.n_rows == 49
    for start, stop in [(-1, 2), (48, 50)]:
        with pytest.raises(IndexError, match="there are 49"):
            dataset.read(start, stop)
    with pytest.raises(IndexError, match="there are 49"):
        dataset.add_patches(48, np.zeros((2, 9)), np.zeros((9, 9, 1)))
