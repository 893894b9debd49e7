"""Runs for as long as asked, killed and resumed again and again; memory must not grow, and the bits must stay.

A long run on some ranks goes on all the time; every few minutes all its processes are killed, and it is resumed on
another number of ranks. What each start takes in memory is read every second. At the end, a run of the same length is
made anew in one go, and all bits are compared.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from prosper_ng.diagnostics.selftest_ranks import Ranks
from prosper_ng.storage.run_record import read_run
from prosper_ng.storage.status import StatusError, read_status

CONFIG = """
name: soak
seed: 1
data: {kind: bars, n_bars: 16, n_rows: 4000}
model: {kind: bsc, n_latents: 16}
estep: {kind: search, n_states: 40}
training: {n_sweeps: N_SWEEPS, updates_per_sweep: 4}
output: {figures: false, checkpoint_sweeps: 5}
"""
RANKS = (2, 1, 3)
WARM_UP = 30.0
"""Seconds of each start that are not counted: imports and first buffers."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of disturbed running (default: %(default)s)")
    parser.add_argument("--kill-minutes", type=float, default=3.0, help="between two kills (default: %(default)s)")
    return parser.parse_args()


def memory_of(processes: list[int]) -> float:
    """MiB of private memory of the largest of these processes, 0 where all have ended."""
    found = [0.0]
    for pid in processes:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        found += [int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")]
    return max(found)


def watched(ranks: Ranks, seconds: float, is_serial: bool) -> list[float]:
    """Memory second by second, until the time is over or the run ends."""
    began, found = time.monotonic(), []
    while ranks.is_running and time.monotonic() - began < seconds:
        time.sleep(1)
        processes = [ranks.process.pid] if is_serial else ranks.ranks()
        if time.monotonic() - began > WARM_UP:
            found.append(memory_of(processes))
    return found


def sweeps_of(folder: Path) -> int:
    try:
        status = read_status(folder)
    except StatusError:
        status = None
    return 0 if status is None else status.iteration


def main() -> None:
    options = arguments()
    own = Path(sys.executable).parent / "mpiexec"
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder, config = Path(temporary), Path(temporary, "soak.yaml")
        config.write_text(CONFIG.replace("N_SWEEPS", "1000000"), encoding="utf-8")
        end, n_starts = time.monotonic() + 60 * options.minutes, 0
        print(f"{'ranks':>5} {'minutes':>8} {'sweep':>7} {'MiB, first minute':>18} {'last minute':>12} {'growth':>8}")
        while time.monotonic() < end:
            n_ranks = RANKS[n_starts % len(RANKS)] if own.exists() else 1
            launcher = [str(own)] if n_ranks > 1 else []
            began, n_starts = time.monotonic(), n_starts + 1
            ranks = Ranks(launcher, n_ranks, ["--quiet", "run", str(config), "--output", str(folder / "run")],
                          folder / "said.txt")  # fmt: skip
            left = min(60 * options.kill_minutes, end - time.monotonic())
            memory = [each for each in watched(ranks, left, not launcher) if each]
            is_last = time.monotonic() >= end
            if is_last:
                for pid in ranks.ranks()[:1] or [ranks.process.pid]:
                    os.kill(pid, signal.SIGUSR1)
                status = ranks.wait()
            else:
                assert ranks.kill([*ranks.ranks(), ranks.process.pid]) < 10, "processes were left"
                status = None
            if status not in (None, 75):
                sys.exit(f"exit status {status}: {ranks.output()}")
            first, last = median(memory[:60] or [0]), median(memory[-60:] or [0])
            minutes = (time.monotonic() - began) / 60
            print(f"{n_ranks:>5} {minutes:>8.1f} {sweeps_of(folder / 'run'):>7} {first:>18.1f} {last:>12.1f} "
                  f"{last - first:>+8.1f}", flush=True)  # fmt: skip
        sys.exit(compared(folder, config, n_starts))


def compared(folder: Path, config: Path, n_starts: int) -> bool:
    """Whether the bits of the disturbed run differ from those of one in one go, to as many sweeps."""
    n_sweeps, digests = sweeps_of(folder / "run"), set()
    config.write_text(CONFIG.replace("N_SWEEPS", str(n_sweeps)), encoding="utf-8")
    for name in ("run", "anew"):
        program = [sys.executable, "-m", "prosper_ng", "--quiet", "run"]
        subprocess.run([*program, str(config), "--output", str(folder / name)], check=True)
        digests.add(read_run(folder / name).attributes["digest"])
    differ = len(digests) > 1
    print(f"{n_starts} starts, {n_sweeps} sweeps: the bits are {'DIFFERENT' if differ else 'equal'}")
    return differ


if __name__ == "__main__":
    main()
