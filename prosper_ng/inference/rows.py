"""The rows that a learned model is applied to."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import numpy as np

from prosper_ng.components import OneOf, Seed, components_of, kind_of, settings
from prosper_ng.config import ConfigError, from_mapping
from prosper_ng.config.canonical import inline
from prosper_ng.config.loader import DEFAULT, checked, read_file, read_tree
from prosper_ng.config.tree import MappingNode
from prosper_ng.data.content import Content, compile_reading, local_rows
from prosper_ng.data.dataset import DataError, Dataset, Source
from prosper_ng.data.preprocessing import SETTINGS
from prosper_ng.data.support import noise_refused
from prosper_ng.errors import UserError
from prosper_ng.inference.local_rows import (
    TAKEN_BY_NAME,
    LocalRows,
    can_be_told_by,
    check_shape,
    fitting_rows,
    other_columns,
    unknown_whitening,
)
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks, default_block_rows
from prosper_ng.parallel.warm_up import warm_up
from prosper_ng.paths import path_of
from prosper_ng.storage.provenance import as_json
from prosper_ng.storage.run_record import not_of_this_version

if TYPE_CHECKING:
    from prosper_ng.inference.learned import Learned
    from prosper_ng.inference.stored import LearnedRun

_DATASET = "data"
"""The name looked for where none is given."""
_OF_DATA = ("seed", "data")


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


def open_rows(run: "LearnedRun", wanted: Wanted, comm: Communicator, folder: Path) -> LocalRows:
    """The rows to work on, each rank its own, to be treated like those that were learned from.

    What does not fit into the memory that the run was given goes to files in `folder`, unless it names another.
    Raises UserError on all ranks where they do not fit the model, or are said to be those of the run and are not.
    """
    known = run.learned
    with collectively(comm, "opening the data"):
        source, seed = _source(run, wanted)
        refusal = noise_refused(known.model, source)
        if refusal is not None:
            raise UserError(f"{wanted.path or 'the data'}: {refusal}")
        source, dataset, doubts = _opened(run, source, seed)
        preprocessing = dataset.preprocessing if known.preprocessing is None else known.preprocessing
        check_shape(known, dataset, wanted.path or "the data")
    blocks = RowBlocks(dataset.n_rows, default_block_rows(dataset.n_rows, 1))
    content = Content(dataset)
    scratch = folder if run.memory.scratch is None else path_of(run.memory.scratch)
    warm_up(comm, compile_reading)
    with collectively(comm, "reading the data"):
        read = fitting_rows(content.raw, known, preprocessing, dataset.where)
        owned = blocks.owned_rows(comm.rank, comm.size)
        raw = local_rows(read, dataset, owned, run.memory, np.float64, scratch, dataset.raw)
    digest = content.digest(comm)
    # Behind a + stands the digest of the weights, which do not matter here.
    if wanted.path is None and known.data_digest is not None and known.data_digest.partition("+")[0] != digest:
        raise UserError(
            f"{dataset.where} does not hold the rows any more that {known.origin} has learned from; where its present "
            "rows are meant, name it as DATA, or a YAML file with its section `data`"
        )
    attributes: dict[str, Any] = {"data": wanted.path or "of the run", "data_source": _without_preprocessing(source)}
    attributes |= {"n_rows": dataset.n_rows, "data_digest": digest}
    return LocalRows(
        dataset, source.may_lack_values, blocks, raw, preprocessing, comm, run.memory, scratch, attributes, doubts
    )  # fmt: skip


def _opened(run: "LearnedRun", source: Source, seed: int) -> tuple[Source, Dataset, tuple[str, ...]]:
    """The source with its columns in the order in which the model has learned them, its dataset, and what is doubtful.

    Raises UserError where columns have names, and some that the model knows are not among them.
    """
    names, origin = run.learned.column_names, run.learned.origin
    try:
        dataset = source.open(seed)
    except DataError as error:
        named = None if names is None else _by_name(source, names)
        try:
            if named is None:
                raise
            dataset = named.open(seed)
        except DataError:
            raise error from None
        return named, dataset, (TAKEN_BY_NAME.format(dataset.where, origin), *dataset.doubts)
    if names is None or dataset.column_names in (None, names):
        return source, dataset, dataset.doubts
    named = _by_name(source, names)
    try:
        if named is None:
            raise DataError(f"they are {inline(dataset.column_names)}, and not {inline(names)}")
        dataset = named.open(seed)
    except DataError as error:
        advice = "leave the header out where only the names differ"
        raise UserError(other_columns(dataset, origin, error, advice)) from None
    return named, dataset, (TAKEN_BY_NAME.format(dataset.where, origin), *dataset.doubts)


def _by_name(source: Source, names: tuple[str, ...]) -> Source | None:
    """The source with these columns taken; None where it cannot choose columns, or names say too little."""
    changed = cast(Any, source)
    if not hasattr(changed, "columns") or not can_be_told_by(names):
        return None
    found: Source = replace(changed, columns=names)
    return found


def _source(run: "LearnedRun", wanted: Wanted) -> tuple[Source, int]:
    """The source, and the seed to open it with; UserError where what is done to its rows is not known."""
    known = run.learned
    if known.preprocessing is None and wanted.path is not None:
        raise UserError(unknown_whitening(known))
    if wanted.path is not None and Path(wanted.path).suffix.lower() in (".yaml", ".yml"):
        source, seed = _configured(known, wanted.path)
    elif wanted.path is not None:
        return _file(run, wanted), known.seed
    else:
        source, seed = _own(run)
    if wanted.dataset is not None:
        raise UserError(f"--dataset {wanted.dataset} names an array in a file of numbers; give that file as DATA")
    if known.preprocessing is not None:
        source = source.unprepared()
    return (_with_missing(source) if wanted.missing else source), seed


def _own(run: "LearnedRun") -> tuple[Source, int]:
    """Where the rows of the run itself come from."""
    if run.data is None:
        raise UserError(f"{run.path} does not say where its rows came from; name the rows to work on as DATA")
    try:
        config = from_mapping(run.data, DataConfig).value
    except ConfigError as error:
        raise not_of_this_version(run.path, run.writer, error) from error
    return config.data, config.seed


def _configured(known: "Learned", path: str) -> tuple[Source, int]:
    """The section `data` of a YAML file, which may be the configuration of a run or hold nothing else.

    Raises UserError where it asks for another preprocessing than the one that belongs to the model.
    """
    tree = read_tree(read_file(path), DataConfig)
    if {"name", "model", "estep"} & tree.items.keys():
        # Of the configuration of a run only this part is asked for.
        tree = MappingNode(tree.place, {name: node for name, node in tree.items.items() if name in _OF_DATA}, tree.keys)
    loaded = checked(tree, DataConfig, [], "")
    config = loaded.value
    learned = {} if known.preprocessing is None else {"mean_per": "patch", **known.preprocessing.settings}
    for name, value in learned.items():
        origin, asked = loaded.origins.get(f"data.{name}", DEFAULT), config.data.preparation.get(name, value)
        if origin != DEFAULT and asked != value:
            raise UserError(
                f"{origin}: data.{name} is {inline(asked)}, and {known.origin} has learned with {inline(value)}, which "
                f"belongs to its model and is done to any rows; leave {name} out"
            )
    return config.data, config.seed


def _file(run: "LearnedRun", wanted: Wanted) -> Source:
    """The source for a file of numbers; one of the kind that the run has learned from is read as that was."""
    assert wanted.path is not None
    sources: list[type[Any]] = list(components_of("prosper_ng.data.sources").values())
    suffix = Path(wanted.path).suffix.lower()
    kinds = [each for each in sources if wanted.path.lower().endswith(tuple(each.suffixes))]
    if not kinds:
        plain = {ending for each in sources for ending in each.suffixes if ending.count(".") == 1}
        suffixes = ", ".join(sorted(plain))
        raise UserError(f"{wanted.path}: the name of a file of data ends in {suffixes}, .yaml or .yml")
    if len(kinds) > 1:
        raise UserError(
            f"{wanted.path}: the sources {' and '.join(map(kind_of, kinds))} read files that end in {suffix}; say "
            "which in the section `data` of a YAML file"
        )
    names: dict[str, Any] = {}
    (kind,) = kinds
    if any(field.name == "flatten" for field in fields(kind)):
        names["flatten"] = True  # how many values a row must have is known
    if kind.name_field is not None:
        names[kind.name_field] = wanted.dataset or _DATASET
    elif wanted.dataset is not None:
        raise UserError(f"{wanted.path} holds a single array, so --dataset makes no sense")
    if run.data is not None and run.data["data"].get("kind") == kind_of(kind):
        own = cast(Any, _own(run)[0].unprepared())
        names |= {"row_shape": None} if hasattr(own, "row_shape") else {}
        names |= {"flatten": False} if getattr(own, "transpose", False) else {}
        like_the_run: Source = replace(own, path=wanted.path, missing=wanted.missing, **names)
        return like_the_run
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
