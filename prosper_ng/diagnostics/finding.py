"""What the doctor finds."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How good or bad it is."""

    OK = "OK"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    topic: str
    verdict: Verdict
    text: str
    """What was found, in a phrase."""
    fix: str = ""
    """What to do about it, such as the right command."""
    values: dict[str, Any] = field(default_factory=dict)
    """What was found, for programs."""

    def lines(self) -> str:
        """One aligned line, and one for the remedy."""
        line = f"{self.verdict:<9}{self.topic:<14}{self.text}"
        return f"{line}\n{'':<23}-> {self.fix}" if self.fix else line

    def as_dict(self) -> dict[str, Any]:
        """The finding as a JSON object."""
        return asdict(self)
