"""Cleaning a page from itself alone: what glyphs tell to be characters is drawn anew, and all else is paper."""

from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from prosper_ng.components import component
from prosper_ng.data.dataset import Dataset
from prosper_ng.errors import UserError
from prosper_ng.estep.interface import EStep
from prosper_ng.experiments.tasks.denoise import Denoise, image_of, reference_of
from prosper_ng.experiments.tasks.interface import Numbers, TaskContext
from prosper_ng.models.glyphs import Glyphs
from prosper_ng.models.interface import Model
from prosper_ng.restoration.documents import contrast, drawn, judged, pictures, places
from prosper_ng.training.em import TrainingState

Floats = NDArray[np.float64]


@component
class Clean(Denoise):
    """Learn glyphs from the patches of a page, and write the page with those that are characters, without dirt.

    With `data.clean`, the page without dirt, it tells how much of the dirt is gone and how much of the characters is
    kept: pixels nearer to ink than to paper.
    """

    result: ClassVar[str] = "cleaned"
    least_evidence: Annotated[float, Gt(0), Le(1)] = 0.4
    """What a character must have of the evidence that it has where it is alone on paper."""

    def check(self, dataset: Dataset, model: Model, estep: EStep) -> None:
        """Refuse what is no page in one gray channel, blank pages, and other models than `glyphs`."""
        super().check(dataset, model, estep)
        if not isinstance(model, Glyphs):
            raise UserError("task clean needs model glyphs")
        image, shape = dataset.as_image, dataset.row_shape
        assert image is not None  # since the check of `denoise`
        if shape[2] != 1 or not dataset.preprocessing.is_identity:
            raise UserError("task clean needs gray values: set data.channels: gray and data.remove_mean: false")
        if model.layout(dataset.n_observed).width != shape[1]:
            raise UserError(f"patches are {shape[1]} pixels wide: set model.width: {shape[1]}")
        if np.isnan(image.noisy).any():
            raise UserError("task clean needs a page of which no pixel is missing")
        if np.ptp(image.noisy) == 0:
            raise UserError(f"{dataset.where} is blank: all its pixels are {image.noisy.flat[0]:g}")

    def measure(self, context: TaskContext, state: TrainingState) -> Numbers:
        """Nothing: a page is cleaned in the end."""
        return {}

    def estimate(self, context: TaskContext, state: TrainingState) -> tuple[Floats, dict[str, Any]]:
        """The page in the end, on root, and what is told: of `glyphs` why each is a character or not, of `dirt` what is
        gone and what is kept."""
        model, params, page = context.problem.model, state.params, image_of(context).noisy[:, :, 0]
        if not context.problem.comm.is_root:
            return page[:, :, None], {}
        assert isinstance(model, Glyphs)  # since `check`
        layout, prepared = model.layout(context.problem.n_observed), model.prepare(params)
        told = judged(params, prepared)
        ink = contrast(params, layout) * pictures(params["alpha"], layout) > 0.3
        found = places(page, prepared, ink, np.flatnonzero(told.is_character), self.least_evidence)
        cleaned = drawn((page.shape[0], page.shape[1]), found, params, layout)
        numbers: dict[str, Any] = {"n_characters": float(len(found)), "glyphs": told._asdict()}
        clean = reference_of(context)
        if clean is not None:
            numbers["dirt"] = scores(page, clean[:, :, 0], cleaned)
        return cleaned[:, :, None], numbers

    def closing_line(self, results: dict[str, Any]) -> str | None:
        """How many characters there are, and what is known of dirt."""
        kinds = int(np.count_nonzero(results["glyphs"]["is_character"]))
        line = f"{results['n_characters']:.0f} characters of {kinds} kinds: see noisy.png and cleaned.png"
        dirt = results.get("dirt")
        if kinds == 0:
            return "no glyph is a character, so the page is empty; learn with more components, restarts or sweeps"
        if dirt is None:
            return line
        return f"{line}; {dirt['removed']:.1%} of the dirt is gone, {dirt['kept']:.1%} of the characters are kept"


def scores(page: Floats, clean: Floats, cleaned: Floats) -> dict[str, float]:
    """The shares of pixels of dirt that are `removed`, and of characters that are `kept`; NaN where there are none."""
    paper = float(np.median(clean))
    half = 0.5 * (paper + float(clean.flat[np.argmax(np.abs(clean - paper))]))
    is_ink, was_ink, stays = ((each < half) == (half < paper) for each in (clean, page, cleaned))
    dirt = was_ink & ~is_ink
    removed = float(np.mean(~stays[dirt])) if dirt.any() else float("nan")
    return {"removed": removed, "kept": float(np.mean(stays[is_ink])) if is_ink.any() else float("nan")}
