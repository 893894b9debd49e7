"""Ctrl-C as a request to stop, without a handler of signals: the work is done by a thread, and the caller's one waits.

A KeyboardInterrupt comes to the main thread, wherever it is. Where that is the one that learns, the state of the rows
is that of no sweep, and cannot be kept. Here it only waits, so that the sweep is done first, as after Ctrl-C of the
command; a second one ends the work where it stands.
"""

import contextvars
import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from prosper_ng.experiments.signals import StopRequests

T = TypeVar("T")

_LOOK_SECONDS = 1.0
"""Between two looks at whether the worker is still there."""


class InterruptRequests(StopRequests):
    """Whether the caller was interrupted while it waited."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        """Nobody has asked yet; `tell` says to a person who does that it takes until the end of a sweep."""
        super().__init__()
        self._tell = tell
        self._worker: threading.Thread | None = None
        self._errand: _Errand | None = None
        """What the worker wants the waiting thread to do; there is one at a time."""
        self._news: SimpleQueue[None] = SimpleQueue()
        """An entry says that `_errand` is worth a look; one too many does no harm."""

    def wait_for(self, work: Callable[[], T], apart: bool = True) -> T:
        """What `work` returns or raises. It is done by a thread of its own, if this is the main one and `apart` allows.

        What the work asks for by `here` is done by this thread meanwhile.
        """
        if not apart or threading.current_thread() is not threading.main_thread():
            return work()
        task, may_begin = _Errand(work), SimpleQueue[bool]()

        def do() -> None:
            if may_begin.get():
                task.run()
            self._errand = _OVER
            self._news.put(None)

        worker = threading.Thread(target=contextvars.copy_context().run, args=(do,), daemon=True)
        self._worker = worker
        try:
            worker.start()
        except BaseException:
            may_begin.put(False)
            raise
        # An interruption may come between any two instructions; whatever it keeps from being done is done again.
        while worker.is_alive():
            try:
                may_begin.put(True)
                self._serve(worker)
            except KeyboardInterrupt:
                self._ask(worker)
                self._news.put(None)
        found: T = task.result()
        return found

    def here(self, call: Callable[..., T], *args: Any) -> T | None:
        """What a call returns or raises that the waiting thread makes, or this one where none waits.

        Where it is interrupted it is not made again: None is returned, and the interruption is a request.
        """
        if threading.current_thread() is not self._worker:
            return call(*args)
        self._errand = errand = _Errand(lambda: call(*args))
        self._news.put(None)
        try:
            found: T = errand.answer()
            return found
        except KeyboardInterrupt:
            if self.name is not None:
                raise
            self._note()
            return None

    def _serve(self, worker: threading.Thread) -> None:
        while True:
            with suppress(Empty):
                self._news.get(timeout=_LOOK_SECONDS)
            errand = self._errand
            if errand is _OVER or not worker.is_alive():  # a second interruption may have kept it from saying so
                return worker.join()
            if errand is not None:
                errand.run()

    def _note(self) -> None:
        self.name = "SIGINT"
        if self._tell is not None:
            self._tell("interrupted: it ends after this sweep, and at once where it is interrupted again")

    def _ask(self, worker: threading.Thread) -> None:
        """Note the first interruption; have a second one raised in the thread that works."""
        if self.name is None:
            self._note()
        elif worker.ident is not None:
            error = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), error)


class _Errand:
    """Something that one thread does for another."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._answers: SimpleQueue[None] = SimpleQueue()

    def run(self) -> None:
        """Do it, once."""
        if self._outcome is None:
            try:
                self._outcome = self._call(), None
            except BaseException as error:
                self._outcome = None, error
        self._answers.put(None)

    def answer(self) -> Any:
        """What came of it, once it is done."""
        self._answers.get()
        return self.result()

    def result(self) -> Any:
        """What came of it; KeyboardInterrupt where it was not brought to an end."""
        value, error = self._outcome or (None, KeyboardInterrupt())
        if error is not None:
            raise error
        return value


_OVER = _Errand(lambda: None)
"""Says that there is nothing more to wait for."""
