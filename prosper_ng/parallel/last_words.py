"""What a user sees of an exception: some lines and an exit status."""

import traceback

from prosper_ng.errors import UserError

INTERRUPTED = 130
_LONGEST = 200


def exit_status(error: BaseException) -> int:
    """The exit status that an exception ends the program with; never 0."""
    if isinstance(error, UserError):
        return error.exit_status
    if isinstance(error, UnicodeEncodeError):
        return UserError.exit_status
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 1


def not_encodable(text: str, encoding: str) -> str:
    """What to say of a name or an argument that the environment cannot say."""
    return (
        f"{text[:_LONGEST]!r} holds characters that are none in the encoding of this environment ({encoding}); set "
        "PYTHONUTF8=1, or LC_ALL=C.UTF-8, or choose a name without them"
    )


def message_of(error: BaseException) -> str:
    """What to print: a user's error as its sentence and its notes, a defect with its traceback."""
    if isinstance(error, UserError):
        sentence = str(error)
        if ": error: " not in sentence.partition("\n")[0]:  # an error in a file starts with its place, as compilers do
            sentence = f"error: {sentence}"
        return "\n".join([sentence, *(f"  {note}" for note in getattr(error, "__notes__", []))])
    if isinstance(error, UnicodeEncodeError):
        return f"error: {not_encodable(error.object, error.encoding)}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return f"error: ended with status {error.code}"
    return "".join(traceback.format_exception(error)).rstrip()
