import os

import pytest

from prosper_ng.parallel import threads
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.team import on_team
from prosper_ng.parallel.threads import HostLoad, host_loads, threads_per_rank, warn_if_oversubscribed


@pytest.fixture
def one_thread(monkeypatch):
    for name in threads.THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")


@pytest.mark.usefixtures("one_thread")
def test_the_largest_number_of_threads_counts(monkeypatch):
    assert threads_per_rank() == 1
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert threads_per_rank() == 3


@pytest.mark.usefixtures("one_thread")
def test_loads_are_counted_on_root():
    cores = len(os.sched_getaffinity(0))
    assert on_team(3, host_loads) == [[HostLoad(os.uname().nodename, 3, 3, cores)], None, None]


@pytest.mark.usefixtures("one_thread")
def test_only_too_many_threads_are_worth_a_warning(monkeypatch):
    said = []
    warn_if_oversubscribed(SerialCommunicator(), said.append)
    assert said == []
    cores = len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores + 1))
    warn_if_oversubscribed(SerialCommunicator(), said.append)
    assert len(said) == 1
    assert f"1 ranks with {cores + 1} threads share {cores} cores" in said[0]
