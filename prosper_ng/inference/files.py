"""Files of what a learned model says of data: posteriors and reconstructions."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import Columns
from prosper_ng.data.images import save_png
from prosper_ng.errors import UserError
from prosper_ng.inference.answers import in_units_of_data, keeping, predicting, require_prediction
from prosper_ng.inference.inference import Inference, Inferred, Options, attributes_of, infer
from prosper_ng.inference.inputs import inputs_of
from prosper_ng.inference.learned import Learned
from prosper_ng.inference.local_rows import LocalRows
from prosper_ng.inference.rows import Wanted, open_rows
from prosper_ng.inference.start import states_of_run
from prosper_ng.inference.stored import LearnedRun
from prosper_ng.inference.summary import UNKNOWN, decoded
from prosper_ng.latents.index_space import IndexSpace, StateSpace
from prosper_ng.models.axes import axes_of
from prosper_ng.numerics.named_arrays import Shape
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively
from prosper_ng.storage import atomic
from prosper_ng.storage.result_file import ResultFile, require_place

Floats = NDArray[np.float64]

INFERENCE_FORMAT = "prosper_ng inference"
RECONSTRUCTION_FORMAT = "prosper_ng reconstruction"
FORMAT_VERSION = 1

_MEANINGS = {
    "states": "(N, k, H) the k best states of each row, best first, as values of the latents",
    "probabilities": "(N, k) their posterior probabilities, normalized over all states that were looked at",
    "log_joints": "(N, k) their log p(s, y), constants included",
    "means": "(N, H) posterior means of the latents",
    "deviations": "(N, H) posterior standard deviations of the latents",
    "labels": "(N,) the most probable component of each row",
    "free_energy": "(N,) log of the sum of p(s, y) over the states that were looked at: a lower bound of log p(y)",
    "n_widened": "(N,) how many times a row was looked at harder",
    "certain": "(N,) 1 where all states were looked at: the best state is certain, probabilities and means are exact",
    "unsettled": "(N,) 1 where something hints at a better state; 0 proves nothing where `certain` is 0",
    "unimproved": "(N,) for how many sweeps, or neighborhoods of states, the best state has not improved",
    "prediction": f"(N, D) posterior predictive means in the units of the data{UNKNOWN}",
    "filled": "(N, D) the data where they were observed, the predictions where they are missing",
}

_MAIN = {
    "image": "the image that the predictions of all patches average to",
    "prediction": "the predicted rows",
    "filled": "the rows with predictions where values are missing",
}
"""What stands for a reconstruction where the format has room for one array."""


def write_inference(
    path: Path, run: LearnedRun, wanted: Wanted, options: Options, n_best: int, comm: Communicator, force: bool = False
) -> Inferred:
    """What was inferred of all rows, which is then in the file at `path`; all ranks call it together.

    A format for a single array gets the posterior means, of mixtures the labels. Raises UserError where the data do not
    fit the model or the file cannot be written.
    """
    known = run.learned
    main, sides, dtype = _main_of(known.model.space)
    with ResultFile(path, comm, main, force, lambda: inputs_of(run, wanted)) as results:
        rows = open_rows(run, wanted, comm, path.parent)
        results.require_fit(main, (rows.dataset.n_rows, *sides), dtype)
        inference = Inference(known, options)
        inferred = infer(inference, rows, keeping(inference, n_best), states_of_run(inference, run.path, wanted, rows))
        space, states = known.model.space, inferred.local.get("states")
        k = 0 if states is None else states.shape[1]
        results.set_attributes({"format": INFERENCE_FORMAT, "format_version": FORMAT_VERSION, "n_best": k})
        _put_common(results, known, options, rows, inferred)
        if k:
            results.put("alphabet", space.values, "(K,) the values of a latent")
        for name, values in inferred.local.items():
            if name == "states":
                shape = (rows.dataset.n_rows, k, space.n_latents)
                results.announce(name, shape, space.state_type, _MEANINGS[name], compress=True)
                results.gather(name, values, rows.starts, lambda codes: decoded(space, codes))
            else:
                is_of_latents = name.startswith("means_") and values.shape[1:] == (space.n_latents,)
                _gather(results, name, values, rows, "(N, H) " if is_of_latents else "")
    return inferred


def _main_of(space: StateSpace) -> tuple[str, Shape, type[np.generic]]:
    """The array that stands for all, the shape of a row of it, and its type."""
    if isinstance(space, IndexSpace):
        return "labels", (), space.state_type
    return "means", (space.n_latents,), np.float64


def write_reconstruction(
    path: Path, run: LearnedRun, wanted: Wanted, options: Options, comm: Communicator, force: bool = False
) -> tuple[Inferred, Path | None, str | None]:
    """What was inferred, which is then in the file at `path`; the file with the merged image beside it, where the rows
    are its patches; and in words the only array that is in a file for a single one.

    A format for a single array gets that image, of other data the rows: filled in where values may be missing, else as
    predicted. Raises UserError where the model cannot predict data, they do not fit it, or a file cannot be written.
    """
    known, inputs = run.learned, partial(inputs_of, run, wanted)
    require_prediction(known)
    with ResultFile(path, comm, "prediction", force, inputs, has_picture=True) as results:
        rows = open_rows(run, wanted, comm, path.parent)
        picture = _choose(results, rows)
        if picture is not None:
            _check_picture(picture, force, inputs, comm)
        inference = Inference(known, options)
        inferred = infer(inference, rows, predicting, states_of_run(inference, run.path, wanted, rows))
        inferred.local["filled"] = in_units_of_data(known, rows, inferred.local["prediction"])
        results.set_attributes({"format": RECONSTRUCTION_FORMAT, "format_version": FORMAT_VERSION})
        _put_common(results, known, options, rows, inferred)
        for name, values in inferred.local.items():
            _gather(results, name, values, rows)
        if rows.dataset.as_image is not None:
            merged = _merged(rows, inferred.local["prediction"], known.never_observed)
            results.put("image", merged, "(height, width, channels) the predictions of all patches, averaged")
            if picture is not None:
                _write_picture(picture, merged, comm)
    alone = results.format.holds_one and not results.format.is_picture
    return inferred, picture, _MAIN[results.main] if alone else None


def _put_common(results: ResultFile, known: Learned, options: Options, rows: LocalRows, inferred: Inferred) -> None:
    """The attributes and parameters that both files have."""
    results.set_attributes(attributes_of(known, options, rows, inferred))
    if known.column_names is not None:
        results.set_attributes({"column_names": json.dumps(known.column_names)})
    results.put_parameters(known.params, axes_of(known.model, known.n_observed))


def _gather(results: ResultFile, name: str, values: NDArray[Any], rows: LocalRows, axes: str = "") -> None:
    meaning = _MEANINGS.get(name, f"{axes}posterior means of {name.removeprefix('means_')}")
    results.announce(name, (rows.dataset.n_rows, *values.shape[1:]), values.dtype, meaning)
    results.gather(name, values, rows.starts)


def _merged(rows: LocalRows, prediction: Floats, unknown: Columns) -> Floats:
    """The image that the predicted patches of all ranks average to, with the same bits on every rank."""
    dataset = rows.dataset.as_image
    assert dataset is not None
    image = np.zeros(dataset.noisy.shape)
    total, row_size = ExactSum([image.size]), image[0].size
    for block in rows.owned_blocks():
        touched = dataset.rows_of_pixels(block.start, block.stop)
        image[touched.start : touched.stop] = 0.0
        dataset.add_patches(block.start, prediction[rows.local(block)], image)
        total.add(image.ravel(), touched.start * row_size, touched.stop * row_size)
    merged, _ = total.reduce(rows.comm, np.zeros(0))
    return dataset.merge(merged.reshape(image.shape), unknown)


def _choose(results: ResultFile, rows: LocalRows) -> Path | None:
    """Choose the array that stands for all, and the picture beside the file; None where it is one, or there is none."""
    image = rows.dataset.as_image
    if image is not None:
        results.main = "image"
        results.require_fit("image", image.noisy.shape, np.float64)
    elif results.format.is_picture:
        raise UserError(
            f"{results.path}: {rows.dataset.where} is no image, and what is made of it no picture; choose .npy, "
            ".csv, or .h5, .npz or .mat for everything"
        )
    elif rows.missing:
        results.main = "filled"
    for name in ("prediction", "filled"):
        results.require_fit(name, (rows.dataset.n_rows, rows.dataset.n_observed), np.float64)
    return None if image is None or results.format.is_picture else results.path.with_suffix(".png")


def _check_picture(picture: Path, force: bool, inputs: Callable[[], Iterable[Path]], comm: Communicator) -> None:
    with collectively(comm, ""):
        if comm.is_root:
            require_place(picture, force, inputs())


def _write_picture(picture: Path, image: Floats, comm: Communicator) -> None:
    with collectively(comm, ""):
        if comm.is_root:
            try:
                with atomic.replacing(picture) as temporary:
                    save_png(temporary, image)
            except OSError as error:
                raise UserError(f"{picture} cannot be written: {error.strerror or error}") from error
