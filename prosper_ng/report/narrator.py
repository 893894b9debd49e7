"""Tells the user, and log.txt, how a run goes."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from prosper_ng.models.rounding import without_rounding
from prosper_ng.progress import Progress
from prosper_ng.report.log import close_log, open_log, print_warning


class Narrator:
    """Listens to a run: progress on the terminal, messages and every sweep in the log; silent on all ranks but root."""

    def __init__(
        self,
        n_sweeps: int,
        is_root: bool,
        quiet: bool,
        verbose: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is shown before the run folder is open.

        `tell` takes warnings; where it is None they are printed, unless `quiet`.
        """
        self._n_sweeps, self._is_root, self._quiet, self._verbose = n_sweeps, is_root, quiet, verbose
        self._tell = tell or (_say_nothing if quiet else print_warning)
        self._early: list[str] = []
        self._logger: logging.Logger | None = None
        self._progress: Progress | None = None

    def opened(self, folder: Path, n_done: int) -> None:
        """The run folder is there, and so many sweeps were done before."""
        if not self._is_root:
            return
        self._logger = open_log(folder, self._verbose, self._tell)
        for message in self._early:
            self.say(message)
        self._early.clear()
        self._logger.info(
            "%s sweep %d of %d", "resumed after" if n_done else "started before", max(n_done, 1), self._n_sweeps
        )
        if n_done and not self._quiet:
            print(f"resumed after sweep {n_done} of {self._n_sweeps}", flush=True)
        self._progress = Progress(self._n_sweeps, self._quiet, self._verbose, n_done)

    def say(self, message: str) -> None:
        """Something the user should hear of."""
        if self._logger is None:
            self._early.append(message)
        else:
            self._logger.warning(message)
            self._tell(message)

    def note(self, message: str) -> None:
        """Something for the log."""
        if self._logger is not None:
            self._logger.info(message)

    def sweep(self, done: int, values: Mapping[str, float], headline: Sequence[str]) -> None:
        """A sweep is done; the values are those of its entry in the history, of which people look at some first."""
        if self._logger is None or self._progress is None:
            return
        gap = float(without_rounding(values.get("entropy_gap", np.nan), values["free_energy"]))
        shown = {name: value for name, value in values.items() if name != "entropy_gap" or gap}
        self._progress.update(done, shown, headline)
        self._logger.info("sweep %d: free energy %.9g", done, values["free_energy"])

    def show(self, text: str) -> None:
        """How far the task has come after the last sweep."""
        if self._progress is not None:
            self._progress.show(text)

    def close(self) -> None:
        """The run has ended."""
        if self._progress is not None:
            self._progress.close()
        if self._logger is not None:
            close_log(self._logger)


def _say_nothing(message: str) -> None:
    """A warning that nobody wants to hear."""
