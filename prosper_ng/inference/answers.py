"""What a learned model says of rows in hand, as arrays."""

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.content import require_same_rows
from prosper_ng.data.dataset import Dataset
from prosper_ng.data.sources._in_hand import dataset_of
from prosper_ng.errors import UserError, warn
from prosper_ng.estep.interface import Found, Target
from prosper_ng.estep.row_by_row import in_pieces
from prosper_ng.inference.inference import Inference, Options, Summarize, infer
from prosper_ng.inference.labeled import posterior_dataset, reconstruction_dataset
from prosper_ng.inference.local_rows import LocalRows, rows_in_hand
from prosper_ng.inference.samples import made, require_sampling
from prosper_ng.inference.summary import Summary, decoded, of_gaussians, summarize
from prosper_ng.models.capabilities import FitsGaussians, Reconstructs, offers
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.threads import one_blas_thread
from prosper_ng.parallel.together import require_one_of, together

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

Floats = NDArray[np.float64]


class Posterior(NamedTuple):
    """The posterior of each of n rows over the states that were looked at."""

    states: NDArray[Any]
    """(n, k, H) the k best states of each row, best first, as values of the latents; k is 0 where these are real."""
    probabilities: Floats
    """(n, k) their posterior probabilities, normalized over all states that were looked at."""
    log_joints: Floats
    """(n, k) their log p(s, y), constants included."""
    means: Floats | None
    """(n, H) posterior means of the latents; None of mixtures, where the number of a component has none."""
    other_means: dict[str, Floats]
    """Posterior means of what else is hidden, by name, such as (n, H) `slab`; empty for most models."""
    free_energy: Floats
    """(n,) log of the sum of p(s, y) over the states that were looked at: a lower bound of log p(y)."""
    certain: NDArray[np.bool_]
    """(n,) whether all states were looked at: the best state is certain, probabilities and means are exact."""
    unsettled: NDArray[np.bool_]
    """(n,) whether something hints at a better state; False proves nothing where `certain` is False."""
    unimproved: NDArray[np.int32]
    """(n,) for how many sweeps, or neighborhoods of states, the best state has not improved."""
    deviations: Floats | None = None
    """(n, H) posterior standard deviations of latents that are real numbers."""

    def __repr__(self) -> str:
        """The shapes."""
        return shapes_of(self)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with the axes `row`, `top_k` and `H`; UserError where xarray is not installed."""
        return posterior_dataset(self)


class Reconstruction(NamedTuple):
    """What a model predicts of each of n rows, in the units of the data."""

    prediction: Floats
    """(n, D) posterior predictive means, NaN in columns of which no value was observed in training."""
    filled: Floats
    """(n, D) the data where they were observed, the predictions where they are missing."""
    free_energy: Floats
    """(n,) a lower bound of log p(y)."""

    def __repr__(self) -> str:
        """The shapes."""
        return shapes_of(self)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with the axes `row` and `D`; UserError where xarray is not installed."""
        return reconstruction_dataset(self)


def shapes_of(told: Any) -> str:
    """Names, shapes and types of the arrays in a named tuple, on one line."""
    found = []
    for name, value in zip(told._fields, told, strict=True):
        if value is None:
            continue
        each = value.items() if isinstance(value, dict) else [(None, value)]
        said = [f"{'' if key is None else f'{key}: '}{array.shape} {array.dtype}" for key, array in each]
        found.append(f"{name}={{{', '.join(said)}}}" if isinstance(value, dict) else f"{name}={said[0]}")
    return f"{type(told).__name__}({', '.join(found)})"


class Asked(NamedTuple):
    """Rows, and what is to be done to find their states."""

    data: Any
    options: Options
    missing: bool = False
    comm: Any = None
    """All its ranks ask together, with the same rows."""
    n_jobs: int | None = None
    """Threads of this process that share the rows, where there is no `comm`."""


def posterior(known: "Learned", asked: Asked, top_k: int) -> Posterior:
    """The posterior of each row; see `Learned.posterior`."""
    _require_count("top_k", top_k)
    found, space = _found(known, asked, lambda inference: keeping(inference, top_k)), known.model.space
    others = {name.removeprefix("means_"): values for name, values in found.items() if name.startswith("means_")}
    none = np.empty((len(found["free_energy"]), 0))
    states = decoded(space, found["states"]) if "states" in found else np.empty((*none.shape, space.n_latents))
    return Posterior(
        states, found.get("probabilities", none), found.get("log_joints", none), found.get("means"), others,
        found["free_energy"], found["certain"] != 0, found["unsettled"] != 0, found["unimproved"],
        found.get("deviations"),
    )  # fmt: skip


def free_energy(known: "Learned", asked: Asked) -> Floats:
    """(n,) free energies; see `Learned.free_energy`."""

    def summarized(target: Target, found: Found | None, posterior: Any) -> Summary:
        return {"free_energy": posterior.free_energy}

    return np.asarray(_found(known, asked, lambda _: summarized)["free_energy"])


def reconstruct(known: "Learned", asked: Asked) -> Reconstruction:
    """Predictions; see `Learned.reconstruct`."""
    require_prediction(known)

    def add_filled(rows: LocalRows, local: Summary) -> None:
        local["filled"] = in_units_of_data(known, rows, local["prediction"])

    found = _found(known, asked, lambda _: predicting, add_filled)
    return Reconstruction(found["prediction"], found["filled"], found["free_energy"])


def sample(known: "Learned", n_rows: int, seed: int) -> tuple[Floats, NDArray[np.generic]]:
    """Rows and states; see `Learned.sample`."""
    _require_count("n_rows", n_rows)
    require_sampling(known)
    with one_blas_thread():
        return made(known, n_rows, seed)


def _found(
    known: "Learned",
    asked: Asked,
    summarizer: Callable[[Inference], Summarize],
    add: Callable[[LocalRows, Summary], None] = lambda rows, local: None,
) -> Summary:
    """What is kept of all rows, found on any number of ranks or threads with the same bits; all ranks get it.

    `add` adds arrays to those of a rank; all ranks call it together.
    """
    _require_count("n_sweeps", asked.options.n_sweeps)
    require_one_of(asked.comm, asked.n_jobs)

    def on_rank(dataset: Dataset, comm: Communicator) -> Summary:
        require_same_rows(dataset, comm)
        inference = Inference(known, asked.options)
        rows = rows_in_hand(known, dataset, asked.missing, comm)
        if comm.is_root:
            for doubt in rows.doubts:
                warn(doubt)
        inferred = infer(inference, rows, summarizer(inference))
        add(rows, inferred.local)
        return _of_all_ranks(inferred.local, rows, everywhere=asked.comm is not None)

    return together(asked.comm, asked.n_jobs, lambda: dataset_of(asked.data, missing=asked.missing), on_rank)


def _of_all_ranks(local: Summary, rows: LocalRows, everywhere: bool) -> Summary:
    """The arrays of the rows of all ranks, on all of them or on root alone; all call it together."""
    comm, found = rows.comm, dict[str, NDArray[Any]]()
    if comm.size == 1:
        return local
    n_taken = rows.blocks.n_rows if everywhere or comm.is_root else 0
    for name in list(local):
        own = local.pop(name)
        found[name] = np.empty((n_taken, *own.shape[1:]), own.dtype)
        comm.gather_rows(own, rows.starts, partial(_put_rows, found[name]))
        if everywhere:
            comm.broadcast_in_place(found[name])
    return found


def _put_rows(whole: NDArray[Any], start: int, piece: NDArray[Any]) -> None:
    whole[start : start + len(piece)] = piece


def _require_count(name: str, number: int) -> None:
    if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
        raise UserError(f"{name} must be 1 or more, not {number!r}")


def require_prediction(known: "Learned") -> None:
    """Raise UserError where the model cannot predict data."""
    if not (offers(known.model, Reconstructs) or offers(known.model, FitsGaussians)):
        raise UserError(f"model {kind_of(known.model)} cannot predict data")


def in_units_of_data(known: "Learned", rows: LocalRows, prediction: Floats) -> Floats:
    """The rows (n_local, D) where they were observed, and the predictions where they are missing; all ranks call it
    together.

    The predictions are brought into the units of the data in place.
    """
    level = rows.level() if rows.preprocessing.remove_mean else 0.0
    filled = rows.allocate(prediction.shape[1:], prediction.dtype)
    for block in rows.owned_blocks():
        place, raw = rows.local(block), rows.raw_of_block(block)
        predicted = rows.preprocessing.undo(prediction[place], raw, level)
        predicted[:, known.never_observed] = np.nan
        prediction[place], filled[place] = predicted, np.where(np.isnan(raw), predicted, raw)
    return filled


def keeping(inference: Inference, n_best: int) -> Summarize:
    """What keeps the `n_best` best states of each row, or all where the E-step has fewer."""

    def summarized(target: Target, found: Found | None, posterior: Any) -> Summary:
        if found is None:
            return of_gaussians(posterior)
        return summarize(target, found, posterior, min(n_best, inference.n_states))

    return summarized


def predicting(target: Target, found: Found | None, posterior: Any) -> Summary:
    """The posterior predictive mean of each row, as many rows at a time as a product of rows apart sees."""
    if found is None:
        return {"prediction": posterior.reconstruct(), "free_energy": posterior.free_energy}
    model = cast(Reconstructs, target.model)

    def predicted(of: Target, rows: NDArray[np.int64]) -> Floats:
        return model.reconstruct(of.prepared, of.projected, found.codes[rows], posterior.weights[rows])

    return {"prediction": in_pieces(target, predicted), "free_energy": posterior.free_energy}
