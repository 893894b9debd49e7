"""What is said of the images of a run, those of earlier versions among them."""

from types import SimpleNamespace

import numpy as np

from prosper_ng.report.images import images_of, is_comparable, notes_on


def record_of(**images):
    return SimpleNamespace(results={"images": images})


def test_a_clean_image_that_is_the_noisy_one_is_none():
    photo, other = np.arange(16.0).reshape(4, 4), np.ones((4, 4, 1))
    names = [name for name, _ in images_of(record_of(denoised=other, clean=photo, noisy=photo))]
    assert names == ["noisy", "denoised"]
    names = [name for name, _ in images_of(record_of(denoised=other, clean=photo, noisy=other, more=other))]
    assert names == ["clean", "noisy", "denoised", "more"]
    masked = np.where(photo > 3, np.nan, photo)
    assert len(images_of(record_of(clean=photo, noisy=masked))) == 2
    assert images_of(SimpleNamespace(results={})) == []
    assert images_of(record_of(clean=np.ones(3), noisy=np.full((2, 2), np.inf))) == []


def test_notes_say_what_is_known():
    clean = np.full((8, 8, 1), 100.0)
    masked = np.where(np.arange(64).reshape(8, 8, 1) % 4 == 0, np.nan, clean + 1)
    images = [("clean", clean), ("noisy", masked), ("denoised", clean + 1), ("exact", clean), ("small", clean[:4])]
    assert notes_on(images, {}) == [
        "", "25.0% of the pixels are missing", "PSNR 48.13 dB, SSIM 1.000", "SSIM 1.000", "",
    ]  # fmt: skip
    assert not is_comparable(images)
    assert is_comparable(images[:3])
    assert not is_comparable(images[:1])
    without = images[1:3]
    learned = {"learned_sigma": 12.3456, "images": {}}
    assert notes_on(without, learned) == ["25.0% of the pixels are missing", "learned σ 12.35"]
    assert notes_on(without, {"learned_Psi_mean": 2.0})[1] == "learned Psi 2"
