"""What a person sees while the runs of a campaign run: a line for each run that ends, and on a terminal a bar."""

import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from prosper_ng.campaigns.local import Ended
from prosper_ng.campaigns.plan import CampaignPlan, PlannedRun
from prosper_ng.campaigns.run_state import BROKEN, RunState
from prosper_ng.progress import duration, is_terminal


class CampaignProgress:
    """Tells of the runs of a campaign; nothing with `quiet`."""

    def __init__(self, n_runs: int, n_done: int, quiet: bool = False, stream: TextIO | None = None) -> None:
        """`n_done` of the `n_runs` runs were finished before."""
        self._n_runs, self._n_done, self._quiet = n_runs, n_done, quiet
        self._stream = stream if stream is not None else sys.stdout
        self._began, self._n_ended, self._running = time.monotonic(), 0, 0
        self._bar: Progress | None = None

    def opened(self, folder: Path, todo: Sequence[PlannedRun], n_cores: int) -> None:
        """The campaign begins, or goes on."""
        before = f", {self._n_done} are finished" if self._n_done else ""
        self.say(f"{self._n_runs} runs in {folder}{before}; {len(todo)} to run on {n_cores} cores")
        if not self._quiet and is_terminal(self._stream) and todo:
            columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(file=self._stream, highlight=False))
            self._task = self._bar.add_task("", total=self._n_runs, completed=self._n_done)
            self._bar.start()

    def say(self, message: str) -> None:
        """Something the user should hear of."""
        if self._bar is not None:
            self._bar.console.print(escape(message), soft_wrap=True)
        elif not self._quiet:
            print(message, file=self._stream, flush=True)

    def began(self, run: PlannedRun) -> None:
        """A run was started."""
        self._running += 1
        self._show()

    def ended(self, ended: Ended) -> None:
        """A run has ended."""
        self._running -= 1
        self._n_ended += 1
        state, status, reason = ended.run_state[:3]
        self._n_done += state == "finished"
        parts = [f"{self._n_done:>{len(str(self._n_runs))}}/{self._n_runs}", ended.run.id, f"{state:<8}"]
        parts += [f"{ended.seconds:6.1f} s", ended.run.title]
        if state == "finished" and status is not None and status.free_energy is not None:
            parts.append(f"F {status.free_energy:.4f}")
        elif state != "finished":
            parts.append(reason.partition("\n")[0])
        self.say("  ".join(parts))
        self._show()

    def close(self) -> None:
        """No more runs are started."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def conclude(self, run_states: Sequence[RunState], counts: str, plan: CampaignPlan) -> None:
        """How the runs stand in the end: `counts` in words, and what is wrong, each thing once."""
        self.say(counts)
        wrong = Counter((each.state, each.reason, each.advice) for each in run_states if each.state in BROKEN)
        for (state, reason, advice), number in wrong.items():
            self.say(f"{number} {state}: {reason}")
            self.say(f"  {advice}")
        if any(each.state != "finished" for each in run_states):
            self.say("the same command continues with the unfinished runs")
        self.say(f"for tables and figures: prosper-ng campaign collect {shlex.quote(str(plan.folder))}")

    def _show(self) -> None:
        if self._bar is None:
            return
        text = f"{self._running} running"
        if self._n_ended:
            seconds = (time.monotonic() - self._began) / self._n_ended * (self._n_runs - self._n_done)
            text += f", about {duration(seconds)} left"
        self._bar.update(self._task, completed=self._n_done, description=text)
