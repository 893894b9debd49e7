"""Errors that a user can cause; everything else that is raised is a defect of the program."""


class UserError(ValueError):
    """One clear sentence: what is wrong, where, and what would be legal.

    The command line prints it without a traceback and ends with `exit_status`.
    """

    exit_status = 2


class NumericalError(UserError):
    """The computation left the real numbers, or a guarantee of the mathematics was violated."""

    exit_status = 3
