"""Rows that a program in Python had in memory."""

from collections.abc import Mapping
from typing import Annotated, Any

from annotated_types import Ge

from prosper_ng.components import component
from prosper_ng.data.dataset import DataError, Dataset, SourceDefaults
from prosper_ng.data.preprocessing import Kind, Prepares


@component
class Array(Prepares, SourceDefaults):
    """Rows that a program in Python had in memory, and gave to `prosper_ng.learn` together with a folder.

    A run in such a folder says so by this kind; which rows they were is told by their digest. No file holds them, so
    that no command can read them.
    """

    remove_mean: bool = False
    """Whether the mean of each row was subtracted."""
    whiten: Kind = "none"
    """How the rows were whitened."""
    whiten_epsilon: Annotated[float, Ge(0)] = 1e-4
    """What raised the variances before whitening, as a fraction of their mean."""

    @classmethod
    def of(cls, dataset: Dataset) -> Mapping[str, Any]:
        """What a configuration says of a dataset in hand."""
        return {"kind": "array", **dataset.preprocessing.settings}

    @property
    def depends_on_seed(self) -> bool:
        """Nobody knows."""
        return False

    def open(self, seed: int) -> Dataset:
        """Raises DataError: there is nothing to open."""
        raise DataError(
            "data of kind `array` are rows that a program in Python had in memory, and no file holds them: "
            "prosper_ng.learn goes on with them where it is given the same rows and this folder; for a command, save "
            "them and name the file, as in `kind: npy`"
        )
