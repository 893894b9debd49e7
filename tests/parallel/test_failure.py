import pytest

from prosper_ng.errors import NumericalError, UserError
from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.failure import RemoteDefect, agree, collectively, ending_all_ranks_together
from prosper_ng.parallel.last_words import exit_status, message_of
from prosper_ng.parallel.team import on_team


class Strange(UserError):
    """Its text is not what its constructor took."""

    exit_status = 7

    def __init__(self, line, column):
        super().__init__()
        self.line, self.column = line, column

    def __str__(self):
        return f"line {self.line}, column {self.column}"


def read(comm, error):
    """A rank's part in something that may fail for each rank alone."""
    with collectively(comm, "reading"):
        if error is not None:
            raise error


def test_nothing_happens_where_no_rank_fails():
    def work(comm):
        with collectively(comm, "reading"):
            return comm.rank

    assert on_team(3, work) == [0, 1, 2]


@pytest.mark.parametrize("failing", [{0}, {2}, {1, 2}, {0, 1, 2}])
def test_all_ranks_raise_the_error_of_the_lowest_that_fails(failing):
    def work(comm):
        error = NumericalError(f"no {comm.rank}")
        error.add_note("in sweep 3")
        with pytest.raises(NumericalError) as caught:
            read(comm, error if comm.rank in failing else None)
        return str(caught.value), caught.value.__notes__

    for text, notes in on_team(3, work):
        assert text == f"no {min(failing)}"
        assert notes[0] == "in sweep 3"
        assert notes[1].startswith(f"while reading on rank {min(failing)} of 3, host ")


def test_an_error_that_cannot_be_made_again_arrives_with_text_and_status():
    def work(comm):
        with pytest.raises(UserError, match="line 3, column 4") as caught:
            agree(comm, Strange(3, 4) if comm.rank == 1 else None)
        return exit_status(caught.value), hasattr(caught.value, "__notes__")

    assert on_team(2, work) == [(7, False)] * 2


def test_a_defect_stays_what_it_is_on_its_rank_and_is_told_with_its_traceback_elsewhere():
    def work(comm):
        with pytest.raises(KeyError if comm.rank == 1 else RemoteDefect, match="a name"):
            read(comm, KeyError("a name") if comm.rank == 1 else None)

    on_team(3, work)


def test_a_single_process_fails_as_if_there_were_no_frame():
    comm = SerialCommunicator()
    with pytest.raises(NumericalError, match="bad") as caught, ending_all_ranks_together(comm):
        read(comm, NumericalError("bad"))
    assert message_of(caught.value) == "error: bad\n  while reading"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("x"), 2, "error: x"),
        (NumericalError("x"), 3, "error: x"),
        (UserError("a.yaml:1:2: error: no\n  more"), 2, "a.yaml:1:2: error: no\n  more"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            UnicodeEncodeError("ascii", "größe", 2, 4, "ordinal not in range(128)"),
            2,
            "error: 'größe' holds characters that are none in the encoding of this environment (ascii); set "
            "PYTHONUTF8=1, or LC_ALL=C.UTF-8, or choose a name without them",
        ),
        (SystemExit(4), 4, "error: ended with status 4"),
        (ZeroDivisionError("x"), 1, "ZeroDivisionError: x"),
    ],
)
def test_what_a_user_sees_of_an_exception(error, status, said):
    assert exit_status(error) == status
    assert message_of(error) == said
