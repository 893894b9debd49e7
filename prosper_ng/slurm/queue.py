"""The jobs that Slurm knows, from one call of `squeue` for all of them."""

import os
import shutil
from typing import NamedTuple

from prosper_ng.slurm.submission import ask


class QueuedJob(NamedTuple):
    """A job, or a task of an array, that waits or runs."""

    id: str
    """123, or 123_4 in an array."""
    name: str
    state: str
    """PENDING, RUNNING, ..."""
    reason: str
    """Why it waits; "None" where there is no reason."""


def queue(user: str | None = None) -> dict[str, QueuedJob]:
    """All jobs of a user (of this one where none is given) by id, {} where there is no squeue.

    Raises SlurmError where Slurm does not answer.
    """
    if shutil.which("squeue") is None:
        return {}
    # The name comes last, because only it may hold the mark between the parts.
    listing = ask(
        "squeue", "--noheader", "--array", "--user", user or str(os.getuid()), "--format", "%i|%T|%r|%j",
        doing="looking into the queue",
    )  # fmt: skip
    jobs = {}
    for line in listing.splitlines():
        number, state, reason, name = line.split("|", 3)
        jobs[number] = QueuedJob(number, name, state, reason)
    return jobs
