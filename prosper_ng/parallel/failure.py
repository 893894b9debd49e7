"""How a group of ranks fails: all of them, soon, with one message."""

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn, TypeVar, cast

import numpy as np

from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.last_words import exit_status, message_of

T = TypeVar("T")

_PATIENCE = 2.0  # seconds for the other ranks to come to the same error
_LAST_WORDS = 0.2  # seconds for a launcher to pass a message on before it ends the ranks


class RemoteDefect(RuntimeError):
    """A defect of the program that showed on another rank; the text holds its traceback."""


@contextmanager
def ending_all_ranks_together(comm: Communicator) -> Iterator[None]:
    """A frame around all that a group does, out of which an error on any rank ends all ranks.

    An error that all ranks run into is raised on root, for its caller to report; the others end silently with the same
    exit status. One that some ranks run into, which the rest would wait for in vain, is printed by the lowest of them,
    with rank, host and the error's notes (see BaseException.add_note), and all ranks are aborted.
    """
    try:
        yield
    except BaseException as error:
        if comm.size == 1 or _is_success(error):
            raise
        _end_unless_all_fail(error, comm)
        if comm.is_root:
            raise
        raise SystemExit(exit_status(error)) from None


@contextmanager
def failing_together(comm: Communicator) -> Iterator[None]:
    """A frame around what a group does for a caller who may go on: an error that all ranks run into is raised on all.

    One that only some run into, which the rest would wait for in vain, ends all ranks as
    `ending_all_ranks_together` does.
    """
    try:
        yield
    except BaseException as error:
        if comm.size > 1:
            _end_unless_all_fail(error, comm)
        raise


@contextmanager
def collectively(comm: Communicator, doing: str) -> Iterator[None]:
    """A block in which each rank may fail for itself, while it communicates with no other: then all ranks raise.

    `doing` says in a note what failed, "reading the data"; an empty one leaves the error as it is.
    """
    failure: Exception | None = None
    try:
        yield
    except Exception as error:
        failure = error
    agree(comm, failure, doing)


@contextmanager
def during(place: str) -> Iterator[None]:
    """A block whose errors say in a note where they happened, such as "in the E-step of sweep 3, update 1"."""
    try:
        yield
    except UserError as error:
        # Those of the mathematics begin with the sweep and update that they are about.
        if not str(error).startswith("sweep "):
            error.add_note(place)
        raise
    except Exception as error:
        error.add_note(place)
        raise


def agree(comm: Communicator, error: Exception | None, doing: str = "") -> None:
    """Raise on all ranks what the lowest rank that brings an error brings; nothing where none does.

    With `doing`, a note says while doing what, and on which rank.
    A UserError comes out with its own type and text, anything else as itself on its rank and as RemoteDefect elsewhere.
    """
    failing = np.array([comm.size - comm.rank if error is not None else 0])
    comm.max_in_place(failing)
    if failing[0] == 0:
        return
    culprit = comm.size - int(failing[0])
    reports = comm.gather(_report_of(error))
    report = comm.broadcast(reports[culprit] if reports is not None else None)
    assert report is not None
    place = ""
    if doing:
        place = f"while {doing}" + (f" on rank {culprit} of {comm.size}, host {report.host}" if comm.size > 1 else "")
    _raise(error if comm.rank == culprit else None, report, place)


def decided(comm: Communicator, decide: Callable[[], T]) -> T:
    """What root decides, on all ranks; an error of root's is raised on all of them."""
    found: T | None = None
    with collectively(comm, ""):
        if comm.is_root:
            found = decide()
    return cast(T, comm.broadcast(found))


class _Report(NamedTuple):
    """An error as it travels to the other ranks."""

    kind: type[UserError] | None
    """None for a defect of the program."""
    text: str
    notes: list[str]
    host: str


def _report_of(error: Exception | None) -> _Report | None:
    if error is None:
        return None
    host, notes = os.uname().nodename, list(getattr(error, "__notes__", []))
    if isinstance(error, UserError):
        return _Report(type(error), str(error), notes, host)
    return _Report(None, "".join(traceback.format_exception(error)), [], host)


def _raise(own: Exception | None, report: _Report, place: str) -> NoReturn:
    error = own
    if error is None:
        error = _revived(report.kind, report.text) if report.kind else RemoteDefect(report.text)
        for note in report.notes:
            error.add_note(note)
    if place:
        error.add_note(place)
    raise error


def _revived(kind: type[UserError], text: str) -> UserError:
    """An error of the kind and with the text, made without its constructor, whose arguments did not travel."""
    error = kind.__new__(kind, text)
    error.args = (text,)
    try:
        if str(error) == text:
            return error
    except AttributeError:
        pass
    plain = UserError(text)
    plain.exit_status = kind.exit_status
    return plain


def _end_unless_all_fail(error: BaseException, comm: Communicator) -> None:
    """Return where all ranks have come to an error; else the lowest that has speaks, and all are aborted."""
    failing = comm.failing_ranks(_PATIENCE)
    if len(failing) == comm.size:
        return
    if failing[0] == comm.rank:
        _say_last_words(error, comm)
    else:
        time.sleep(2 * _PATIENCE)  # the lowest failing rank speaks, and ends this one
    comm.abort(exit_status(error))


def _is_success(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)


def _say_last_words(error: BaseException, comm: Communicator) -> None:
    words = f"{message_of(error)}\n  on rank {comm.rank} of {comm.size}, host {os.uname().nodename}; all ranks end\n"
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(2, words.encode(errors="replace"))  # in one piece, so that no other rank's output gets between
    time.sleep(_LAST_WORDS)
