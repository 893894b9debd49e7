"""The images of a run's task, and what there is to say of each: how good it is where a clean one is known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.images import missing_in_words, quality, reference
from prosper_ng.drawing.pixels import with_channels
from prosper_ng.errors import UserError
from prosper_ng.storage.run_record import RunRecord

Floats = NDArray[np.float64]
Images = list[tuple[str, Floats]]

_RESULTS = ("denoised", "restored")
_ORDER = ("clean", "noisy", "masked", *_RESULTS, "inpainted")
_SYMBOLS = {"sigma": "σ"}


def images_of(record: RunRecord) -> Images:
    """The images (height, width, channels) of the task, in the order in which they were made; what is none is left out.

    Earlier versions called a photograph clean although it was all that was known; here it is only noisy.
    """
    found = record.results.get("images")
    images = {name: image for name, image in found.items() if _is_image(image)} if isinstance(found, dict) else {}
    if "clean" in images and "noisy" in images and reference(images["clean"], images["noisy"]) is None:
        del images["clean"]
    names = [*(name for name in _ORDER if name in images), *(name for name in images if name not in _ORDER)]
    return [(name, with_channels(images[name])) for name in names]


def notes_on(images: Images, results: Mapping[str, Any]) -> list[str]:
    """What to say of each image: missing pixels, how close it comes to the clean one, or else the learned noise."""
    clean = next((image for name, image in images if name == "clean"), None)
    notes = []
    for name, image in images:
        missing = missing_in_words(image)
        parts = [f"{missing} are missing"] if missing else []
        if clean is not None and name != "clean":
            parts += _quality(clean, image)
        elif clean is None and name in _RESULTS:
            parts += _learned(results)
        notes.append(", ".join(parts))
    return notes


def is_comparable(images: Sequence[tuple[str, Floats]]) -> bool:
    """Whether there are several, of one size."""
    return len(images) > 1 and len({image.shape[:2] for _, image in images}) == 1


def _quality(clean: Floats, image: Floats) -> list[str]:
    """PSNR and SSIM; nothing where they cannot be told, or not without a package that is not here."""
    if clean.shape != image.shape:
        return []
    try:
        found = quality(clean, image)
    except UserError:
        return []
    parts = [f"PSNR {found.psnr:.2f} dB"] if np.isfinite(found.psnr) else []
    return parts + ([f"SSIM {found.ssim:.3f}"] if np.isfinite(found.ssim) else [])


def _learned(results: Mapping[str, Any]) -> list[str]:
    """The noise level that was learned, where the task has told it."""
    found = [(name, value) for name, value in results.items() if name.startswith("learned_")]
    names = [(name.removeprefix("learned_").removesuffix("_mean"), value) for name, value in found]
    return [f"learned {_SYMBOLS.get(name, name)} {value:.4g}" for name, value in names if isinstance(value, float)]


def _is_image(image: Any) -> bool:
    """Whether it is an array with the shape of a picture; missing pixels may be NaN."""
    shape = np.shape(image)
    has_pixels = len(shape) in (2, 3) and min(shape) > 0 and (len(shape) == 2 or shape[2] in (1, 3))
    return has_pixels and not np.isinf(image).any()
