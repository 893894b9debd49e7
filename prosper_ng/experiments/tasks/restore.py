"""Restoring an image from itself alone: without its noise, with its gaps filled in, or both."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.data.dataset import Dataset, ImageDataset
from prosper_ng.data.images import psnr_of
from prosper_ng.experiments.tasks.denoise import Denoise, image_of, learned_noise, reference_of, save
from prosper_ng.experiments.tasks.interface import TaskContext
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.restoration.groups import Groups, refined
from prosper_ng.restoration.photons import photon_rounds
from prosper_ng.restoration.rounds import Stage, Wanted, plan, rounds
from prosper_ng.training.em import TrainingState

Floats = NDArray[np.float64]
Positive = Annotated[int, Gt(0)]

_WHITE = 255.0
_SUMMED = 22
"""Arrays of the size of the image that exact sums over groups take beyond what is there at the end anyway."""
_TRIED = 96
"""Pixels of a side of the part of an image in which groups are timed."""


@component
class Restore(Denoise):
    """Denoise an image, fill in what is missing, or both: by the model first, then by groups of similar patches.

    A group is a patch and those most similar to it nearby in the estimate so far; what varies in it is what its noisy
    patches may vary by. Sizes and rounds suit the learned noise level and the gaps where they are not given. Of counts
    of photons groups are made of the roots, whose noise is known.
    """

    result: ClassVar[str] = "restored"
    start_with_gaps: ClassVar[str] = "rows"
    """`training.start` where values are missing and it is not set."""
    observed_noise: bool | None = None
    """Whether what was observed has noise; if not, it is kept as it is. Where not given, values beside gaps have none
    unless `data.noise` was added or they differ from `data.clean`, and an image without gaps has some."""
    groups: bool = True
    """Whether groups of similar patches restore what the model leaves."""
    patch_size: Positive | None = None
    """Side of the patches in groups, in pixels; by the noise level where not given."""
    n_similar: Positive | None = None
    """Patches in a group."""
    window: Positive = 35
    """Side of the window around a patch in which similar ones are looked for, in pixels."""
    step: Positive | None = None
    """Pixels from one group to the next."""
    n_rounds: Positive | None = None
    """How often groups are made anew from what came out."""
    learn_noise: bool = True
    """Whether the noise level is learned again in each round; else it stays as it was learned before, or given."""

    def rehearse(self, context: TaskContext, state: TrainingState) -> None:
        """Merge a few patches, and make a group of one, with gaps and without."""
        super().rehearse(context, state)
        n_channels = image_of(context).noisy.shape[2]
        for value in (0.0, np.nan) if self.groups else ():
            pilot = np.zeros((2, 2, n_channels))
            noisy = pilot.copy()
            noisy[0, 0, 0] = value
            refined(pilot, noisy, 1.0, Groups((2, 2), 1, 1), SerialCommunicator())

    def merged(self, context: TaskContext, state: TrainingState) -> Floats:
        """What the model makes of the image; observed values are kept where they have no noise."""
        image, noisy = super().merged(context, state), image_of(context).noisy
        return np.where(np.isnan(noisy), image, noisy) if self.keeps_observed(image_of(context)) else image

    def estimate(self, context: TaskContext, state: TrainingState) -> tuple[Floats, dict[str, Any]]:
        """The image after the last round; `rounds` with `sigma` and `psnr` after each, `deviation` after the last."""
        pilot, noisy = self.merged(context, state), image_of(context).noisy
        if not self.groups or np.isnan(pilot).any():
            return pilot, {}
        keeps, clean, comm = self.keeps_observed(image_of(context)), reference_of(context), context.problem.comm
        sigma, count = _noise_level(context, state, pilot), image_of(context).count
        stages = self._stages(context, sigma)
        told: dict[str, list[float]] = {"sigma": [], "psnr": []}

        def watch(number: int, share: float) -> bool:
            context.show(f"groups of similar patches: round {number + 1} of {len(stages)}, {share:.0%}")
            return context.is_stopped()

        if count is None:
            course = rounds(pilot, noisy, sigma, stages, keeps, comm, watch)
        else:
            course = photon_rounds(pilot, noisy, count, stages, comm, watch)
        for found in course:
            if not np.isnan(found.sigma):
                told["sigma"].append(found.sigma)
            if clean is not None and comm.is_root:
                told["psnr"].append(psnr_of(clean, found.image))
        numbers = {name: np.array(values) for name, values in told.items() if values}
        return found.image, {"rounds": numbers, "deviation": found.deviation}

    def bytes_after(self, dataset: Dataset) -> int:
        """What the exact sums of groups take, where there are any."""
        image = dataset.as_image
        return 8 * _SUMMED * image.noisy.size if self.groups and image is not None else 0

    def seconds_after(self, context: TaskContext, state: TrainingState) -> float:
        """Of all groups, by those of a part of the image."""
        if not self.groups:
            return 0.0
        self.rehearse(context, state)
        noisy, seconds = image_of(context).noisy, 0.0
        pilot = np.nan_to_num(noisy, nan=float(np.nanmean(noisy)))
        sigma = _noise_level(context, state, pilot)
        for groups, n_rounds in Counter(stage.groups for stage in self._stages(context, sigma)).items():
            side = max(_TRIED, *groups.patch_size)
            part, estimate = (np.ascontiguousarray(image[:side, :side]) for image in (noisy, pilot))
            began = time.perf_counter()
            refined(estimate, part, sigma, groups, SerialCommunicator())
            share = groups.number(noisy.shape) / groups.number(part.shape)
            seconds += n_rounds * share * (time.perf_counter() - began)
        return seconds

    def finish(self, context: TaskContext, state: TrainingState, folder: Path) -> dict[str, Any]:
        """As of `denoise`, with the posterior standard deviation as `deviation` and in uncertainty.png, where the
        largest one is white, or one gray level where all are below it."""
        results = super().finish(context, state, folder)
        deviation = results.get("deviation")
        if deviation is not None:
            largest = float(np.nanmax(deviation, initial=1.0))
            save(folder / "uncertainty.png", deviation * (_WHITE / largest))
        return results

    def closing_line(self, results: dict[str, Any]) -> str | None:
        """As of `denoise`; and that observed values were kept, where nobody has said whether they have noise."""
        line, images = super().closing_line(results), results["images"]
        observed = ~np.isnan(images["noisy"])
        is_kept = not observed.all() and np.array_equal(images[self.result][observed], images["noisy"][observed])
        if line is None or not is_kept or self.observed_noise is not None:
            return line
        return f"{line}; what was observed is kept as it is (with noise in it: task.observed_noise=true)"

    def _stages(self, context: TaskContext, sigma: float) -> list[Stage]:
        dataset = image_of(context)
        wanted = Wanted(self.patch_size, self.n_similar, self.window, self.step, self.n_rounds, self.learn_noise)
        share_observed = 1.0 - float(np.isnan(dataset.noisy).mean())
        is_noisy = not self.keeps_observed(dataset)
        photons = None if dataset.count is None else float(np.nanmean(dataset.noisy)) / dataset.count
        return plan(dataset.noisy.shape, sigma, is_noisy, share_observed, wanted, photons)

    def keeps_observed(self, dataset: ImageDataset) -> bool:
        """Whether what was observed has no noise."""
        if self.observed_noise is not None or dataset.count is not None:
            return self.observed_noise is False
        missing = np.isnan(dataset.noisy)
        return bool(missing.any()) and np.array_equal(dataset.noisy[~missing], dataset.clean[~missing])


def _noise_level(context: TaskContext, state: TrainingState, pilot: Floats) -> float:
    """The learned noise level on the scale of the image; what the estimate leaves, where no single number says it."""
    for level in learned_noise(context, state).values():
        if level > 0:
            return level
    return float(np.sqrt(np.nanmean((image_of(context).noisy - pilot) ** 2))) or 1.0
