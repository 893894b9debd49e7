"""Dictionary elements to start from that are rows of the data."""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.dataset import Dataset
from prosper_ng.errors import UserError
from prosper_ng.learning.census import drawn_numbers, rows_of_numbers
from prosper_ng.learning.settings import LearningSettings
from prosper_ng.models.interface import Moments
from prosper_ng.models.roles import of_role
from prosper_ng.numerics.random_streams import stream
from prosper_ng.training.em import Problem

Floats = NDArray[np.float64]

_PER_ELEMENT = 8
"""Rows that are looked at for each element."""


def first_elements(
    settings: LearningSettings, problem: Problem, dataset: Dataset, moments: Moments, missing: bool
) -> Floats:
    """(H, D) rows to start from where `training.start` asks for them, else none; all ranks call it together.

    Of rows at random those that differ more from the mean are likelier to be taken. Where values are `missing` they are
    rows of an image whose gaps were closed, or of other data at the mean where a value lacks.
    """
    if settings.training.start != "rows":
        return np.empty((0, 0))
    specs = settings.model.parameters(problem.n_observed)
    name = of_role(specs, "dictionary")
    if name is None:
        raise UserError(
            f"training.start is rows, and model {kind_of(settings.model)} has no dictionary whose elements rows could "
            "be; leave it out"
        )
    n_latents = specs[name].shape[1]
    numbers, _ = drawn_numbers(problem, _PER_ELEMENT * n_latents, settings.seed, "rows to start from")
    image = dataset.as_image if missing else None
    rows = rows_of_numbers(problem, moments.mean, numbers) if image is None else image.closed(numbers)
    rows = np.where(np.isnan(rows), moments.mean, rows)
    generator = stream(settings.seed, "choice among rows").generator()
    contrasts = np.sqrt(np.mean((rows - moments.mean) ** 2, axis=1)) + 1e-6 * moments.scale
    chosen = generator.choice(len(rows), min(n_latents, len(rows)), replace=False, p=contrasts / contrasts.sum())
    others = moments.dictionary(n_latents - len(chosen), generator)
    return np.concatenate([rows[chosen], others.T])
