"""`plan.json` in a campaign's folder: the plan as it was made last, so that thousands of runs are not checked again.

It is a copy. Where the campaign's file, a base or the program has changed, the plan is made anew.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import prosper_ng
from prosper_ng import plugins
from prosper_ng.config.tree import Node, plain
from prosper_ng.storage import atomic

NAME = "plan.json"
_FORMAT = 1


class KeptRun(NamedTuple):
    """A run of the plan."""

    id: str
    point: dict[str, Any]
    repeat: int
    seed: int
    n_sweeps: int
    n_ranks: int
    number: int
    """Which point of the expansion it is of."""


class KeptPlan(NamedTuple):
    """A plan as it is kept."""

    stamp: str
    """A digest of all that the plan was made from."""
    name: str
    path: str
    """The campaign's file."""
    bases: tuple[str, ...]
    """The files that runs build on."""
    axes: tuple[str, ...]
    n_merged: int
    runs: tuple[KeptRun, ...]
    imports: tuple[str, ...] = ()
    """The files of `--import` that were given."""


def read(folder: Path) -> KeptPlan | None:
    """The plan that is kept in a folder; None where there is none, or one that cannot be read."""
    try:
        content = json.loads((folder / NAME).read_bytes())
        if content.pop("format") != _FORMAT:
            return None
        runs = tuple(KeptRun(*run) for run in content.pop("runs"))
        bases, axes = tuple(content.pop("bases")), tuple(content.pop("axes"))
        imports = tuple(content.pop("imports", ()))
        return KeptPlan(**content, bases=bases, axes=axes, runs=runs, imports=imports)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write(folder: Path, plan: KeptPlan) -> None:
    """Keep a plan; the folder is made where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_text(folder / NAME, json.dumps({"format": _FORMAT, **plan._asdict()}) + "\n")


def stamp_of(tree: Node, bases: Sequence[str]) -> str:
    """A digest of what a campaign's file says, of the base files, and of this program; "" where a base is missing."""
    digest = hashlib.sha256(json.dumps(plain(tree)).encode())
    try:
        for base in bases:
            digest.update(f"\0{base}\0".encode() + Path(base).read_bytes())
    except OSError:
        return ""
    digest.update(f"{_program()}{plugins.stamp()}".encode())
    return digest.hexdigest()


def _program() -> str:
    """What tells one state of the sources from another: they say what is legal and what is the default."""
    package = Path(prosper_ng.__file__).parent
    files = []
    for folder, _, names in os.walk(package):
        for name in names:
            if name.endswith(".py"):
                about = os.stat(os.path.join(folder, name))
                files.append((os.path.join(folder, name), about.st_size, about.st_mtime_ns))
    return f"{prosper_ng.__version__}{sorted(files)}"
