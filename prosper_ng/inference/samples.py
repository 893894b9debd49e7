"""Data generated from a model, written as they are made."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import kind_of
from prosper_ng.data.preprocessing import Preprocessing
from prosper_ng.errors import NumericalError, UserError
from prosper_ng.estep.interface import Floats
from prosper_ng.inference.local_rows import unknown_whitening
from prosper_ng.inference.summary import UNKNOWN, values_of
from prosper_ng.models.axes import axes_of
from prosper_ng.models.capabilities import Samples, offers
from prosper_ng.numerics.random_streams import Stream, stream
from prosper_ng.parallel.communicator import Communicator, SerialCommunicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.storage.result_file import ResultFile

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned

FORMAT = "prosper_ng sample"
FORMAT_VERSION = 1
BLOCK_ROWS = 256

_WAVE_BYTES = 1 << 27
"""Of rows that are made before they are written, on all ranks together."""


def write_samples(
    path: Path,
    known: "Learned",
    n_rows: int,
    seed: int,
    comm: Communicator,
    with_states: bool,
    force: bool = False,
    inputs: Callable[[], Iterable[Path]] = tuple,
) -> None:
    """Write rows that are a function of parameters, seed and their index; all ranks call it together.

    Block b holds rows 256 b to 256 b + 255 and is always made as a whole, so that any rank makes it with the same bits,
    and more rows begin with the same ones. Raises UserError where the model cannot generate data or the file cannot be
    written or is one of the `inputs`, NumericalError where the rows are not finite.
    """
    space, streams = known.model.space, _streams(seed)
    require_sampling(known)
    assert known.preprocessing is not None

    def rehearse() -> None:
        _block(known, streams, 0)

    warm_up(comm, rehearse)
    blocks = RowBlocks(n_rows, BLOCK_ROWS)
    with ResultFile(path, comm, "data", force, inputs) as results:
        results.set_attributes({"format": FORMAT, "format_version": FORMAT_VERSION, "seed": seed, "n_rows": n_rows})
        results.set_attributes(known.provenance() | {"units": _units(known.preprocessing)})
        results.put_parameters(known.params, axes_of(known.model, known.n_observed))
        results.announce("data", (n_rows, known.n_observed), np.float64, "(N, D) the rows" + UNKNOWN)
        if with_states:
            shape, meaning = (n_rows, space.n_latents), "(N, H) the values of the latents that made them"
            results.announce("states", shape, space.state_type, meaning, compress=True)
        for wave in _waves(known, blocks.n_blocks):
            starts, values, states = _made(known, streams, blocks, wave, comm)
            results.gather("data", values, starts)
            if with_states:
                results.gather("states", states, starts)


def made(known: "Learned", n_rows: int, seed: int) -> tuple[Floats, NDArray[np.generic]]:
    """The rows (n, D) that `write_samples` writes, and the values (n, H) of the latents that made them."""
    blocks = RowBlocks(n_rows, BLOCK_ROWS)
    _, values, states = _made(known, _streams(seed), blocks, range(blocks.n_blocks), SerialCommunicator())
    return values, states


def require_sampling(known: "Learned") -> None:
    """Raise UserError where the model cannot generate data, or their units are not known."""
    if not offers(known.model, Samples):
        raise UserError(f"model {kind_of(known.model)} cannot generate data")
    if known.preprocessing is None:
        raise UserError(unknown_whitening(known))


def _streams(seed: int) -> Stream:
    return stream(seed, "samples of a learned model")


def _units(preprocessing: Preprocessing) -> str:
    """What the numbers of the rows mean."""
    if not preprocessing.remove_mean:
        return "those of the data that were learned from"
    return (
        "those of the data that were learned from, but for the mean of each row: it was removed before the model saw "
        "the rows, and is left out"
    )


def _waves(known: "Learned", n_blocks: int) -> list[range]:
    """Blocks that are made before any of them is written: the same whatever the number of ranks."""
    row_bytes = 8 * (known.n_observed + known.model.space.n_latents)
    size = max(1, _WAVE_BYTES // (BLOCK_ROWS * row_bytes))
    return [range(first, min(first + size, n_blocks)) for first in range(0, n_blocks, size)]


def _made(
    known: "Learned", streams: Stream, blocks: RowBlocks, wave: range, comm: Communicator
) -> tuple[list[int], Floats, NDArray[np.generic]]:
    """This rank's share of a wave: the first row of each rank, rows (n, D), and states (n, H)."""
    shares = [wave.start + rank * len(wave) // comm.size for rank in range(comm.size + 1)]
    starts = [min(share * BLOCK_ROWS, blocks.n_rows) for share in shares]
    n_rows = starts[comm.rank + 1] - starts[comm.rank]
    space = known.model.space
    values, states = np.empty((n_rows, known.n_observed)), np.empty((n_rows, space.n_latents), space.state_type)
    with collectively(comm, "generating data"):
        for block in range(shares[comm.rank], shares[comm.rank + 1]):
            rows, drawn = _block(known, streams, block)
            rows = known.preprocessing.undo(rows) if known.preprocessing is not None else rows
            place = slice(blocks.rows(block).start - starts[comm.rank], blocks.rows(block).stop - starts[comm.rank])
            n_kept = len(blocks.rows(block))
            values[place], states[place] = rows[:n_kept], values_of(space, drawn[:n_kept])
    values[:, known.never_observed] = np.nan
    return starts, values, states


def _block(known: "Learned", streams: Stream, block: int) -> tuple[Floats, NDArray[Any]]:
    """All rows of a block, and the latents that made them, by their indices in the alphabet where there is one."""
    model = cast(Samples, known.model)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is an error below
        rows, drawn = model.sample(known.params, BLOCK_ROWS, streams.generator(block))
    if not np.isfinite(rows).all():
        raise NumericalError(f"model {kind_of(known.model)} generates rows that are not finite from these parameters")
    return rows, drawn
