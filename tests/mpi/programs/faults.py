"""Fails in the way named on the command line, on the ranks given; the others wait for them in a collective.

The time of the failure goes to the file named by FAILED_AT.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from prosper_ng.errors import NumericalError, UserError
from prosper_ng.parallel.failure import collectively, ending_all_ranks_together
from prosper_ng.parallel.last_words import exit_status, message_of
from prosper_ng.parallel.mpi import connect


class TwoPartError(UserError):
    """An error whose constructor takes other arguments than its text."""

    exit_status = 9

    def __init__(self, what, where):
        super().__init__(f"{what} in {where}")


def fail(how):
    Path(os.environ["FAILED_AT"]).write_text(str(time.time()), encoding="utf-8")
    if how == "user":
        error = NumericalError("sigma became -1.5")
        error.add_note("in sweep 12")
        raise error
    if how == "defect":
        raise ZeroDivisionError("a defect")
    if how == "exit":
        raise SystemExit(5)
    if how == "interrupt":
        signal.raise_signal(signal.SIGINT)
    if how == "abort":
        comm.abort(6)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def work(comm, how, ranks):
    comm.sum_in_place(np.ones(10))
    if how == "collectively":
        try:
            with collectively(comm, "reading the data"):
                if comm.rank in ranks:
                    raise TwoPartError(f"no rows for rank {comm.rank}", "x.h5")
        except TwoPartError as error:
            assert comm.size > 1
            comm.barrier()  # all ranks are still together
            raise error from None
    elif how == "collective defect":
        with collectively(comm, "reading the data"):
            if comm.rank in ranks:
                raise ZeroDivisionError("a defect")
    elif comm.rank in ranks:
        fail(how)
    comm.sum_in_place(np.ones(10))


comm = connect()
how, ranks = sys.argv[1], [int(rank) for rank in sys.argv[2:]]
try:
    with ending_all_ranks_together(comm):
        work(comm, how, ranks)
except Exception as error:
    print(message_of(error), file=sys.stderr)
    sys.exit(exit_status(error))
print("done")
