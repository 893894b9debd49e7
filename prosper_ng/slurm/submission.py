"""Calls of `sbatch` and `scontrol`, and the sentences they fail with."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from prosper_ng.errors import UserError

_PATIENCE = 120.0
"""Seconds that Slurm gets to answer; a busy controller may well take one."""
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT")
"""Variables that say which Slurm is meant; all others belong to the job that this process may be part of."""


class SlurmError(UserError):
    """Slurm is not there, or does not answer."""


class Refused(SlurmError):
    """Nothing came of what Slurm was asked for."""


def submit(script: Path, arguments: Sequence[str] = ()) -> str:
    """The number of the job that Slurm has made of a script. Raises SlurmError with Slurm's own words."""
    answer = ask("sbatch", "--parsable", *arguments, str(script), doing=f"submitting {script}")
    return answer.strip().splitlines()[-1].partition(";")[0]


def largest_array() -> int:
    """How many tasks an array may have on this cluster. Raises SlurmError."""
    found = re.search(
        r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config", doing="asking Slurm"), re.MULTILINE
    )
    return max(int(found.group(1)), 1) if found else 1


def hopeless(reason: str) -> bool:
    """Whether a job with this reason to wait never runs, where a cluster takes jobs that exceed its limits."""
    never = r"PartitionConfig|Partition\w+Limit|BadConstraints|\w+MaxWallDurationPerJobLimit"
    return re.fullmatch(never, reason) is not None


def ask(program: str, *arguments: str, doing: str) -> str:
    """What one of Slurm's programs prints. Raises SlurmError that says what was being done, and Slurm's own words."""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_PATIENCE,
            env=clean_environment(os.environ),
            check=False,
        )
    except FileNotFoundError:
        raise Refused(
            f"{doing}: there is no {program} on this machine; log in where Slurm is, or start it here without a job"
        ) from None
    except OSError as error:
        raise Refused(f"{doing}: {program} cannot be started ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{doing}: {program} gave no answer for {_PATIENCE:.0f} s; try again later") from None
    if done.returncode != 0:
        lines = re.sub(rf"^{program}: ((error|fatal): )?", "", done.stderr, flags=re.MULTILINE).splitlines()
        words = "; ".join(line.strip() for line in lines if line.strip())
        raise Refused(f"{doing}: {program} says: {words or f'exit status {done.returncode}'}")
    return done.stdout


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Slurm has told the job that this process is part of.

    A job inherits the environment of its submission: the number of an array's task, say, would pass for its own.
    """
    return {name: value for name, value in environment.items() if name in _KEPT or not name.startswith("SLURM_")}
