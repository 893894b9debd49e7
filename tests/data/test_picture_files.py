"""Pictures in files: pages, orientations, palettes, inverted grays, colors of other kinds, types of pixels."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageOps

from prosper_ng.data.dataset import DataError
from prosper_ng.data.picture_files import is_picture, open_page
from prosper_ng.data.picture_pages import Wanted

RNG = np.random.default_rng(2)
GRAY = RNG.integers(0, 256, (12, 9), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
STACK = RNG.integers(0, 256, (4, 12, 9), dtype=np.uint8)


def pixels_of(path, page=None):
    found = open_page(str(path), Wanted(page))
    pixels = found.read()
    assert (pixels.shape, pixels.dtype) == (found.shape, found.dtype)
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "webp", "jpg"])
def test_cameras_that_were_turned(tmp_path, ending, orientation):
    path = tmp_path / f"turned.{ending}"
    exif = PillowImage.Exif()
    exif[274] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(ending, {})
    PillowImage.fromarray(COLOR).save(path, exif=exif, **options)
    with PillowImage.open(path) as image:
        image.load()
        expected = np.asarray(image if ending == "tif" else ImageOps.exif_transpose(image))  # a TIFF it turns itself
    assert expected.shape == ((12, 9, 3) if orientation < 5 else (9, 12, 3))
    np.testing.assert_array_equal(pixels_of(path), expected)
    assert (f"EXIF orientation {orientation} says" in "".join(open_page(str(path)).notes)) == (orientation > 1)


def test_what_is_turned_back_is_upright_for_tifffile_and_for_pillow(tmp_path):
    """LZW is packed in a way that tifffile may not know, where Pillow turns the picture itself."""
    for orientation in range(1, 9):
        tag = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / "plain.tif", COLOR, photometric="rgb", extratags=tag)
        exif = PillowImage.Exif()
        exif[274] = orientation
        PillowImage.fromarray(COLOR).save(tmp_path / "lzw.tif", compression="tiff_lzw", exif=exif)
        np.testing.assert_array_equal(pixels_of(tmp_path / "plain.tif"), pixels_of(tmp_path / "lzw.tif"))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "group4"])
def test_packed_tiffs(tmp_path, compression):
    pixels = GRAY > 100 if compression == "group4" else GRAY
    PillowImage.fromarray(pixels).save(tmp_path / "packed.tif", compression=compression)
    np.testing.assert_array_equal(pixels_of(tmp_path / "packed.tif")[:, :, 0], pixels)


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"],
)
def test_types_of_pixels(tmp_path, dtype):
    values = (GRAY // 2).astype(dtype)
    tifffile.imwrite(tmp_path / "typed.tif", values)
    np.testing.assert_array_equal(pixels_of(tmp_path / "typed.tif")[:, :, 0], values)
    assert open_page(str(tmp_path / "typed.tif")).dtype == dtype


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16"])
def test_zero_may_be_white(tmp_path, dtype):
    values = GRAY > 100 if dtype == "bool" else GRAY.astype(dtype)
    tifffile.imwrite(tmp_path / "fax.tif", values, photometric="miniswhite")
    if dtype == "bool":  # what a scanner writes; tifffile itself means True, see `test_types_of_pixels`
        PillowImage.fromarray(~values).save(tmp_path / "fax.tif", tiffinfo={262: 0})
    with PillowImage.open(tmp_path / "fax.tif") as image:
        shown = np.asarray(image)
    expected = np.iinfo(dtype).max - values if dtype == "uint16" else shown
    np.testing.assert_array_equal(pixels_of(tmp_path / "fax.tif")[:, :, 0], expected)


def test_palettes_are_colors(tmp_path):
    palette = PillowImage.fromarray(COLOR).quantize(16)
    for name in ("palette.tif", "palette.png", "palette.gif"):
        palette.save(tmp_path / name)
        np.testing.assert_array_equal(pixels_of(tmp_path / name), np.asarray(palette.convert("RGB")))


def test_planes_one_after_another_and_channels_that_nobody_has_named(tmp_path):
    planes = np.moveaxis(COLOR, 2, 0)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "floats.tif", COLOR.astype(np.float32), photometric="minisblack")
    for name in ("planes.tif", "floats.tif"):
        np.testing.assert_array_equal(pixels_of(tmp_path / name), COLOR)
    tifffile.imwrite(
        tmp_path / "stack.tif", np.stack([planes, planes // 2]), photometric="rgb", planarconfig="separate"
    )
    np.testing.assert_array_equal(pixels_of(tmp_path / "stack.tif", 1), COLOR // 2)


def test_a_page_is_chosen(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", STACK, photometric="minisblack")
    frames = [PillowImage.fromarray(each) for each in STACK]
    for name in ("stack.gif", "stack.webp", "stack.png"):
        options = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
    for name in ("stack.tif", "stack.gif", "stack.webp", "stack.png"):
        path = tmp_path / name
        with pytest.raises(
            DataError, match=rf"{name} holds 4 pictures; choose one by `page`, counted from 0: legal are"
        ):
            open_page(str(path))
        for page, expected in ((2, STACK[2]), (-1, STACK[3]), (0, STACK[0])):
            np.testing.assert_array_equal(pixels_of(path, page)[:, :, 0], expected)
        for page in (4, -5):
            with pytest.raises(DataError, match=rf"{name} has no page {page}; legal are 0 to 3"):
                open_page(str(path), Wanted(page))
    tifffile.imwrite(tmp_path / "one.tif", GRAY)
    with pytest.raises(DataError, match=r"one.tif has no page 1; it holds a single picture, page 0"):
        open_page(str(tmp_path / "one.tif"), Wanted(1))
    assert open_page(str(tmp_path / "one.tif"), Wanted(1, is_alone=True)).shape == (12, 9, 1)


def test_pages_of_stacks_with_axes_and_of_several_sizes(tmp_path):
    volume = RNG.integers(0, 4096, (3, 2, 12, 9)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "volume.tif", volume, imagej=True, metadata={"axes": "ZCYX"})
    np.testing.assert_array_equal(pixels_of(tmp_path / "volume.tif", 3)[:, :, 0], volume[1, 1])
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as file:
        for page in (STACK[:2], COLOR, GRAY[:6].astype(np.float32)):
            file.write(page, photometric="rgb" if page is COLOR else "minisblack", metadata=None)
        file.write(GRAY[::2, ::2], subfiletype=1, metadata=None)  # a thumbnail is no page
    assert [pixels_of(tmp_path / "mixed.tif", page).shape for page in range(4)] == [
        (12, 9, 1), (12, 9, 1), (12, 9, 3), (6, 9, 1)
    ]  # fmt: skip
    np.testing.assert_array_equal(pixels_of(tmp_path / "mixed.tif", 2), COLOR)
    with pytest.raises(DataError, match="has no page 4"):
        open_page(str(tmp_path / "mixed.tif"), Wanted(4))


def test_a_thumbnail_does_not_make_a_stack(tmp_path):
    with tifffile.TiffWriter(tmp_path / "photo.tif") as file:
        file.write(COLOR, photometric="rgb", metadata=None)
        file.write(COLOR[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(pixels_of(tmp_path / "photo.tif"), COLOR)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_bits_that_are_lost_are_told(tmp_path):
    deep = COLOR.astype(np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    header = struct.pack(">IIBBBBB", 9, 12, 16, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    np.testing.assert_array_equal(pixels_of(tmp_path / "deep.png"), COLOR)
    (doubt,) = open_page(str(tmp_path / "deep.png")).doubts
    assert "deep.png has 16 bits a value, of which only the upper 8 are read" in doubt
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    np.testing.assert_array_equal(pixels_of(tmp_path / "deep.tif"), deep)
    assert open_page(str(tmp_path / "deep.tif")).doubts == ()


def test_twelve_bits_that_the_file_tells_of(tmp_path):
    """Packed without gaps, which Pillow reads."""
    values = RNG.integers(0, 4096, (4, 6)).astype(np.uint16)
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.reshape(-1, 2).tolist()
    )  # fmt: skip
    entries = [(256, 6), (257, 4), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 4), (279, len(packed))]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in entries
    )
    data = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory + struct.pack("<I", 0)
    (tmp_path / "twelve.tif").write_bytes(data)
    page = open_page(str(tmp_path / "twelve.tif"))
    assert page.bits == 12
    np.testing.assert_array_equal(page.read()[:, :, 0], values)


def test_colors_of_other_kinds_are_refused(tmp_path):
    ink = PillowImage.fromarray(COLOR).convert("CMYK")
    for name in ("inks.tif", "inks.jpg"):
        ink.save(tmp_path / name)
        with pytest.raises(DataError, match=r"holds printing inks \(CMYK\); convert it to RGB"):
            open_page(str(tmp_path / name))
    tifffile.imwrite(tmp_path / "lab.tif", COLOR, photometric="cielab")
    with pytest.raises(DataError, match="holds colors as CIELAB; convert it to gray or RGB"):
        open_page(str(tmp_path / "lab.tif"))
    tifffile.imwrite(tmp_path / "raw.tif", GRAY, photometric="cfa")
    with pytest.raises(DataError, match="holds what a camera's sensor has seen"):
        open_page(str(tmp_path / "raw.tif"))
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(DataError, match=r"phone.heic is in the format HEIF \(HEIC\) of phones; convert it"):
        open_page(str(tmp_path / "phone.heic"))


def test_what_is_damaged_is_named_when_it_is_read(tmp_path):
    stream = io.BytesIO()
    PillowImage.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "PNG")
    (tmp_path / "half.png").write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])
    page = open_page(str(tmp_path / "half.png"))
    with pytest.raises(DataError, match=r"half.png is not an image, or is damaged"):
        page.read()
    tifffile.imwrite(tmp_path / "cut.tif", np.zeros((64, 64), np.float32))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:4000])
    with pytest.raises(DataError, match=r"cut\.tif"):
        open_page(str(tmp_path / "cut.tif")).read()


def test_what_is_a_picture_is_told_by_name_or_first_bytes(tmp_path):
    PillowImage.fromarray(GRAY).save(tmp_path / "named.png")
    (tmp_path / "nameless").write_bytes((tmp_path / "named.png").read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.JPG").write_text("no picture either")
    found = {path.name for path in Path(tmp_path).iterdir() if is_picture(path)}
    assert found == {"named.png", "nameless", "broken.JPG"}
