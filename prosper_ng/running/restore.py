"""`prosper_ng.restore`: another picture restored with what was learned, and where its result is written."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.images import save_picture, save_values
from prosper_ng.errors import UserError
from prosper_ng.experiments.restoring import restoring
from prosper_ng.experiments.run import Outcome
from prosper_ng.experiments.tasks.denoise import save
from prosper_ng.paths import path_of
from prosper_ng.progress import Auto
from prosper_ng.running.run import run
from prosper_ng.storage.own_files import require_no_input
from prosper_ng.storage.result_formats import FORMATS
from prosper_ng.storage.run_file import NAME

Floats = NDArray[np.float64]

_TIFF = (".tif", ".tiff")


def restore(
    learned: str | os.PathLike[str],
    picture: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    n_sweeps: int = 0,
    overrides: str | Sequence[str] = (),
    comm: Any = None,
    time_limit: float | str | None = None,
    progress: bool | Auto = "auto",
) -> Outcome:
    """What `prosper-ng restore` does: a picture restored with the dictionary of a run, or of a file that `save` wrote.

    The dictionary stays as it is, and only the noise level and the activity of the latents are learned again from the
    picture, unless `n_sweeps` learn on everything from there. `overrides` change the run that does it, such as
    "data.mask=gaps.png". The picture is `outcome.results["images"]["restored"]`, (height, width, channels) on the scale
    0 to 255; all else is as of `prosper_ng.run`. Raises UserError where the run has not learned from patches of
    pictures, or the picture has other channels.
    """
    several = [overrides] if isinstance(overrides, str) else overrides
    loaded = restoring(path_of(learned), os.fspath(picture), n_sweeps, several)
    return run(loaded.value, folder, comm=comm, time_limit=time_limit, progress=progress)


def places_of(output: Path | None, default: Path, inputs: Sequence[Path]) -> tuple[Path, Path | None]:
    """The run folder, and the file that gets the picture besides, where `output` is called like one.

    Raises UserError where that file is read here, or is somebody's own.
    """
    if output is None or not _is_picture(output) or output.is_dir():
        return output or default, None
    folder = output.with_suffix("")
    require_no_input(output, inputs)
    if os.path.lexists(output) and not (folder / NAME).exists():
        raise UserError(f"{output} exists already, and {folder} holds no run that has made it; choose another output")
    return folder, output


def write_picture(outcome: Outcome, path: Path) -> None:
    """Write what was restored, as a TIFF in the values of the picture's own file; UserError where that fails."""
    image = outcome.results["images"]["restored"]
    in_own_values = outcome.folder / "restored.tif"

    def write(file: Path, values: Floats) -> None:
        if path.suffix.lower() not in _TIFF:
            save_picture(file, values, path.suffix.lower())
        elif in_own_values.exists():
            file.write_bytes(in_own_values.read_bytes())
        else:
            save_values(file, values)

    save(path, image, write)


def _is_picture(path: Path) -> bool:
    found = FORMATS.get(path.suffix.lower())
    return found is not None and found.is_picture
