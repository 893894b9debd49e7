"""Denoising an image from itself alone: the patches that were learned from, predicted and put back together."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import NotComputedWith, component, kind_of
from prosper_ng.data.dataset import Dataset, ImageDataset
from prosper_ng.data.images import (
    missing_in_words,
    psnr_of,
    quality,
    reference,
    require_measures,
    save_png,
    save_values,
)
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.experiments.tasks.interface import Numbers, TaskContext
from prosper_ng.models.interface import Model
from prosper_ng.models.roles import headline_of, of_role
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively
from prosper_ng.storage import atomic
from prosper_ng.training.em import TrainingState
from prosper_ng.training.visits import posteriors

Floats = NDArray[np.float64]

_LEARNED = "learned_"
"""Before the names of what was learned, among the results."""


@component
class Denoise:
    """Merge the posterior predictive means of all patches by averaging, and compare with the clean image.

    A photograph to which no noise was added, and of which no pixel was hidden, is all that is known: there is no PSNR.
    """

    result: ClassVar[str] = "denoised"
    """What the image is called that comes out."""
    every: Annotated[Annotated[int, Gt(0)] | None, NotComputedWith()] = None
    """Also measure the quality every N sweeps, not only at the end."""
    pictures_every: Annotated[Annotated[int, Gt(0)] | None, NotComputedWith()] = None
    """Also write the image as it is every N sweeps, with the sweep in its name: denoised-0005.png."""

    def check(self, dataset: Dataset, model: Model, estep: EStep) -> None:
        """Refuse data that are no patches of an image, models that predict no data, and to begin without a package."""
        if dataset.as_image is None:
            several = "" if len(dataset.row_shape) != 3 else " (of a single image, and without n_patches)"
            raise UserError(
                f"task {kind_of(self)} needs the patches of an image; use data of kind image, or task train{several}"
            )
        if not estep.reconstructs(model):
            raise UserError(
                f"task {kind_of(self)} needs predictions of the data, and model {kind_of(model)} with estep "
                f"{kind_of(estep)} cannot make any; use another model, or task train"
            )
        require_measures()

    def rehearse(self, context: TaskContext, state: TrainingState) -> None:
        """Merge a few patches, unless the image has only one."""
        if context.dataset.n_rows >= context.problem.blocks.n_rows:
            self.merged(context, state)

    def measure(self, context: TaskContext, state: TrainingState) -> Numbers:
        """`psnr` in dB, in the sweeps that are measured; NaN in others. Nothing without a clean image.

        Writes a picture in the sweeps that are to have one.
        """
        clean = reference_of(context)
        is_measured = clean is not None and self.every is not None and state.sweep % self.every == 0
        is_drawn = self.pictures_every is not None and state.sweep % self.pictures_every == 0
        image = self.merged(context, state) if is_measured or is_drawn else None
        if is_drawn and image is not None and context.folder is not None:
            with collectively(context.problem.comm, ""):
                if context.problem.comm.is_root:
                    save(context.folder / f"{self.result}-{state.sweep:04d}.png", image)
        if clean is None or self.every is None:
            return {}
        return {"psnr": psnr_of(clean, image) if is_measured and image is not None else np.nan}

    def merged(self, context: TaskContext, state: TrainingState) -> Floats:
        """The image (height, width, channels) at the present parameters, the same on all ranks."""
        return denoised(context, state)

    def estimate(self, context: TaskContext, state: TrainingState) -> tuple[Floats, dict[str, Any]]:
        """The image in the end, the same on all ranks, and what else is told of it."""
        return self.merged(context, state), {}

    def finish(self, context: TaskContext, state: TrainingState, folder: Path) -> dict[str, Any]:
        """`images`, written to the folder as well, and how good they are; of a file with other values than 0 to 255
        the result is also there in these, as a TIFF.

        With a clean image `psnr` and `ssim`, each `after` and `before`, as far as an image has all pixels; without one
        the noise level that was learned, as `learned_sigma` and the like, in the units of the image.
        """
        dataset, clean = image_of(context), reference_of(context)
        estimate, told = self.estimate(context, state)
        if not context.problem.comm.is_root:
            return {}
        images = {} if clean is None else {"clean": clean}
        images |= {"noisy": dataset.noisy, self.result: estimate}
        for name, image in images.items():
            save(folder / f"{name}.png", image)
        if dataset.scale is not None:
            save(folder / f"{self.result}.tif", dataset.scale.from_eight_bits(estimate), save_values)
        found = learned_noise(context, state) if clean is None else _qualities(clean, dataset.noisy, estimate)
        return {**found, **told, "images": images}

    def closing_line(self, results: dict[str, Any]) -> str | None:
        """PSNR before and after, as far as it is known, or what there is instead."""
        images, psnr = results["images"], results.get("psnr", {})
        if "clean" not in images:
            learned = [name for name in results if name.startswith(_LEARNED)]
            noise = "".join(f" with a {name.replace('_', ' ')} of {results[name]:.4g}" for name in learned)
            return f"{self.result}{noise}: see noisy.png and {self.result}.png (no PSNR without a clean image)"
        missing, n_left = missing_in_words(images["noisy"]), int(np.isnan(images[self.result]).sum())
        if n_left:
            return f"no PSNR: {n_left} of the {images['clean'].size} values were missing and have no estimate"
        after = f"{psnr['after']:.2f} dB" if "after" in psnr else "infinite, every value is right"
        if missing:
            return f"PSNR {after} over the whole image; {missing} were missing"
        if len(psnr) < 2:
            return f"PSNR {after}"
        gain = round(psnr["after"] - psnr["before"], 2) + 0.0  # not -0.00
        return f"PSNR {psnr['before']:.2f} dB before, {after} after ({gain:+.2f} dB)"


def denoised(context: TaskContext, state: TrainingState) -> Floats:
    """The image (height, width, channels) at the present parameters, with the same bits on every rank.

    NaN where pixels are missing that lie only in columns of which nothing can be known.
    """
    problem, dataset = context.problem, image_of(context)
    image = np.zeros(dataset.noisy.shape)
    total, row_size = ExactSum([image.size]), image[0].size
    for task, posterior in posteriors(problem, state, vary=False):
        first, patches = int(task.batch.rows[0]), posterior.reconstruct()
        touched = dataset.rows_of_pixels(first, first + len(patches))
        image[touched.start : touched.stop] = 0.0
        raw = dataset.raw(first, first + len(patches))
        estimates = dataset.preprocessing.undo(patches, raw, dataset.level)
        estimates[:, context.unknown] = np.nan
        dataset.add_patches(first, estimates, image)
        total.add(image.ravel(), touched.start * row_size, touched.stop * row_size)
    merged, _ = total.reduce(problem.comm, np.zeros(0))
    return dataset.merge(merged.reshape(image.shape), context.unknown)


def image_of(context: TaskContext) -> ImageDataset:
    """The patches that are learned from."""
    image = context.dataset.as_image
    assert image is not None  # since `check`
    return image


def reference_of(context: TaskContext) -> Floats | None:
    """The clean image, where one is known."""
    dataset = image_of(context)
    return reference(dataset.clean, dataset.noisy)


def _qualities(clean: Floats, noisy: Floats, estimate: Floats) -> dict[str, dict[str, float]]:
    """`psnr` and `ssim` of both images, but for what is no number."""
    each = {"before": quality(clean, noisy), "after": quality(clean, estimate)}
    found = {
        measure: {
            when: float(getattr(one, measure)) for when, one in each.items() if np.isfinite(getattr(one, measure))
        }
        for measure in ("psnr", "ssim")
    }
    return {measure: values for measure, values in found.items() if values}


def learned_noise(context: TaskContext, state: TrainingState) -> dict[str, float]:
    """The noise level on the scale of the image; nothing where rows were whitened, or no single number says it."""
    problem = context.problem
    name = of_role(problem.model.parameters(problem.n_observed), "noise")
    if name is None or context.dataset.preprocessing.whitening is not None:
        return {}
    headline = headline_of(problem.model, problem.n_observed, state.params)
    return {_LEARNED + column: value for column, value in headline.items() if column in (name, f"{name}_mean")}


def save(path: Path, image: Floats, write: Callable[[Path, Floats], None] = save_png) -> None:
    """Write a picture, whole or not at all; raises UserError where the disk does not take it."""
    try:
        with atomic.replacing(path) as temporary:
            write(temporary, image)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; the same command tries again") from None
