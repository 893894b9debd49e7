"""What the self-test does to runs; each trial ends with the bits of an undisturbed run, or with a complaint."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from prosper_ng.diagnostics.selftest_disk import NotPossible, read_only, small_disk
from prosper_ng.diagnostics.selftest_ranks import LONGEST, PATIENCE, Ranks
from prosper_ng.storage.run_record import read_run

T = TypeVar("T")

_MORE_TO_DO = 75
_REFUSED = 2
_SMALL_FILE = 16 << 10
_CONFIG = """
name: selftest
seed: 1
data: {kind: bars, n_bars: 10, n_rows: 1000}
model: {kind: bsc, n_latents: 10}
estep: {kind: search, n_states: 24}
training: {n_sweeps: 24, updates_per_sweep: 2, block_rows: 64}
output: {figures: false, checkpoint_sweeps: 2, keep_checkpoints: 2}
"""


Trial = Callable[[], tuple[int, float | None]]
"""Gives how often something was done, and the longest time until all processes were gone."""


class Result(NamedTuple):
    """One line of the table."""

    trial: str
    times: int
    seconds: float | None
    """The longest time until all processes were gone; None where nothing was killed."""
    complaint: str | None
    """What did not hold; None where everything did."""
    impossible: str | None = None
    """Why it could not be tried."""


class Broken(Exception):
    """What did not hold."""


class Trials:
    """All trials in one folder, with the launcher and the numbers of ranks to choose from."""

    def __init__(self, folder: Path, launcher: Sequence[str], n_ranks: int, cycles: int, seed: int) -> None:
        """Runs take place below `folder`; each kind of disturbance is tried `cycles` times."""
        self._folder, self._launcher, self._cycles = folder, launcher, cycles
        self._counts = range(1, n_ranks + 1) if launcher else range(1, 2)
        self._random = np.random.default_rng(seed)
        self._config = folder / "selftest.yaml"
        self._config.write_text(_CONFIG, encoding="utf-8")
        self._digest, self._duration, self._n_starts = "", 0.0, 0

    def results(self) -> Iterator[Result]:
        """The lines of the table, one after the other; the rest is left out where an undisturbed run fails."""
        for name, trial in self.trials().items():
            result = self.result(name, trial)
            yield result
            if result.complaint and not self._digest:
                return

    def trials(self) -> dict[str, Trial]:
        """All there are; the first one makes what the others are compared with."""
        return {
            "undisturbed, on every number of ranks": self._undisturbed,
            "a rank killed at a random moment": lambda: self._killed("rank", self._kill_a_rank),
            "the launcher killed at a random moment": lambda: self._killed("launcher", self._kill_the_launcher),
            "everything killed while a checkpoint is written": lambda: self._killed("write", self._kill_in_a_write),
            "a bit of the newest checkpoint flipped": lambda: self._damaged("flip", self._flip),
            "the newest checkpoint cut off": lambda: self._damaged("cut", self._cut),
            "USR1 to one rank": lambda: self._stopped("signal", self._signal),
            "a file `stop` in the run folder": lambda: self._stopped("stop", self._ask),
            "a second run in the folder": self._second_run,
            "files that cannot grow (RLIMIT_FSIZE)": self._limited_files,
            "a full disk": self._full_disk,
            "a read-only disk": self._read_only_disk,
        }

    def result(self, name: str, trial: Trial) -> Result:
        """One line of the table."""
        try:
            return Result(name, *trial(), None)
        except Broken as broken:
            return Result(name, 0, None, str(broken))
        except NotPossible as reason:
            return Result(name, 0, None, None, str(reason))

    def _undisturbed(self) -> tuple[int, None]:
        digests = {}
        for n_ranks in self._counts:
            folder = self._folder / f"undisturbed-{n_ranks}"
            began = time.monotonic()
            self._expect(self._start(folder, n_ranks), 0)
            self._duration = max(self._duration, time.monotonic() - began)
            digests[n_ranks] = _digest_of(folder)
        self._digest = digests[1]
        if len(set(digests.values())) > 1:
            raise Broken(f"the results depend on the number of ranks: {digests}")
        return len(digests), None

    def _killed(self, name: str, kill: Callable[[Ranks, Path], float | None]) -> tuple[int, float]:
        """Kill and go on, `cycles` times, and let the last start come to its end."""
        folder, n_kills, slowest = self._folder / name, 0, 0.0
        while n_kills < self._cycles:
            ranks = self._start(folder)
            seconds = kill(ranks, folder)
            if seconds is None:  # it was faster; another one is begun
                self._finish(folder, ranks)
                shutil.rmtree(folder)
                continue
            n_kills, slowest = n_kills + 1, max(slowest, seconds)
            if seconds > PATIENCE:
                raise Broken(f"processes were left {PATIENCE:.0f} s after the kill; it said: {ranks.output()}")
        self._finish(folder, self._start(folder))
        return n_kills, slowest

    def _kill_a_rank(self, ranks: Ranks, folder: Path) -> float | None:
        time.sleep(self._random.uniform(0, self._duration))
        found = ranks.ranks() if self._launcher else [ranks.process.pid]
        return ranks.kill([_one_of(found, self._random)]) if found and ranks.is_running else None

    def _kill_the_launcher(self, ranks: Ranks, folder: Path) -> float | None:
        time.sleep(self._random.uniform(0, self._duration))
        return ranks.kill([ranks.process.pid]) if ranks.is_running else None

    def _kill_in_a_write(self, ranks: Ranks, folder: Path) -> float | None:
        n_before = self._random.integers(4)  # of the first, the second, ... that is seen
        for _ in range(n_before + 1):
            if not ranks.wait_for(lambda: not _is_writing(folder)) or not ranks.wait_for(lambda: _is_writing(folder)):
                return None
        return ranks.kill([*ranks.ranks(), ranks.process.pid])

    def _damaged(self, name: str, damage: Callable[[Path], None]) -> tuple[int, None]:
        """Damage the newest checkpoint of a killed run: the one before must be taken."""
        for cycle in range(self._cycles):
            folder = self._folder / f"{name}-{cycle}"
            ranks = self._start(folder)
            if not ranks.wait_for(lambda folder=folder: len(_manifests(folder)) >= 2):  # type: ignore[misc]
                raise Broken(f"no two checkpoints were written: {ranks.output()}")
            ranks.kill([*ranks.ranks(), ranks.process.pid])
            newest = _manifests(folder)[-1].stem
            damage(_one_of(sorted((folder / "checkpoints").glob(f"{newest}*")), self._random))
            self._finish(folder, self._start(folder))
            if not (folder / "checkpoints" / f"{newest}.reason.txt").exists():
                raise Broken(f"the damage to {newest} was not noticed")
            shutil.rmtree(folder)
        return self._cycles, None

    def _flip(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(self._random.integers(len(content)))] ^= 1 << int(self._random.integers(8))
        path.write_bytes(content)

    def _cut(self, path: Path) -> None:
        os.truncate(path, int(self._random.integers(path.stat().st_size)))

    def _stopped(self, name: str, ask: Callable[[Ranks, Path], None]) -> tuple[int, None]:
        """Ask for a stop once there is a checkpoint: exit status 75, and the same command goes on."""
        folder, n_stops = self._folder / name, 0
        while n_stops < self._cycles:
            ranks = self._start(folder)
            ranks.wait_for(lambda: bool(_manifests(folder)))
            with ranks.paused():
                ask(ranks, folder)
            if ranks.wait() == _MORE_TO_DO:
                n_stops += 1
                ranks = self._start(folder)
            self._finish(folder, ranks)  # at once where it was faster than the request; another one is begun
            shutil.rmtree(folder)
        return n_stops, None

    def _signal(self, ranks: Ranks, folder: Path) -> None:
        found = ranks.ranks() if self._launcher else [ranks.process.pid]
        if found and ranks.is_running:
            os.kill(_one_of(found, self._random), signal.SIGUSR1)

    def _ask(self, ranks: Ranks, folder: Path) -> None:
        (folder / "stop").touch()

    def _second_run(self) -> tuple[int, None]:
        folder = self._folder / "second"
        first = self._start(folder)
        first.wait_for(lambda: bool(_manifests(folder)))
        with first.paused():
            second = self._start(folder)
            self._expect(second, _REFUSED)
        if "is in use by process" not in second.output():
            raise Broken(f"the second run was not told who has the folder: {second.output()}")
        self._finish(folder, first)
        return 1, None

    def _limited_files(self) -> tuple[int, None]:
        """A single process, because MPI libraries keep their shared memory in files."""
        folder = self._folder / "limited"
        ranks = self._start(folder, launcher=(), largest_file=_SMALL_FILE)
        ranks.wait()
        if "Traceback" in ranks.output() or "no checkpoint was written" not in ranks.output():
            raise Broken(f"a run that cannot write did not say so: {ranks.output()}")
        self._finish(folder, self._start(folder))
        return 1, None

    def _full_disk(self) -> tuple[int, None]:
        """On a disk with room for one checkpoint, not for the next ones; then there is room again."""
        with small_disk(self._folder / "disk") as disk:
            folder, ballast = disk / "run", disk / "ballast"
            ranks = self._start(folder)
            ranks.wait_for(lambda: bool(_manifests(folder)))
            with ranks.paused(), contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
                while stream.write(bytes(4096)):
                    pass
            ranks.wait()
            if "Traceback" in ranks.output() or "no checkpoint was written" not in ranks.output():
                raise Broken(f"a run on a full disk did not say so: {ranks.output()}")
            ballast.unlink()
            self._finish(folder, self._start(folder))
        return 1, None

    def _read_only_disk(self) -> tuple[int, None]:
        with small_disk(self._folder / "disk") as disk:
            folder = disk / "run"
            ranks = self._start(folder)
            ranks.wait_for(lambda: bool(_manifests(folder)))
            ranks.kill([*ranks.ranks(), ranks.process.pid])
            with read_only(disk):
                refused = self._start(folder)
                self._expect(refused, _REFUSED)
                if "Traceback" in refused.output() or "cannot be written to" not in refused.output():
                    raise Broken(f"a read-only folder was not named: {refused.output()}")
            self._finish(folder, self._start(folder))
        return 1, None

    def _start(
        self,
        folder: Path,
        n_ranks: int | None = None,
        launcher: Sequence[str] | None = None,
        largest_file: int | None = None,
    ) -> Ranks:
        """Start the run of a folder, or go on with it, on a random number of ranks where none is given."""
        self._n_starts += 1
        said = self._folder / f"said-{self._n_starts:04d}.txt"
        arguments = ["run", str(self._config), "--output", str(folder)]
        launcher = self._launcher if launcher is None else launcher
        return Ranks(launcher, n_ranks or _one_of(self._counts, self._random), arguments, said, largest_file)

    def _expect(self, ranks: Ranks, status: int) -> None:
        found = ranks.wait()
        if found != status:
            raise Broken(f"exit status {found} instead of {status}; it said: {ranks.output()}")
        if ranks.seconds_to_the_end(PATIENCE) > LONGEST:
            raise Broken("processes were left after the end of a run")

    def _finish(self, folder: Path, ranks: Ranks) -> None:
        """Wait for the end of a run, and compare all it came to."""
        self._expect(ranks, 0)
        if _digest_of(folder) != self._digest:
            raise Broken(f"the final bits in {folder} differ from those of an undisturbed run")
        leftovers = [path.name for path in folder.rglob(".*.tmp")]
        if leftovers or (folder / "run.lock").exists():
            raise Broken(f"left behind in {folder}: {leftovers or 'run.lock'}")


def _one_of(things: Sequence[T], rng: np.random.Generator) -> T:
    return things[int(rng.integers(len(things)))]


def _manifests(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("checkpoint-*.json"))


def _is_writing(folder: Path) -> bool:
    return any((folder / "checkpoints").glob(".checkpoint-*.tmp"))


def _digest_of(folder: Path) -> str:
    return str(read_run(folder).attributes.get("digest"))
