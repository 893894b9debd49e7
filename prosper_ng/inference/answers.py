"""What a learned model says of rows in hand, as arrays."""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.sources._arrays import dataset_of
from prosper_ng.errors import UserError, warn
from prosper_ng.estep.interface import Found, Target
from prosper_ng.estep.row_by_row import in_pieces
from prosper_ng.inference.inference import Inference, Inferred, Options, Summarize, infer
from prosper_ng.inference.labeled import posterior_dataset, reconstruction_dataset
from prosper_ng.inference.local_rows import LocalRows, rows_in_hand
from prosper_ng.inference.samples import made, require_sampling
from prosper_ng.inference.summary import Summary, decoded, summarize
from prosper_ng.latents.posterior import TruncatedPosterior
from prosper_ng.models.capabilities import Reconstructs, offers
from prosper_ng.parallel.threads import one_blas_thread

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

Floats = NDArray[np.float64]


class Posterior(NamedTuple):
    """The posterior of each of n rows over the states that were looked at."""

    states: NDArray[Any]
    """(n, k, H) the k best states of each row, best first, as values of the latents."""
    probabilities: Floats
    """(n, k) their posterior probabilities, normalized over all states that were looked at."""
    log_joints: Floats
    """(n, k) their log p(s, y), constants included."""
    means: Floats
    """(n, H) posterior means of the latents."""
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

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with the axes `row` and `D`; UserError where xarray is not installed."""
        return reconstruction_dataset(self)


def posterior(known: "Learned", data: Any, top_k: int, options: Options, missing: bool) -> Posterior:
    """The posterior of each row of `data`; see `Learned.posterior`."""
    if top_k < 1:
        raise UserError(f"top_k must be 1 or more, not {top_k}")
    inference = _inference(known, options)
    found = _found(inference, data, keeping(inference, top_k), missing)[1].local
    others = {name.removeprefix("means_"): values for name, values in found.items() if name.startswith("means_")}
    return Posterior(
        decoded(known.model.space, found["states"]), found["probabilities"], found["log_joints"], found["means"],
        others, found["free_energy"], found["certain"] != 0, found["unsettled"] != 0, found["unimproved"],
    )  # fmt: skip


def free_energy(known: "Learned", data: Any, options: Options, missing: bool) -> Floats:
    """(n,) free energies; see `Learned.free_energy`."""

    def summarized(target: Target, found: Found, posterior: TruncatedPosterior) -> Summary:
        return {"free_energy": posterior.free_energy}

    return np.asarray(_found(_inference(known, options), data, summarized, missing)[1].local["free_energy"])


def reconstruct(known: "Learned", data: Any, options: Options, missing: bool) -> Reconstruction:
    """Predictions; see `Learned.reconstruct`."""
    require_prediction(known)
    rows, inferred = _found(_inference(known, options), data, predicting, missing)
    prediction = inferred.local["prediction"]
    filled = in_units_of_data(known, rows, prediction)
    return Reconstruction(prediction, filled, inferred.local["free_energy"])


def sample(known: "Learned", n_rows: int, seed: int) -> tuple[Floats, NDArray[np.generic]]:
    """Rows and states; see `Learned.sample`."""
    if n_rows < 1:
        raise UserError(f"n_rows must be 1 or more, not {n_rows}")
    require_sampling(known)
    with one_blas_thread():
        return made(known, n_rows, seed)


def _inference(known: "Learned", options: Options) -> Inference:
    if options.n_sweeps < 1:
        raise UserError(f"n_sweeps must be 1 or more, not {options.n_sweeps}")
    return Inference(known, options)


def _found(inference: Inference, data: Any, summarize: Summarize, missing: bool) -> tuple[LocalRows, Inferred]:
    rows = rows_in_hand(inference.known, dataset_of(data, missing=missing), missing)
    for doubt in rows.doubts:
        warn(doubt)
    with one_blas_thread():
        return rows, infer(inference, rows, summarize)


def require_prediction(known: "Learned") -> None:
    """Raise UserError where the model cannot predict data."""
    if not offers(known.model, Reconstructs):
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

    def summarized(target: Target, found: Found, posterior: TruncatedPosterior) -> Summary:
        return summarize(target, found, posterior, min(n_best, inference.n_states))

    return summarized


def predicting(target: Target, found: Found, posterior: TruncatedPosterior) -> Summary:
    """The posterior predictive mean of each row, as many rows at a time as a product of rows apart sees."""
    model = cast(Reconstructs, target.model)

    def predicted(of: Target, rows: NDArray[np.int64]) -> Floats:
        return model.reconstruct(of.prepared, of.projected, found.codes[rows], posterior.weights[rows])

    return {"prediction": in_pieces(target, predicted), "free_energy": posterior.free_energy}
