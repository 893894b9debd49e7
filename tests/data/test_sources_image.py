"""Pictures as sources: scales, clean images, masks, seeds, means, and many pictures as one dataset."""

import re

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image as PillowImage
from sklearn.datasets import load_sample_images

from prosper_ng.data import picture_set
from prosper_ng.data.content import Content, CutRows, local_rows
from prosper_ng.data.dataset import DataError
from prosper_ng.data.images import load
from prosper_ng.data.memory_settings import Memory
from prosper_ng.data.patches import PatchGrid
from prosper_ng.data.sources.image import Image
from prosper_ng.errors import UserError
from prosper_ng.numerics.random_streams import stream

CAMERA = skimage.data.camera()[200:248, 220:280]
NOISE = np.random.default_rng(0).standard_normal(CAMERA.shape) * 25
HIDDEN = np.random.default_rng(1).random(CAMERA.shape) < 0.4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where we are, with a clean image, noisy ones of several types, one with gaps, and masks."""
    monkeypatch.chdir(tmp_path)
    PillowImage.fromarray(CAMERA).save("clean.png")
    tifffile.imwrite("noisy.tif", (CAMERA + NOISE).astype(np.float32))
    tifffile.imwrite("unit.tif", ((CAMERA + NOISE) / 255).astype(np.float32))
    tifffile.imwrite("gaps.tif", np.where(HIDDEN, np.nan, CAMERA + NOISE).astype(np.float32))
    PillowImage.fromarray(np.uint8(255) * HIDDEN).save("mask.png")
    PillowImage.fromarray(np.uint8(255) * ~HIDDEN).save("seen.png")
    return tmp_path


def opened(image, seed=0, **fields):
    return Image(image=image, **{"patch_size": 6, **fields}).open(seed)


def test_a_noisy_float_is_held_against_a_clean_image_of_another_type(folder):
    for name in ("noisy.tif", "unit.tif"):
        dataset = opened(name, clean="clean.png")
        np.testing.assert_array_equal(dataset.clean[:, :, 0], CAMERA)
        np.testing.assert_allclose(dataset.noisy[:, :, 0], CAMERA + NOISE, atol=2e-5)
        assert dataset.doubts == ()
        assert "black is 0 and white" in dataset.notes[0]
    assert "with noise; if white is another value" in opened("noisy.tif").doubts[0]


def test_two_pictures_of_no_usual_scale_share_that_of_the_clean_one(folder):
    for name, values in (("a.tif", CAMERA * 16.0 - 1024), ("b.tif", (CAMERA + NOISE) * 16 - 1024)):
        tifffile.imwrite(name, values.astype(np.float32))
    dataset = opened("b.tif", clean="a.tif")
    assert dataset.scale == (16.0 * CAMERA.min() - 1024, 16.0 * CAMERA.max() - 1024)
    assert (dataset.clean.min(), dataset.clean.max()) == (0, 255)
    np.testing.assert_allclose(
        dataset.scale.from_eight_bits(dataset.noisy)[:, :, 0], (CAMERA + NOISE) * 16 - 1024, 1e-4
    )


def test_a_clean_image_on_another_scale_or_of_something_else_is_doubted(folder):
    tifffile.imwrite("dark.tif", CAMERA.astype(np.uint16) * 16)
    assert "clean dark.tif is another picture than clean.png, or on another scale" in opened(
        "clean.png", clean="dark.tif"
    ).doubts[-1]  # fmt: skip
    assert opened("dark.tif", clean="clean.png", peak=4095.0).doubts == ()
    PillowImage.fromarray(CAMERA[::-1]).save("flipped.png")
    assert "is another picture than noisy.tif" in opened("noisy.tif", clean="flipped.png").doubts[-1]
    assert "holds the values of the image itself" in opened("clean.png", clean="clean.png").doubts[-1]
    PillowImage.fromarray(CAMERA[1:]).save("smaller.png")
    sentence = "smaller.png has 47 x 60 pixels (height x width), and the image has 48 x 60; both need the same"
    for field in ("clean", "mask"):
        with pytest.raises(DataError, match=re.escape(f"{field} {sentence}")):
            opened("noisy.tif", **{field: "smaller.png"})


def test_a_crop_is_that_of_clean_image_and_mask_as_well(folder):
    crop = (5, 7, 20, 30)
    dataset = opened("noisy.tif", clean="clean.png", mask="mask.png", crop=crop)
    np.testing.assert_array_equal(dataset.clean[:, :, 0], CAMERA[5:25, 7:37])
    np.testing.assert_array_equal(np.isnan(dataset.noisy[:, :, 0]), HIDDEN[5:25, 7:37])


def test_a_mask_shows_what_is_missing_or_what_is_observed(folder):
    by_nan = opened("gaps.tif", mask="nan", clean="clean.png")
    expected = np.where(HIDDEN, np.nan, CAMERA + NOISE)
    np.testing.assert_allclose(by_nan.noisy[:, :, 0], expected, atol=2e-5)
    shown = opened("noisy.tif", mask="mask.png", clean="clean.png")
    turned = opened("noisy.tif", mask="seen.png", mask_shows="observed", clean="clean.png")
    assert by_nan.noisy.tobytes() == shown.noisy.tobytes() == turned.noisy.tobytes()
    assert shown.notes[-1] == f"{HIDDEN.mean():.1%} of the pixels are missing"
    assert shown.doubts == ()
    assert Image(image="a", mask="nan", patch_size=2).may_lack_values
    with pytest.raises(DataError, match="set `mask: nan` if NaN marks missing pixels"):
        opened("gaps.tif")
    with pytest.raises(UserError, match="leave out `whiten` or `missing`"):
        opened("gaps.tif", mask="nan", whiten="zca")


def test_what_a_mask_hides_is_nothing_to_compare_with(folder):
    hidden = opened("clean.png", mask="mask.png", noise=20.0)
    assert hidden.clean is hidden.noisy
    assert opened("clean.png", mask="mask.png", noise=20.0, clean="clean.png").clean is not hidden.noisy


def test_masks_that_may_be_mistaken_are_doubted(folder):
    few = np.zeros(CAMERA.shape, np.uint8)
    few[3:5] = 255
    PillowImage.fromarray(few).save("few.png")
    assert opened("clean.png", mask="few.png").doubts == ()
    (doubt,) = opened("clean.png", mask="few.png", mask_shows="observed").doubts
    assert "hides 95.8% of the pixels" in doubt
    assert "if it shows what is missing, say `mask_shows: missing`" in doubt
    PillowImage.fromarray(few * 0).save("none.png")
    assert opened("clean.png", mask="none.png").doubts == ("mask none.png hides no pixel",)
    PillowImage.fromarray(np.where(HIDDEN, CAMERA, 0).astype(np.uint8)).save("gray.png")
    assert "and black and white were expected" in opened("clean.png", mask="gray.png").doubts[0]
    PillowImage.fromarray(np.dstack([few, few])).save("alpha.png")
    with pytest.raises(DataError, match=r"alpha.png is transparent in places; save it in black and white"):
        opened("clean.png", mask="alpha.png")
    with pytest.raises(DataError, match=r"none.png hides 100.0% of the pixels, .* say `mask_shows: missing`"):
        opened("clean.png", mask="none.png", mask_shows="observed")


def test_a_mask_in_color_hides_single_values(folder):
    marks = np.zeros((40, 50, 3), np.uint8)
    marks[5:9, :, 0], marks[20:25, :, 2] = 255, 9
    PillowImage.fromarray(marks).save("marks.png")
    fields = {"crop": (0, 0, 40, 50), "channels": "color"}
    tifffile.imwrite("part.tif", skimage.data.astronaut()[:40, :50], photometric="rgb")
    dataset = opened("part.tif", mask="marks.png", **fields)
    np.testing.assert_array_equal(np.isnan(dataset.noisy), marks > 0)
    gray = opened("part.tif", mask="marks.png")
    np.testing.assert_array_equal(np.isnan(gray.noisy)[:, :, 0], marks.any(axis=2))


def test_single_values_may_be_missing():
    fields = {"channels": "color", "crop": (100, 100, 40, 50), "missing": 0.6}
    gaps = np.isnan(opened("astronaut", seed=3, missing_per="value", **fields).noisy)
    assert gaps.mean() == pytest.approx(0.6, abs=0.02)
    assert abs(np.corrcoef(gaps[..., 0].ravel(), gaps[..., 1].ravel())[0, 1]) < 0.1
    of_pixels = np.isnan(opened("astronaut", seed=3, **fields).noisy)
    assert (of_pixels == of_pixels[:, :, :1]).all()


def test_noise_and_gaps_have_a_seed_of_their_own_if_they_are_given_one():
    fields = {"crop": (100, 100, 40, 50), "noise": 20.0, "missing": 0.3}
    plain = opened("camera", seed=5, **fields)
    assert opened("camera", seed=9, noise_seed=5, **fields).noisy.tobytes() == plain.noisy.tobytes()
    assert opened("camera", seed=9, **fields).noisy.tobytes() != plain.noisy.tobytes()
    source = Image(image="camera", patch_size=6, noise_seed=5, **fields)
    assert not source.depends_on_seed
    assert Image(image="camera", patch_size=6, **fields).depends_on_seed
    assert Image(image="camera", patch_size=6, n_patches=5, noise_seed=5, **fields).depends_on_seed


def test_each_channel_may_have_a_mean_of_its_own():
    fields = {"channels": "color", "crop": (100, 100, 30, 40), "stride": 3, "missing": 0.7}
    for missing_per in ("pixel", "value"):
        dataset = opened("astronaut", mean_per="channel", missing_per=missing_per, patch_size=2, **fields)
        raw, rows = dataset.raw(0, dataset.n_rows), dataset.read(0, dataset.n_rows)
        assert np.isnan(raw.reshape(-1, 4, 3)).all(axis=1).any()  # there are channels without a value
        with np.errstate(all="ignore"):
            means = np.nansum(raw.reshape(-1, 4, 3), axis=1) / (~np.isnan(raw.reshape(-1, 4, 3))).sum(axis=1)
        np.testing.assert_allclose(rows.reshape(-1, 4, 3), raw.reshape(-1, 4, 3) - means[:, None], atol=1e-10)
        back = dataset.preprocessing.undo(rows, raw, dataset.level)
        np.testing.assert_allclose(back, raw, atol=1e-10)
        filled = dataset.preprocessing.undo(np.zeros_like(raw), raw, dataset.level)
        assert np.isfinite(filled).all()
        half = dataset.n_rows // 2
        assert dataset.read(half, dataset.n_rows).tobytes() == rows[half:].tobytes()
    gray = opened("astronaut", mean_per="channel", crop=(0, 0, 20, 20))
    assert gray.read(0, 9).tobytes() == opened("astronaut", crop=(0, 0, 20, 20)).read(0, 9).tobytes()


def write_pictures(folder):
    """Three pictures of several sizes and types, and what is none."""
    china, flower = load_sample_images().images
    PillowImage.fromarray(china[:40, :50]).save(folder / "part10.png")
    PillowImage.fromarray(flower[100:130, 100:133]).save(folder / "part2.jpg", quality=95)
    tifffile.imwrite(folder / "part9.tif", CAMERA.astype(np.uint16) * 257)
    PillowImage.fromarray(CAMERA[:5]).save(folder / "small.png")
    PillowImage.fromarray(CAMERA).save(folder / ".hidden.png")
    (folder / "notes.txt").write_text("no picture")
    (folder / "more").mkdir()


ORDER = ["part2.jpg", "part9.tif", "part10.png"]


def test_a_folder_is_one_dataset(tmp_path):
    write_pictures(tmp_path)
    dataset = opened(str(tmp_path), stride=4, remove_mean=False)
    by_hand = []
    for name in ORDER:
        pixels = load(str(tmp_path / name))
        grid = PatchGrid(pixels.shape, (6, 6), 4)
        by_hand.append(grid.extract(pixels, 0, grid.n_patches))
    expected = np.concatenate(by_hand)
    assert dataset.read(0, dataset.n_rows).tobytes() == expected.tobytes()
    for start, stop in ((0, 1), (50, 300), (dataset.n_rows - 1, dataset.n_rows), (7, 7)):
        assert dataset.raw(start, stop).tobytes() == expected[start:stop].tobytes()
    assert (dataset.as_image, dataset.row_shape) == (None, (6, 6, 1))
    assert dataset.notes[1] == f"left out, as no pictures: {tmp_path / 'notes.txt'}"
    assert dataset.doubts == (f"smaller than a patch, and left out: {tmp_path / 'small.png'}",)
    listed = opened([str(tmp_path / name) for name in ORDER], stride=4, remove_mean=False)
    assert listed.raw(0, listed.n_rows).tobytes() == expected.tobytes()
    pattern = opened([str(tmp_path / "*.*g"), str(tmp_path / "part9.tif")], stride=4)
    assert pattern.n_rows == dataset.n_rows


def test_patches_are_drawn_by_the_number_of_their_row(tmp_path):
    write_pictures(tmp_path)
    every = opened(str(tmp_path), remove_mean=False)
    few, again, other = (opened(str(tmp_path), seed, n_patches=700, remove_mean=False) for seed in (1, 1, 2))
    places = few.places(0, 700)
    assert (np.diff(places) > 0).all()
    assert (places < every.n_rows).all()
    stretches = places * 700 // every.n_rows
    assert (np.abs(stretches - np.arange(700)) <= 1).all()
    assert few.places(0, 700).tolist() == again.places(0, 700).tolist() != other.places(0, 700).tolist()
    rows = few.raw(0, 700)
    np.testing.assert_array_equal(rows, every.raw(0, every.n_rows)[places])
    for start, stop in ((0, 3), (333, 334), (600, 700)):
        assert few.raw(start, stop).tobytes() == rows[start:stop].tobytes()
    share = np.histogram(places, few._firsts[[0, 1, 2, 3]])[0] / 700
    np.testing.assert_allclose(share, np.diff(few._firsts[:4]) / every.n_rows, atol=0.01)
    assert opened(str(tmp_path), n_patches=every.n_rows).places(0, every.n_rows).tolist() == list(range(every.n_rows))
    with pytest.raises(DataError, match=rf"n_patches is {every.n_rows + 1:,}, and there are only {every.n_rows:,}"):
        opened(str(tmp_path), n_patches=every.n_rows + 1)


def test_each_picture_of_several_has_noise_and_gaps_of_its_own(tmp_path):
    for name in ("a.png", "b.png"):
        PillowImage.fromarray(CAMERA).save(tmp_path / name)
    fields = {"noise": 20.0, "missing": 0.2, "patch_size": CAMERA.shape, "remove_mean": False}
    first, second = opened(str(tmp_path / "*.png"), 4, **fields).raw(0, 2)
    alone = opened(str(tmp_path / "a.png"), 4, **fields).raw(0, 1)[0]
    assert first.tobytes() == alone.tobytes()
    seen = ~np.isnan(first) & ~np.isnan(second)
    noise = [each[seen] - CAMERA.ravel()[seen] for each in (first, second)]
    assert abs(np.corrcoef(noise)[0, 1]) < 0.1
    generator = stream(4, "image noise").generator(1)
    np.testing.assert_allclose(noise[1], 20 * generator.standard_normal(CAMERA.shape).ravel()[seen], atol=1e-10)


def test_pictures_are_opened_as_they_are_needed_and_few_are_kept(tmp_path, monkeypatch):
    for number in range(12):
        PillowImage.fromarray(np.roll(CAMERA, number)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(picture_set, "KEPT_BYTES", 3 * 8 * CAMERA.size)
    dataset = opened(str(tmp_path), n_patches=600)
    assert list(dataset.pictures._kept) == []
    dataset.raw(200, 260)
    assert list(dataset.pictures._kept) in ([4], [4, 5])
    dataset.raw(0, 600)
    assert list(dataset.pictures._kept) == [9, 10, 11]
    assert dataset.held_bytes == 5 * 8 * CAMERA.size


def test_a_broken_picture_is_named_and_a_type_without_white_is_asked_for(tmp_path):
    write_pictures(tmp_path)
    whole = (tmp_path / "part10.png").read_bytes()
    (tmp_path / "part10.png").write_bytes(whole[: len(whole) // 2])
    dataset = opened(str(tmp_path))
    with pytest.raises(DataError, match=r"part10.png is not an image, or is damaged"):
        dataset.raw(0, dataset.n_rows)
    (tmp_path / "part10.png").write_text("nothing")
    with pytest.raises(DataError, match=r"part10.png is not an image, or is damaged"):
        opened(str(tmp_path))
    tifffile.imwrite(tmp_path / "part10.png", CAMERA.astype(np.float32))
    with pytest.raises(
        DataError, match=r"part10.png holds values of type float32, which have no white .* say by `peak`"
    ):
        opened(str(tmp_path))
    assert opened(str(tmp_path / "part10.png"), n_patches=9).n_rows == 9


def test_what_is_for_a_single_image_or_names_none_is_refused(tmp_path):
    write_pictures(tmp_path)
    with pytest.raises(DataError, match="clean is the reference of a single image, and image names 4"):
        opened(str(tmp_path), clean="camera")
    with pytest.raises(UserError, match="clean is for an image that is put together again"):
        opened("camera", clean="camera", n_patches=5)
    PillowImage.fromarray(CAMERA).save(tmp_path / "more" / "mask.png")
    with pytest.raises(DataError, match="a mask is for pictures of its own size, and these have several sizes"):
        opened(str(tmp_path), mask=str(tmp_path / "more" / "mask.png"))
    with pytest.raises(DataError, match="fit into no picture"):
        opened(str(tmp_path), patch_size=400)
    with pytest.raises(DataError, match=r"part2.jpg of height 30 and width 33"):
        opened(str(tmp_path), crop=(0, 0, 40, 40))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no files; .*empty/\*\*/\* names those in its subfolders"):
        opened(str(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"\*.txt has no pictures"):
        opened(str(tmp_path / "*.txt"))
    with pytest.raises(DataError, match="image is an empty list"):
        opened([])
    with pytest.raises(UserError, match="peak, the value of white, must be above"):
        opened("camera", peak=2.0, low=2.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_patches_that_are_cut_as_they_are_needed_are_those_that_are_kept(dtype, tmp_path):
    dataset = opened("camera", crop=(0, 0, 40, 50), noise=9.0, missing=0.1)
    owned, small = range(100, 900), Memory(data_budget=1000)
    kept, cut = (
        local_rows(Content(dataset).read, dataset, owned, memory, dtype, tmp_path, dataset.read)
        for memory in (Memory(), small)
    )
    assert isinstance(kept, np.ndarray)
    assert isinstance(cut, CutRows)
    assert (cut.shape, cut.dtype, len(cut)) == (kept.shape, kept.dtype, len(kept))
    for rows in (slice(0, 800), slice(7, 9), slice(5, 5), slice(0, 30, 7), np.array([3, 4, 5]), np.array([700, 2, 90])):
        assert cut[rows].tobytes() == kept[rows].tobytes()
    with pytest.raises(IndexError, match="rows 0 to 800 were asked for; there are 800"):
        cut[np.array([0, 800])]
