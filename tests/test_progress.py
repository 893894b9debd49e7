"""Progress on a terminal and in a batch log, and the log file."""

import io
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosper_ng.errors import UserError
from prosper_ng.progress import Progress, duration, is_wanted
from prosper_ng.report.log import NAME, close_log, open_log
from prosper_ng.report.narrator import Narrator
from tests.helpers.terminals import on_a_terminal

VALUES = {"free_energy": -12.3456, "sigma": 24.5, "pi": 0.0123, "psnr": 28.123, "temperature": 1.0, "seconds": 3.0}


class Clock:
    """A clock that is set by hand."""

    time = 0.0

    def __call__(self):
        return self.time


def lines(n_sweeps, seconds_per_sweep, n_done=0, **options):
    stream, clock = io.StringIO(), Clock()
    progress = Progress(n_sweeps, n_done=n_done, stream=stream, clock=clock, **options)
    for sweep in range(n_done + 1, n_sweeps + 1):
        clock.time += seconds_per_sweep
        progress.update(sweep, VALUES, ("sigma", "pi"))
    progress.close("the end")
    return stream.getvalue().splitlines()


def test_a_line_holds_what_a_person_wants_to_know():
    first, second, *_ = lines(200, 1.0)
    assert first == "sweep   1/200  F -12.3456  sigma 24.5  pi 0.0123  PSNR 28.12 dB"
    assert second == "sweep  11/200  F -12.3456  sigma 24.5  pi 0.0123  PSNR 28.12 dB  3 min 09 s left"


def test_lines_come_at_most_every_ten_seconds():
    found = lines(1000, 0.1)
    assert 10 <= len(found) <= 13
    assert found[-2].startswith("sweep 1000/1000")
    assert "left" not in found[-2]
    assert found[-1] == "the end"
    assert len(lines(20, 60.0)) == 21


def test_what_comes_after_the_last_sweep_is_shown_every_ten_seconds():
    stream, clock = io.StringIO(), Clock()
    progress = Progress(2, stream=stream, clock=clock)
    for sweep in (1, 2):
        progress.update(sweep, VALUES)
    for share in range(100):
        clock.time += 0.5
        progress.show(f"groups: {share}%")
    found = stream.getvalue().splitlines()
    assert found[2:] == [f"groups: {share}%" for share in (19, 39, 59, 79, 99)]
    Progress(2, quiet=True, stream=stream, clock=clock).show("silence")
    assert len(stream.getvalue().splitlines()) == len(found)


def test_verbose_says_more_and_quiet_nothing():
    found = lines(50, 0.1, verbose=True)
    assert len(found) == 51
    assert "seconds 3" in found[0]
    assert lines(50, 0.1, quiet=True) == []


def test_what_is_not_known_is_left_out():
    stream = io.StringIO()
    Progress(3, stream=stream).update(
        1, {"free_energy": float("nan"), "sigma": 2.0, "temperature": 1.5}, ("sigma", "pi")
    )
    assert stream.getvalue().startswith("sweep 1/3  sigma 2  T 1.5")


@given(st.integers(0, 50), st.integers(1, 50), st.floats(0.01, 1e4), st.floats(0, 1e4))
def test_time_left_counts_from_the_first_sweep_of_this_start(n_done, n_more, seconds, compiling):
    clock = Clock()
    progress = Progress(n_done + 1 + n_more + 7, quiet=True, n_done=n_done, clock=clock)
    clock.time += compiling
    progress.update(n_done + 1, {})
    assert progress.seconds_left() is None
    for sweep in range(n_done + 2, n_done + 2 + n_more):
        clock.time += seconds
        progress.update(sweep, {})
    assert progress.seconds_left() == pytest.approx(7 * seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (2e5, "2 d 8 h"),
    ],
)
def test_times_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_terminal_gets_a_bar():
    code = f"""
import sys
from prosper_ng.progress import Progress
progress = Progress(3)
for sweep in (1, 2, 3):
    progress.update(sweep, {VALUES})
    print("a warning", file=sys.stderr)
progress.close("the end")
"""
    text = on_a_terminal(sys.executable, "-c", code)
    assert "\u2501" in text
    assert "sweep 3/3" in text
    assert text.count("a warning") == 3
    assert text.rstrip().endswith("the end")


def test_what_a_launcher_gives_its_ranks_is_no_terminal():
    """A stream that is a terminal, with columns or without, whose other end is a file."""
    show = f"from prosper_ng.progress import *; bar = Progress(1); bar.update(1, {VALUES}); bar.close()"
    for command, columns in (("exec 2>/dev/null; exec", 120), ("exec", 0)):
        text = on_a_terminal("bash", "-c", f'{command} "$0" -c "{show}"', sys.executable, columns=columns)
        assert text == "sweep 1/1  F -12.3456  PSNR 28.12 dB\r\n"


def test_a_terminal_has_one_bar_and_who_comes_second_writes_lines():
    code = f"""
import sys
from prosper_ng.progress import Progress, is_wanted
before = sys.stdout
assert is_wanted("auto")
first = Progress(3)
assert not is_wanted("auto") and is_wanted(True)
second = Progress(2)
for sweep in (1, 2):
    first.update(sweep, {VALUES})
    second.update(sweep, {VALUES})
second.close("the second one")
first.close()
assert sys.stdout is before and is_wanted("auto")
Progress(4).close()
"""
    text = on_a_terminal(sys.executable, "-c", code)
    assert "sweep 2/2" in text
    assert text.index("the second one") < text.rindex("sweep 2/3") < text.index("sweep 0/4")
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_bar_takes_little_of_the_time_and_ends_with_the_last_sweep():
    code = """
from itertools import count
from prosper_ng.progress import Progress
ticks = count()
progress = Progress(2000, clock=lambda: next(ticks) / 1000)
for sweep in range(1, 1991):
    progress.update(sweep, {})
progress.close()
"""
    text = on_a_terminal(sys.executable, "-c", code)
    assert 10 < text.count("sweep ") < 30
    assert "sweep 1990/2000" in text


@pytest.mark.heavy
def test_nothing_is_shown_where_nobody_looks_on():
    code = """
from joblib import Parallel, delayed
from multiprocessing import get_context
from prosper_ng.progress import is_wanted
assert is_wanted("auto")
assert Parallel(2)(delayed(is_wanted)("auto") for _ in range(2)) == [False, False]
with get_context("fork").Pool(1) as pool:
    assert pool.apply(is_wanted, ("auto",)) is False
"""
    on_a_terminal(sys.executable, "-c", code)
    assert (is_wanted("auto"), is_wanted(True), is_wanted(False)) == (False, True, False)
    with pytest.raises(UserError, match='progress must be True, False or "auto", not 1'):
        is_wanted(1)


def test_the_log_is_appended_to_and_warnings_are_printed(tmp_path, capsys):
    for start in (1, 2):
        narrator = Narrator(3, is_root=True, quiet=start == 2)
        narrator.say("early")
        narrator.opened(tmp_path, 0)
        narrator.note(f"start {start}")
        narrator.say("low on disk")
        narrator.close()
    found = [line.split(maxsplit=2)[1:] for line in (tmp_path / NAME).read_text().splitlines()]
    opened = [["WARNING", "early"], ["INFO", "started before sweep 1 of 3"]]
    assert found == [
        *opened, ["INFO", "start 1"], ["WARNING", "low on disk"], *opened, ["INFO", "start 2"],
        ["WARNING", "low on disk"],
    ]  # fmt: skip
    assert capsys.readouterr() == ("", "early\nlow on disk\n")


def test_a_verbose_log_has_details(tmp_path):
    for verbose in (False, True):
        logger = open_log(tmp_path, verbose)
        logger.debug("verbose is %s", verbose)
        close_log(logger)
    assert (tmp_path / NAME).read_text().count("verbose is") == 1


def test_a_log_that_cannot_be_opened_is_said_and_the_run_goes_on(tmp_path):
    said = []
    logger = open_log(tmp_path / "none", tell=said.append)
    logger.warning("lost")
    assert len(said) == 1
    assert "cannot be written to (No such file or directory); the run goes on without it" in said[0]


def test_a_log_that_cannot_be_written_is_said_once(tmp_path):
    code = """
import resource, sys
from pathlib import Path
from prosper_ng.report.narrator import Narrator
from prosper_ng.report.log import open_log
logger = open_log(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
for _ in range(10):
    logger.info("x" * 60)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.count("cannot be written to") == 1
    assert "Traceback" not in done.stderr
