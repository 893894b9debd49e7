"""The files that results are made from, which none of them replaces."""

from collections.abc import Iterator
from pathlib import Path

from prosper_ng import plugins
from prosper_ng.config.loader import read_file
from prosper_ng.config.tree import plain
from prosper_ng.config.yaml_reader import read_yaml
from prosper_ng.inference.rows import Wanted
from prosper_ng.inference.stored import LearnedRun
from prosper_ng.paths import path_of
from prosper_ng.storage.own_files import files_named_in, files_of_run


def inputs_of(run: LearnedRun, wanted: Wanted) -> Iterator[Path]:
    """What `infer` and `reconstruct` read: the run, its data or those that are wanted, and plug-ins."""
    yield from files_of_run(run.path)
    yield from files_named_in(run.data)
    if wanted.path is not None:
        yield from files_named_in(wanted.path)
        if is_configuration(wanted.path):
            yield from files_in_configuration(path_of(wanted.path))
    yield from plugins.files()


def files_in_configuration(path: Path) -> Iterator[Path]:
    """A YAML file and all that it names; ConfigError where it cannot be read."""
    yield path
    tree = read_yaml(read_file(path), [])
    yield from files_named_in(None if tree is None else plain(tree))


def is_configuration(path: str) -> bool:
    """Whether a file is one of YAML, by its name."""
    return path.lower().endswith((".yaml", ".yml"))
