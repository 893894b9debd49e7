"""EM iterations of prosper_ng beside those of ProSper, EVO and TVO: rows per second and iteration on one thread.

    python scripts/bench/peers.py --prosper CHECKOUT --prosper-python PYTHON --evo ... --tvo ... [--only bars-bsc ...]

For each workload the contenders, each a process of its own, take turns, so that a machine that slows down slows all of
them. Every turn begins anew with the same rows, parameters and state sets: those that prosper_ng had after --settled
sweeps. Times are processor times, medians over sweeps and then over turns. The peers are not part of this project: name
checkouts of them and the Pythons of environments that they run in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from prosper_ng.environment import THREAD_VARIABLES, prepare_environment

prepare_environment()

from workloads import HOUSE, WORKLOADS, Workload, write

PEERS = {"prosper": "ProSper", "evo": "EVO", "tvo": "TVO"}
NOTES = {
    ("prosper", "all"): "ProSper preselects by functions of its own, and takes the noise level at the W before",
    ("prosper", "tsc"): "ProSper leaves out the states with one active latent that was not preselected",
    ("prosper", "mca"): "ProSper weights states with one active latent otherwise in the update of W",
    ("prosper", "gsc"): "ProSper learns a full covariance of the slabs",
    ("evo", "bsc"): "EVO shares one activity among the latents",
    (
        "evo",
        "gsc",
    ): "EVO learns a full covariance of the slabs; it has a part of the rows only, and is slower with more",
    ("tvo", "bsc"): "TVO computes in single precision",
    ("tvo", "noisy_or"): "TVO computes in single precision, and takes another fixed point as its M-step",
    (
        "tvo",
        "gsc",
    ): "TVO computes in single precision, learns a full covariance of the slabs; it has a part of the rows only",
}


class Failure(Exception):
    """A contender ended before its time; the message is its last words."""


class Turn(NamedTuple):
    """What came of one turn."""

    rate: float
    """Rows a second and iteration, of processor time."""
    share: float
    """Processor time by time on the clock."""
    size: float
    """The root mean square of W after the last sweep of the turn."""


class Contender:
    """A process that answers each line of ours with one of its own."""

    def __init__(self, name: str, process: subprocess.Popen[str], last_words: Any) -> None:
        """Wait until it is ready."""
        self.name, self.process, self.last_words = name, process, last_words
        ready = self._answer()
        self.n_states, self.version = ready["n_states"], ready["version"]

    def turn(self, n_sweeps: int, seconds: float) -> Turn:
        """Let it work for so long, and for `n_sweeps` sweeps at least. Raises Failure where it ended instead."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the answer says why
            print(n_sweeps, seconds, file=self.process.stdin, flush=True)
        return Turn(**self._answer())

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.last_words.seek(0)
            raise Failure(f"{self.name} failed: {(self.last_words.read().strip().splitlines() or ['no message'])[-1]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def contender(name: str, python: str, *arguments: object) -> Iterator[Contender]:
    """A contender that is started, and ended with the block. Raises Failure where it does not start."""
    command = [python, "-m", f"contenders.time_{name}", *map(str, arguments)]
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as last_words:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=last_words, text=True, env=environment,
            cwd=Path(__file__).parent,
        )  # fmt: skip
        try:
            yield Contender(name, process, last_words)
        finally:
            process.kill()
            process.communicate()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    image = str(HOUSE) if HOUSE.exists() else "camera"
    parser.add_argument("--image", default=image, help="a file, or a name in scikit-image (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=list(WORKLOADS), choices=list(WORKLOADS), metavar="WORKLOAD")
    parser.add_argument("--settled", type=int, default=10, help="sweeps before the start (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each contender (default: %(default)s)")
    parser.add_argument("--sweeps", type=int, default=1, help="sweeps from the start on (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="shortest turn, start anew (default: %(default)s)")
    for peer, name in PEERS.items():
        parser.add_argument(f"--{peer}", type=Path, metavar="FOLDER", help=f"a checkout of {name}")
        parser.add_argument(f"--{peer}-python", default=sys.executable, metavar="FILE", help=f"Python for {name}")
    return parser.parse_args()


def available(options: argparse.Namespace) -> list[str]:
    """The peers that are there; says why one is not."""
    found = []
    for peer, name in PEERS.items():
        folder = getattr(options, peer)
        if folder is None:
            print(f"{name}: skipped, no checkout of it was named (--{peer} FOLDER)")
        elif not (folder / peer).is_dir():
            print(f"{name}: skipped, {folder} holds no package {peer}")
        else:
            found.append(peer)
    return found


def race(options: argparse.Namespace, workload: Workload, peers: list[str], versions: dict[str, str]) -> Iterator[str]:
    """Lines of the table for a workload; `versions` are filled in."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder, racing, turns = Path(place), dict[str, Contender](), dict[str, list[Turn]]()
        write(workload, options.image, options.settled, folder)
        for name, start in starts(options, workload, peers, folder).items():
            try:
                racing[name], turns[name] = stack.enter_context(start), []
                versions[name] = racing[name].version
            except Failure as failure:
                yield f"{workload.name}: {failure}"
        for _ in range(options.turns if "own" in racing else 0):
            for name in list(turns):
                try:
                    turns[name].append(racing[name].turn(options.sweeps, options.seconds))
                except Failure as failure:
                    yield f"{workload.name}: {failure}"
                    del turns[name]
        if turns.get("own"):
            yield from lines(workload, racing, turns)
            shares = [turn.share for found in turns.values() for turn in found]
            print(f"{workload.name}: processor time by time on the clock {min(shares):.2f} or more", file=sys.stderr)


def starts(
    options: argparse.Namespace, workload: Workload, peers: list[str], folder: Path
) -> dict[str, AbstractContextManager[Contender]]:
    """The contenders of a workload, not yet started."""
    found = {"own": contender("own", sys.executable, folder)}
    for peer in (peer for peer in workload.peers if peer in peers):
        checkout, python = getattr(options, peer).resolve(), getattr(options, f"{peer}_python")
        found[peer] = contender(peer, python, folder, workload.peers[peer], checkout)
    return found


def lines(workload: Workload, racing: dict[str, Contender], turns: dict[str, list[Turn]]) -> Iterator[str]:
    """prosper_ng beside each peer; alone, where there is none."""
    own = turns["own"]
    rate = median([turn.rate for turn in own])
    first = f"| {workload.name} | {rate:,.0f} | {racing['own'].n_states:,} "
    for peer in [name for name in turns if name != "own"] or [None]:
        cells = "| | | | |"
        if peer is not None:
            ratios = [mine.rate / its.rate for mine, its in zip(own, turns[peer], strict=True)]
            cells = (
                f"| {PEERS[peer]} | {median([turn.rate for turn in turns[peer]]):,.0f} | {racing[peer].n_states:,} "
                f"| {median(ratios):,.0f} ({min(ratios):,.0f} to {max(ratios):,.0f}) "
                f"| {own[-1].size:.4g}, {turns[peer][-1].size:.4g} "
            )
        yield f"{first}{cells}|"


def main() -> None:
    options = arguments()
    peers = available(options)
    print(
        "| workload | prosper_ng, rows/s | states | peer | rows/s | states | ratio | rms of W |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    versions: dict[str, str] = {}
    for name in options.only:
        for line in race(options, WORKLOADS[name], peers, versions):
            print(line, flush=True)
    print("\nVersions:", *(f"{PEERS.get(name, 'prosper_ng')} with {version};" for name, version in versions.items()))
    print("\nNot the same work:")
    for (peer, model), note in NOTES.items():
        kinds = [WORKLOADS[name].model["kind"] for name in options.only if peer in WORKLOADS[name].peers]
        if peer in versions and (model in kinds or (kinds and model == "all")):
            print(f"- {model.upper() if model != 'all' else 'All models'}: {note}.")


if __name__ == "__main__":
    main()
