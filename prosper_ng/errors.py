"""Errors that a user can cause, and warnings; everything else that is raised is a defect of the program."""

import sys
import warnings
from collections.abc import Sequence

_PACKAGE = __name__.partition(".")[0]


class UserError(ValueError):
    """One clear sentence: what is wrong, where, and what would be legal.

    The command line prints it without a traceback and ends with `exit_status`.
    """

    exit_status = 2


class NumericalError(UserError):
    """The computation left the real numbers, or a guarantee of the mathematics was violated."""

    exit_status = 3


class Stopped(Exception):
    """What was asked to stop has stopped, on all ranks, before it came to anything; no error."""


def listed(names: Sequence[str], most: int) -> str:
    """Names for a sentence: the first ones, and how many more there are than `most`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def warn(sentence: str) -> None:
    """A UserWarning at the place where this package was called, however deep inside it is known."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, stacklevel=level)
