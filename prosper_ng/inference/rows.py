"""The rows that a learned model is applied to."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import OneOf, Seed, components_of, kind_of, settings
from prosper_ng.config import ConfigError, SourceText, load
from prosper_ng.config.canonical import inline
from prosper_ng.config.loader import DEFAULT, read_file
from prosper_ng.config.tree import MappingNode
from prosper_ng.config.yaml_reader import read_yaml
from prosper_ng.data.dataset import Dataset, Source, require_memory
from prosper_ng.data.preprocessing import SETTINGS, Preprocessing
from prosper_ng.data.support import noise_refused, require_support
from prosper_ng.errors import UserError
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.inference.learned import Learned, as_json
from prosper_ng.learning.digest import Content, compile_reading
from prosper_ng.numerics.constraints import REAL
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.parallel.warm_up import warm_up

Floats = NDArray[np.float64]

_DATASET = "data"
"""The name looked for where none is given."""
_PIECE_ROWS = 4096


@settings
class DataConfig:
    """The part of a configuration that says where rows come from."""

    seed: Seed = 0
    """All random numbers of the data are a function of it."""
    data: Annotated[Source, OneOf("prosper_ng.data.sources")]
    """Where the rows come from."""


class Wanted(NamedTuple):
    """What the user said about the rows."""

    path: str | None = None
    """A file of numbers, or a YAML file with a section `data`; the run's own data where not given."""
    dataset: str | None = None
    """The name of the array in the file."""
    missing: bool = False
    """Whether NaN marks missing values."""


@dataclass
class LocalRows:
    """A dataset, and the rows of it that this rank works on."""

    dataset: Dataset
    source: Source
    blocks: RowBlocks
    raw: Floats
    """(n_local, D) in the units of the source, NaN where a value is missing."""
    preprocessing: Preprocessing
    """What was done to the rows that were learned from, and is done to these."""
    comm: Communicator
    attributes: dict[str, Any] = field(default_factory=dict)
    """What is to be said of the rows in a file of results."""

    @property
    def starts(self) -> list[int]:
        """The first global row of each rank, and the number of all rows."""
        return self.blocks.starts(self.comm.size)

    @property
    def first(self) -> int:
        """The global index of this rank's first row."""
        return self.starts[self.comm.rank]

    def owned_blocks(self) -> list[range]:
        """The global rows of each block of this rank."""
        return [self.blocks.rows(block) for block in self.blocks.owned(self.comm.rank, self.comm.size)]

    def of_block(self, rows: range) -> Floats:
        """The values of a block as the model knows them, in an array of their own."""
        # Linear algebra sees the same alignment whoever owns the block.
        return self.preprocessing.apply(self.raw_of_block(rows).copy())

    def raw_of_block(self, rows: range) -> Floats:
        """The values of a block in the units of the source."""
        return self.raw[rows.start - self.first : rows.stop - self.first]

    def level(self) -> float:
        """The mean of all values that are not missing, which stands for that of a row without any; all ranks call it
        together.
        """
        if self.dataset.as_image is not None:
            return self.dataset.as_image.level
        total = ExactSum([1, 1])
        for block in self.owned_blocks():
            raw = self.raw_of_block(block)
            total.add(np.array([np.nansum(raw), np.count_nonzero(~np.isnan(raw))]))
        (summed, n_values), _ = total.reduce(self.comm, np.zeros(0))
        return float(summed / max(n_values, 1.0))


def open_rows(known: Learned, wanted: Wanted, comm: Communicator) -> LocalRows:
    """The rows to work on, each rank its own, to be treated like those that were learned from.

    Raises UserError on all ranks where they do not fit the model, or are said to be those of the run and are not.
    """
    with collectively(comm, "opening the data"):
        source, seed = _source(known, wanted)
        refusal = noise_refused(known.model, source)
        if refusal is not None:
            raise UserError(f"{wanted.path or 'the data'}: {refusal}")
        dataset = source.open(seed)
        preprocessing = dataset.preprocessing if known.preprocessing is None else known.preprocessing
        if dataset.n_observed != known.n_observed:
            raise UserError(
                f"the rows of {wanted.path or 'the data'} have {dataset.n_observed} values, and the model of "
                f"{known.path} has learned from rows of {known.n_observed}"
            )
        if dataset.n_rows == 0:
            raise UserError(f"{wanted.path or 'the data source'} has no rows")
    blocks = RowBlocks(dataset.n_rows, default_block_rows(dataset.n_rows, 1))
    content = Content(dataset)
    warm_up(comm, compile_reading)
    with collectively(comm, "reading the data"):
        raw = _raw_rows(content, known, preprocessing, blocks.owned_rows(comm.rank, comm.size))
    digest = content.digest(comm)
    if wanted.path is None and known.data_digest not in (None, digest):
        raise UserError(
            f"{dataset.where} does not hold the rows any more that {known.path} has learned from; where its present "
            "rows are meant, name it as DATA, or a YAML file with its section `data`"
        )
    attributes: dict[str, Any] = {"data": wanted.path or "of the run", "data_source": _without_preprocessing(source)}
    attributes |= {"n_rows": dataset.n_rows, "data_digest": digest}
    return LocalRows(dataset, source, blocks, raw, preprocessing, comm, attributes)


def unknown_whitening(known: Learned) -> str:
    """Why a whitened run of an earlier version cannot be used, and what to do."""
    return (
        f"{known.path} has learned from whitened rows with an earlier version of prosper_ng, which did not keep the "
        "whitening; start the run once more with its own data, which keeps it, also where it is finished"
    )


def _raw_rows(content: Content, known: Learned, preprocessing: Preprocessing, owned: range) -> Floats:
    """This rank's rows, of which none lacks what whitening needs or is beyond what the model can have made."""
    dataset = content.dataset
    require_memory(8 * len(owned) * dataset.n_observed, f"{dataset.where}: rows {owned.start} to {owned.stop}")
    raw = np.empty((len(owned), dataset.n_observed))
    for first in range(owned.start, owned.stop, _PIECE_ROWS):
        last = min(first + _PIECE_ROWS, owned.stop)
        piece = content.raw(first, last)
        preprocessing.require_whole(piece, first, dataset.where)
        _require_support(piece, first, known, dataset.where, preprocessing)
        raw[first - owned.start : last - owned.start] = piece
    return raw


def _require_support(raw: Floats, first: int, known: Learned, where: str, preprocessing: Preprocessing) -> None:
    """Raise DataError where the model cannot have made rows, but for columns of which it knows nothing."""
    if known.model.support != REAL:
        rows = preprocessing.apply(raw)
        rows[:, known.never_observed] = np.nan
        require_support(rows, first, known.model, where, preprocessing)


def _source(known: Learned, wanted: Wanted) -> tuple[Source, int]:
    """The source, and the seed to open it with; UserError where what is done to its rows is not known."""
    if known.preprocessing is None and wanted.path is not None:
        raise UserError(unknown_whitening(known))
    source, seed = known.config.data, known.config.seed
    if wanted.path is not None and Path(wanted.path).suffix.lower() in (".yaml", ".yml"):
        source, seed = _configured(known, wanted.path)
    elif wanted.path is not None:
        return _file(wanted), seed
    if wanted.dataset is not None:
        raise UserError(f"--dataset {wanted.dataset} names an array in a file of numbers; give that file as DATA")
    if known.preprocessing is not None:
        source = source.unprepared()
    return (_with_missing(source) if wanted.missing else source), seed


def _configured(known: Learned, path: str) -> tuple[Source, int]:
    """The section `data` of a YAML file, which may be the configuration of a run or hold nothing else.

    Raises UserError where it asks for another preprocessing than the one that belongs to the model.
    """
    text = read_file(path)
    loaded = load(text, RunConfig if _is_run(text) else DataConfig)
    config = loaded.value
    assert isinstance(config, RunConfig | DataConfig)
    learned = {} if known.preprocessing is None else known.preprocessing.settings
    for name, value in learned.items():
        origin, asked = loaded.origins.get(f"data.{name}", DEFAULT), config.data.preparation.get(name, value)
        if origin != DEFAULT and asked != value:
            raise UserError(
                f"{origin}: data.{name} is {inline(asked)}, and {known.path} has learned with {inline(value)}, which "
                f"belongs to its model and is done to any rows; leave {name} out"
            )
    return config.data, config.seed


def _is_run(text: SourceText) -> bool:
    root = read_yaml(text, [])
    return isinstance(root, MappingNode) and bool({"name", "model", "estep"} & root.items.keys())


def _file(wanted: Wanted) -> Source:
    """The source for a file of numbers."""
    assert wanted.path is not None
    sources: list[type[Any]] = list(components_of("prosper_ng.data.sources").values())
    suffix = Path(wanted.path).suffix.lower()
    kinds = [each for each in sources if suffix in each.suffixes]
    if not kinds:
        suffixes = ", ".join(sorted({ending for each in sources for ending in each.suffixes}))
        raise UserError(f"{wanted.path}: the name of a file of data ends in {suffixes}, .yaml or .yml")
    if len(kinds) > 1:
        raise UserError(
            f"{wanted.path}: the sources {' and '.join(map(kind_of, kinds))} read files that end in {suffix}; say "
            "which in the section `data` of a YAML file"
        )
    names, (kind,) = {}, kinds
    if kind.name_field is not None:
        names[kind.name_field] = wanted.dataset or _DATASET
    elif wanted.dataset is not None:
        raise UserError(f"{wanted.path} holds a single array, so --dataset makes no sense")
    source: Source = kind(path=wanted.path, missing=wanted.missing, **names)
    return source


def _without_preprocessing(source: Source) -> str:
    """The settings of a source as JSON, but for those that are the learned model's."""
    settings = json.loads(as_json(source))
    return json.dumps({name: value for name, value in settings.items() if name not in SETTINGS})


def _with_missing(source: Source) -> Source:
    try:
        allowing = source.with_missing()
    except ConfigError as error:
        raise UserError(f"--missing: {error.mistakes[0].message}") from None
    if allowing is None:
        raise UserError(f"--missing is for data in files; data of kind {kind_of(source)} have no NaN to be allowed")
    return allowing
