"""`log.txt`: what happened in a run, with times; each start of the run goes on below the one before."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from time import gmtime

NAME = "log.txt"
LOGGER = "prosper_ng"


class _LogFile(logging.FileHandler):
    """A log file that goes silent when the disk fails, after saying so once: a run must not end for its log."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="a", encoding="utf-8", errors="backslashreplace")
        formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = gmtime
        self.setFormatter(formatter)
        self._failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once that nothing more comes."""
        if not self._failed:
            self._failed = True
            error = sys.exc_info()[1]
            print(f"{self.baseFilename} cannot be written to ({error}); the run goes on", file=sys.stderr)


def print_warning(message: str) -> None:
    """Print to whatever stderr is at that moment, a progress bar's included."""
    print(message, file=sys.stderr, flush=True)


def open_log(folder: Path, verbose: bool = False, tell: Callable[[str], None] = print_warning) -> logging.Logger:
    """A logger of its own, known to no other, that appends to log.txt in the run folder; for root only.

    With `verbose` details go to the file as well. `tell` hears of a file that cannot be opened.
    """
    logger = logging.Logger(LOGGER, logging.DEBUG if verbose else logging.INFO)
    try:
        logger.addHandler(_LogFile(folder / NAME))
    except OSError as error:
        logger.addHandler(logging.NullHandler())
        tell(f"{folder / NAME} cannot be written to ({error.strerror}); the run goes on without it")
    return logger


def close_log(logger: logging.Logger) -> None:
    """Close the file; later messages are lost."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
