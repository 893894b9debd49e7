"""Ctrl-C as a request: the work goes on in a thread, and the one that waits takes the interruption."""

import random
import signal
import threading
import time
from functools import partial

import pytest

from prosper_ng.running.interrupts import InterruptRequests


def kill():
    """Have Ctrl-C come to the main thread."""
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_work_is_done_apart_and_errands_here():
    requests, seen = InterruptRequests(), []

    def work():
        return threading.current_thread(), requests.here(threading.current_thread), requests.here(divmod, 7, 2)

    worker, waiting, numbers = requests.wait_for(work)
    assert worker is not threading.main_thread()
    assert (waiting, numbers, requests()) == (threading.main_thread(), (3, 1), False)
    assert not worker.is_alive()
    with pytest.raises(LookupError, match="lost"):
        requests.wait_for(lambda: seen.append(requests.here({"a": 1}.get, "a")) or {}[_lost()])
    assert seen == [1]


def _lost():
    raise LookupError("lost")


@pytest.mark.parametrize("apart", [True, False])
def test_it_is_done_here_where_no_interruption_comes_here(apart):
    found = []

    def elsewhere():
        requests = InterruptRequests()
        found.append(requests.wait_for(lambda: requests.here(threading.current_thread), apart))

    if apart:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    else:
        elsewhere()
        thread = threading.main_thread()
    assert found == [thread]


def test_the_first_interruption_is_a_request_and_told():
    told = []
    requests = InterruptRequests(told.append)

    def work():
        kill()
        while not requests():
            time.sleep(0.01)
        return "done"

    assert requests.wait_for(work) == "done"
    assert requests.name == "SIGINT"
    assert told == ["interrupted: it ends after this sweep, and at once where it is interrupted again"]


def test_the_second_one_ends_the_work():
    requests, cleaned = InterruptRequests(), []

    def work():
        try:
            kill()
            while not requests():
                time.sleep(0.01)
            kill()
            while True:
                time.sleep(0.01)
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        requests.wait_for(work)
    assert cleaned == [True]


def test_an_interrupted_errand_is_a_request_and_then_an_end():
    requests = InterruptRequests()
    assert requests.wait_for(lambda: (requests.here(kill), requests())) == (None, True)
    with pytest.raises(KeyboardInterrupt):
        requests.wait_for(lambda: requests.here(kill))


def test_wherever_they_come_all_errands_are_done_and_nobody_waits_for_ever():
    def work(requests, done, stop):
        for number in range(20):
            requests.here(done.append, number)
            if number == stop:
                kill()
        return len(done)

    rng, threads = random.Random(0), threading.active_count()
    for _ in range(300):
        requests, done = InterruptRequests(), []

        found = requests.wait_for(partial(work, requests, done, rng.randrange(20)))
        # An errand that is interrupted before it begins is given up.
        assert found in (19, 20)
        assert sorted(set(done)) == sorted(done)
        assert requests()
    assert threading.active_count() == threads
