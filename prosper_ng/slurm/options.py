"""What a user asks Slurm for."""

import re
from dataclasses import dataclass, replace

from prosper_ng.errors import UserError

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS_OF_UNITS = (86400, 3600, 60, 1)
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_LONGEST_WARNING, _SHARE_OF_WARNING = 120, 5
"""A job is warned so many seconds before its end, or this part of its time before, whichever is less."""
_OWN = {
    "array", "chdir", "cpus-per-task", "job-name", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output",
    "parsable", "requeue", "signal", "time", "wait", "wrap",
}  # fmt: skip


@dataclass(frozen=True)
class JobOptions:
    """Nodes, ranks, time, and whatever else is passed on to Slurm."""

    nodes: int = 1
    ntasks_per_node: int = 1
    """MPI ranks on each node."""
    cpus_per_task: int = 1
    """Threads of each rank."""
    time: str | None = None
    """The time limit as Slurm writes it, D-HH:MM:SS; None for that of the partition."""
    warning: int | None = None
    """Seconds before the limit at which the run is told to stop; None for what fits the time."""
    stopped_ok: bool = False
    """Whether a job that was stopped with a checkpoint, and is not started again, ends with 0 instead of 75."""
    others: tuple[tuple[str, str | None], ...] = ()
    """Options for sbatch by their long names, such as ("partition", "long") or ("exclusive", None)."""

    def __post_init__(self) -> None:
        """Raise UserError where a number is not positive, or an option is one that the script itself gives."""
        for name in ("nodes", "ntasks_per_node", "cpus_per_task", "warning"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")
        for name, value in self.others:
            if not _NAME.fullmatch(name):
                raise UserError(f"{name!r} is no option of sbatch; legal is like partition=long, or exclusive")
            if value is not None and not value.isprintable():
                raise UserError(
                    f"--{name} {value!r} holds the end of a line or another character that cannot be printed; legal "
                    "is one line of text"
                )
            if name in _OWN:
                raise UserError(f"sbatch's option {name!r} is set by the script; see prosper-ng submit --help")

    @property
    def n_ranks(self) -> int:
        """MPI ranks of one run."""
        return self.nodes * self.ntasks_per_node

    @property
    def warning_seconds(self) -> int:
        """How long before the limit the run is told to stop."""
        if self.warning is not None:
            return self.warning
        limit = None if self.time is None else seconds_of_limit(self.time)
        return _LONGEST_WARNING if limit is None else min(_LONGEST_WARNING, max(limit // _SHARE_OF_WARNING, 1))

    def with_ranks(self, n_ranks: int) -> "JobOptions":
        """The same with so many ranks in all; raises UserError where they do not spread evenly over the nodes."""
        if n_ranks % self.nodes:
            raise UserError(f"{n_ranks} ranks do not spread evenly over {self.nodes} nodes; give --ntasks-per-node")
        return replace(self, ntasks_per_node=n_ranks // self.nodes)


def parse_limit(text: str) -> str:
    """A time limit in Slurm's own form, from that form or from one like 90s, 45m, 1h30m, 2d.

    Raises UserError where it is neither, or nothing at all.
    """
    if seconds_of_limit(text) is None:
        raise UserError(
            f"--time {text!r} is not a time; legal is like 1h30m or 2d, and what Slurm takes: MINUTES, MM:SS, "
            "HH:MM:SS, D-HH:MM:SS"
        )
    match = _UNITS.fullmatch(text)
    if match is None:
        return text
    days, rest = divmod(_in_units(match), 86400)
    clock = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


def seconds_of_limit(text: str) -> int | None:
    """The seconds in a time limit in any of the forms of `parse_limit`; None where it is no time, or 0."""
    if match := _UNITS.fullmatch(text):
        return _in_units(match) or None
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is not None:
        hours, minutes, seconds = first or 0, second or 0, third or 0
    elif third is not None:
        hours, minutes, seconds = first or 0, second or 0, third
    else:
        hours, minutes, seconds = 0, first or 0, second or 0
    return (((days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds or None


def _in_units(match: re.Match[str]) -> int:
    return sum(int(number) * unit for number, unit in zip(match.groups(), _SECONDS_OF_UNITS, strict=True) if number)
