"""Which values are black and white: told, of the type, or found, with a doubt where it is a guess."""

import re

import numpy as np
import pytest

from prosper_ng.data.dataset import DataError
from prosper_ng.data.picture_scale import Scale, found_scale, require_numbers

GRAY = np.random.default_rng(3).integers(0, 256, (12, 9, 1), dtype=np.uint8)
GRAY[0, :2, 0] = 0, 255


def found(pixels, bits=None, **told):
    return found_scale(pixels, bits or 8 * pixels.dtype.itemsize, "the picture", **told)


@pytest.mark.parametrize(
    ("pixels", "scale"),
    [
        (GRAY > 100, Scale(0, 1)),
        (GRAY, Scale(0, 255)),
        (GRAY.astype(np.uint16) * 257, Scale(0, 65535)),
        ((GRAY / 255).astype(np.float32), Scale(0, 1)),
        (GRAY.astype(np.float64), Scale(0, 255)),
        (GRAY.astype(np.int16), Scale(0, 255)),
    ],
)
def test_what_is_plain_is_taken_as_ever(pixels, scale):
    result = found(pixels)
    assert (result.scale, result.doubts) == (scale, ())
    factor = {1: 255.0, 255: 1.0, 65535: 1 / 257}[scale.peak]
    assert scale.to_eight_bits(pixels).tobytes() == (pixels.astype(np.float64) * factor).tobytes()
    np.testing.assert_allclose(scale.from_eight_bits(scale.to_eight_bits(pixels)), pixels, rtol=1e-14)


def test_only_other_types_than_8_bits_are_told_in_the_log():
    assert found(GRAY).notes == ()
    (note,) = found(GRAY.astype(np.uint16) * 257).notes
    assert note == "the picture: 16 bits from 0 to 65535, black is 0 and white 65535 (by its type)"
    (note,) = found((GRAY / 255).astype(np.float32)).notes
    assert note.endswith("float32 from 0 to 1, black is 0 and white 1 (by its values)")


def test_noise_that_leaves_the_scale_is_a_guess_that_is_told():
    for peak in (1.0, 255.0):
        noisy = (GRAY + np.random.default_rng(0).normal(0, 75, GRAY.shape)) * (peak / 255)
        result = found(noisy)
        assert (result.scale, result.is_certain) == (Scale(0, peak), False)
        assert f"taken for a picture from 0 to {peak:g} with noise; if white is another value" in result.doubts[0]
    clipped = np.maximum(GRAY / 255 + np.random.default_rng(0).normal(0, 0.2, GRAY.shape), 0)
    assert found(clipped).scale == Scale(0, 1)


def test_values_on_no_usual_scale_span_their_own():
    scan = GRAY.astype(np.int16) * 16 - 1024
    result = found(scan)
    assert (result.scale, result.is_certain) == (Scale(-1024, 3056), False)
    assert "the smallest is taken for black and the largest for white; PSNR and `noise`" in result.doubts[0]
    assert found(scan, low=-2000.0).scale == Scale(-2000, 3056)
    assert found(scan, low=-1024.0, peak=3071.0) == found(scan, low=-1024.0, peak=3071.0)._replace(
        scale=Scale(-1024, 3071), is_certain=True, doubts=()
    )
    assert found(GRAY.astype(np.uint32) * 5000).scale == Scale(0, 255 * 5000)


def test_what_is_told_goes_before_what_would_be_found():
    assert found(GRAY, peak=200.0).scale == Scale(0, 200)
    assert found(GRAY, low=16.0).scale == Scale(16, 255)
    assert found(GRAY.astype(np.uint16), bits=12).scale == Scale(0, 4095)
    gaps = np.where(GRAY > 250, np.nan, GRAY / 255.0)
    assert found(gaps, peak=2.0).scale == Scale(0, 2)
    with pytest.raises(DataError, match=r"the picture: white \(255\) must lie above black \(300\)"):
        found(GRAY, low=300.0)


@pytest.mark.parametrize(
    ("pixels", "example"),
    [
        (GRAY.astype(np.uint16) * 16, "white is 65535; if another value is white, say so, such as `peak: 4095`"),
        (GRAY.astype(np.uint16) * 4, "such as `peak: 1023`"),
        (GRAY.astype(np.uint16), "such as `peak: 255`"),
        ((GRAY > 100).astype(np.uint8), "white is 255; if another value is white, say so, such as `peak: 1`"),
        (GRAY / 255 / 8, "white is 1; if another value is white, say so$"),
    ],
)
def test_a_dark_picture_may_have_another_white(pixels, example):
    (doubt,) = found(pixels).doubts
    assert re.search(example, doubt), doubt
    assert found(pixels, peak=float(pixels.max())).doubts == ()
    assert found(np.zeros_like(pixels)).doubts == () if pixels.dtype.kind == "u" else True


def test_a_scale_that_cannot_be_meant_is_doubted():
    (doubt,) = found(GRAY.astype(np.float32), peak=1.0).doubts
    assert doubt == (
        "the picture has values from 0 to 255, far beyond black at 0 and white at 1; are these meant?"
    )  # fmt: skip


def test_what_is_no_number_is_named_with_its_place():
    pixels = GRAY / 255.0
    pixels[3, 4] = np.nan
    with pytest.raises(DataError, match=r"row 3, column 4 .* is not a finite number; set `mask: nan` if NaN marks"):
        require_numbers(pixels, "the picture", missing=False)
    require_numbers(pixels, "the picture", missing=True)
    pixels[5, 6] = np.inf
    with pytest.raises(DataError, match=r"row 5, column 6 \(counted from 0\) is not a finite number$"):
        require_numbers(pixels, "the picture", missing=True)
    with pytest.raises(DataError, match="no pixel that is not missing"):
        found(np.full((3, 3, 1), np.nan))
