"""Denoising an image from itself alone: the patches that were learned from, predicted and put back together."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import NotComputedWith, component, kind_of
from prosper_ng.data.dataset import Dataset, ImageDataset
from prosper_ng.data.images import quality, save_png
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.experiments.tasks.interface import Numbers, TaskContext
from prosper_ng.models.interface import Model
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.storage import atomic
from prosper_ng.training.em import TrainingState, posteriors

Floats = NDArray[np.float64]


@component
class Denoise:
    """Merge the posterior predictive means of all patches by averaging, and compare with the clean image."""

    every: Annotated[Annotated[int, Gt(0)] | None, NotComputedWith()] = None
    """Measure the quality after so many sweeps as well, not only at the end."""

    def check(self, dataset: Dataset, model: Model, estep: EStep) -> None:
        """Refuse data that are no patches of an image, and models that predict no data."""
        if dataset.as_image is None:
            raise UserError("task denoise needs the patches of an image; use data of kind image, or task train")
        if not estep.reconstructs(model):
            raise UserError(
                f"task denoise needs predictions of the data, and model {kind_of(model)} with estep {kind_of(estep)} "
                "cannot make any; use another model, or task train"
            )

    def rehearse(self, context: TaskContext, state: TrainingState) -> None:
        """Merge a few patches, unless the image has only one."""
        if context.dataset.n_rows >= context.problem.blocks.n_rows:
            denoised(context, state)

    def measure(self, context: TaskContext, state: TrainingState) -> Numbers:
        """`psnr` in dB, in the sweeps that are measured; NaN in others."""
        if self.every is None:
            return {}
        if state.sweep % self.every:
            return {"psnr": np.nan}
        estimate = denoised(context, state)
        return {"psnr": quality(_image(context).clean, estimate).psnr}

    def finish(self, context: TaskContext, state: TrainingState, folder: Path) -> dict[str, Any]:
        """`psnr` and `ssim` before and after; writes the three images."""
        dataset = _image(context)
        estimate = denoised(context, state)
        if not context.problem.comm.is_root:
            return {}
        before, after = quality(dataset.clean, dataset.noisy), quality(dataset.clean, estimate)
        for name, image in (("clean", dataset.clean), ("noisy", dataset.noisy), ("denoised", estimate)):
            _save(folder / f"{name}.png", image)
        return {
            "psnr": {"before": before.psnr, "after": after.psnr},
            "ssim": {"before": before.ssim, "after": after.ssim},
            "images": {"clean": dataset.clean, "noisy": dataset.noisy, "denoised": estimate},
        }

    def closing_line(self, results: dict[str, Any]) -> str | None:
        """PSNR before and after."""
        psnr = results["psnr"]
        gain = psnr["after"] - psnr["before"]
        return f"PSNR {psnr['before']:.2f} dB before, {psnr['after']:.2f} dB after ({gain:+.2f} dB)"


def denoised(context: TaskContext, state: TrainingState) -> Floats:
    """The image (height, width, channels) at the present parameters, with the same bits on every rank.

    NaN where pixels are missing that lie only in columns of which nothing can be known.
    """
    problem, dataset = context.problem, _image(context)
    image = np.zeros(dataset.noisy.shape)
    total = ExactSum([image.size])
    for task, posterior in posteriors(problem, state, vary=False):
        image[...] = 0.0
        first, patches = int(task.batch.rows[0]), posterior.reconstruct()
        raw = dataset.raw(first, first + len(patches))
        estimates = dataset.preprocessing.undo(patches, raw, dataset.level)
        estimates[:, context.unknown] = np.nan
        dataset.add_patches(first, estimates, image)
        total.add(image.ravel())
    merged, _ = total.reduce(problem.comm, np.zeros(0))
    return dataset.merge(merged.reshape(image.shape), context.unknown)


def _image(context: TaskContext) -> ImageDataset:
    image = context.dataset.as_image
    assert image is not None  # since `check`
    return image


def _save(path: Path, image: Floats) -> None:
    """Write a picture, whole or not at all; raises UserError where the disk does not take it."""
    try:
        with atomic.replacing(path) as temporary:
            save_png(temporary, image)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}; the same command tries again") from None
