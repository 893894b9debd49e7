"""The rows that a learned model is applied to."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.components import OneOf, Seed, kind_of, settings
from prosper_ng.config import SourceText, load
from prosper_ng.config.loader import read_file
from prosper_ng.config.tree import MappingNode
from prosper_ng.config.yaml_reader import read_yaml
from prosper_ng.errors import UserError
from prosper_ng.experiments.inference_learned import Learned, as_json
from prosper_ng.experiments.run_config import RunConfig
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.storage.dataset import Dataset, Source
from prosper_ng.storage.sources.hdf5 import Hdf5
from prosper_ng.storage.sources.mat import Mat
from prosper_ng.storage.sources.npy import Npy
from prosper_ng.storage.sources.npz import Npz

Floats = NDArray[np.float64]

_DATASET = "data"
"""The name looked for where none is given."""
_FILES = {".h5": Hdf5, ".hdf5": Hdf5, ".npy": Npy, ".npz": Npz, ".mat": Mat}
_NAMES: dict[type, str] = {Hdf5: "dataset", Npz: "array", Mat: "variable"}


@settings
class DataConfig:
    """The part of a configuration that says where rows come from."""

    seed: Seed = 0
    """All random numbers of the data are a function of it."""
    data: Annotated[Source, OneOf("prosper_ng.storage.sources")]
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
    values: Floats
    """(n_local, D), NaN where a value is missing."""
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
        """A copy of the values of a block."""
        # Linear algebra sees the same alignment whoever owns the block.
        return self.values[rows.start - self.first : rows.stop - self.first].copy()


def open_rows(known: Learned, wanted: Wanted, comm: Communicator) -> LocalRows:
    """The rows to work on, each rank its own; UserError on all ranks where they do not fit the model."""
    with collectively(comm, "opening the data"):
        source, seed = _source(known, wanted)
        dataset = source.open(seed)
        if dataset.n_observed != known.n_observed:
            raise UserError(
                f"the rows of {wanted.path or 'the data'} have {dataset.n_observed} values, and the model of "
                f"{known.path} has learned from rows of {known.n_observed}"
            )
        if dataset.n_rows == 0:
            raise UserError(f"{wanted.path or 'the data source'} has no rows")
    blocks = RowBlocks(dataset.n_rows, default_block_rows(dataset.n_rows, 1))
    owned = blocks.owned_rows(comm.rank, comm.size)
    with collectively(comm, "reading the data"):
        values = dataset.read(owned.start, owned.stop)
    attributes = {"data": wanted.path or "of the run", "data_source": as_json(source), "n_rows": dataset.n_rows}
    return LocalRows(dataset, source, blocks, values, comm, attributes)


def _source(known: Learned, wanted: Wanted) -> tuple[Source, int]:
    """The source, and the seed to open it with."""
    source, seed = known.config.data, known.config.seed
    if wanted.path is not None and Path(wanted.path).suffix.lower() in (".yaml", ".yml"):
        source, seed = _configured(wanted.path)
    elif wanted.path is not None:
        return _file(known, wanted), seed
    if wanted.dataset is not None:
        raise UserError(f"--dataset {wanted.dataset} names an array in a file of numbers; give that file as DATA")
    return (_with_missing(source) if wanted.missing else source), seed


def _configured(path: str) -> tuple[Source, int]:
    """The section `data` of a YAML file, which may be the configuration of a run or hold nothing else."""
    text = read_file(path)
    schema = RunConfig if _is_run(text) else DataConfig
    config = load(text, schema).value
    assert isinstance(config, RunConfig | DataConfig)
    return config.data, config.seed


def _is_run(text: SourceText) -> bool:
    root = read_yaml(text, [])
    return isinstance(root, MappingNode) and bool({"name", "model", "estep"} & root.items.keys())


def _file(known: Learned, wanted: Wanted) -> Source:
    """The source for a file of numbers, its rows treated like those that were learned from."""
    assert wanted.path is not None
    kind = _FILES.get(Path(wanted.path).suffix.lower())
    if kind is None:
        raise UserError(f"{wanted.path}: the name of a file of data ends in {', '.join(_FILES)}, .yaml or .yml")
    learned_from = known.config.data
    if getattr(learned_from, "whiten", "none") != "none":
        raise UserError(
            f"{known.path} has learned from whitened rows; give DATA as a YAML file with a section `data` that says "
            "how those of the file are whitened"
        )
    names = {}
    if kind in _NAMES:
        names[_NAMES[kind]] = wanted.dataset or _DATASET
    elif wanted.dataset is not None:
        raise UserError(f"{wanted.path} holds a single array, so --dataset makes no sense")
    remove_mean = bool(getattr(learned_from, "remove_mean", False))
    source: Source = kind(path=wanted.path, remove_mean=remove_mean, missing=wanted.missing, **names)
    return source


def _with_missing(source: Source) -> Source:
    if not isinstance(getattr(source, "missing", None), bool):
        raise UserError(f"--missing is for data in files; data of kind {kind_of(source)} have no NaN to be allowed")
    return replace(source, missing=True)  # type: ignore[type-var]
