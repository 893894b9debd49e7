"""Paths as people write them: one function makes all of them paths of the file system."""

import os
import pwd
import tempfile
from collections.abc import Mapping
from pathlib import Path

from prosper_ng.errors import UserError

LONGEST_NAME = 255
"""Bytes in the name of a file or folder, on about every file system."""
_SHOWN = 60
"""Characters of a path in a sentence on what is no path at all."""


def path_of(written: str | os.PathLike[str]) -> Path:
    """The path that a user has written, with `~` and `~user` at its beginning replaced by the home folders they mean.

    Raises UserError where no file can be there: it is empty or holds a NUL, or nobody has that name.
    """
    if not isinstance(written, str | os.PathLike):
        raise UserError(f"a path must be a text or a Path, not {written!r}")
    text = os.fspath(written)
    if not text:
        raise UserError("a path is empty; give the name of a file or folder, or . for the present folder")
    if "\0" in text:
        raise UserError(f"the path {_short(text)} holds a NUL character, which no name of a file may hold")
    user, separator, rest = text.partition("/")
    if not user.startswith("~"):
        return Path(text)
    return (home() if user == "~" else _home_of(user[1:], text)) / (rest.lstrip("/") if separator else "")


def require_name(name: str) -> None:
    """Raise UserError where a text cannot name a run or campaign: its folder, its jobs, and a line for people.

    Letters of any language, blanks inside, and what a shell would take for its own stay legal: whatever is made of a
    name quotes it.
    """
    hidden = next((letter for letter in name if not letter.isprintable()), None)
    fault = None
    if not name:
        fault = "is empty"
    elif hidden is not None:
        fault = f"holds the character {hidden!a}, which cannot be printed"
    elif "/" in name:
        fault = "holds a slash; output.folder (of a campaign: folder) says where to put it"
    elif name in (".", ".."):
        fault = "stands for a folder that is there already"
    elif name.startswith("-"):
        fault = "begins with - as the options of programs do"
    elif name.startswith("~"):
        fault = "begins with ~ as home folders do"
    elif name != name.strip():
        fault = "begins or ends with a blank"
    elif len(name.encode()) > LONGEST_NAME:
        fault = f"takes {len(name.encode())} bytes, and names of folders have at most {LONGEST_NAME}"
    if fault is not None:
        raise UserError(f"{_short(name)} {fault}; a name is one like bars-3 or second try")


def name_from(text: str) -> str:
    """A text for people as a legal name that says the same, as far as it fits."""
    name = "".join(letter if letter.isprintable() and letter != "/" else "_" for letter in text).strip()
    name = f"_{name[1:]}" if name.startswith(("-", "~")) or name in ("", ".", "..") else name
    while len(name.encode()) > LONGEST_NAME:
        middle = len(name) // 2
        name = f"{name[: middle - 2].rstrip('…')}…{name[middle + 2 :].lstrip('…')}"
    return name


def home() -> Path:
    """The user's home folder: HOME, else that of the user's entry, else the temporary folder.

    In containers there may be neither: the number that a process runs under needs no name.
    """
    given = os.environ.get("HOME")
    if given:
        return Path(given)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return temporary_folder()


def in_home(variable: str, name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that a variable of the environment names, else the one of this name in the user's home."""
    given = environment.get(variable)
    return path_of(given) if given else home() / name


def can_be_made(folder: Path) -> bool:
    """Whether a folder can be written to, or be made, in a home that exists: none is made for a user without one."""
    if folder.is_relative_to(home()) and not home().is_dir():
        return False
    place = nearest(folder)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def temporary_folder() -> Path:
    """A folder of this user's own for files that need not last; UserError where none can be made."""
    try:
        folder = Path(tempfile.gettempdir()) / f"prosper_ng-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        # Code is loaded from here, so a folder that somebody else put there will not do.
        is_own = folder.stat().st_uid == os.getuid() and os.access(folder, os.W_OK)
        return folder if is_own else Path(tempfile.mkdtemp(prefix="prosper_ng-"))
    except OSError as error:
        raise UserError(
            f"there is no folder for temporary files ({error.strerror or error}); set TMPDIR to one that can be "
            "written to"
        ) from None


def absolute(path: Path) -> Path:
    """The path from the root; UserError where it begins in a present folder that is gone."""
    try:
        return Path(os.path.abspath(path))
    except FileNotFoundError:
        raise UserError(
            f"{path} cannot be found: the present folder was removed; change to another one, such as: cd ~"
        ) from None


def nearest(path: Path) -> Path:
    """The path itself where something is there, else the nearest folder above it that there is."""
    path = absolute(path)
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def as_argument(path: Path) -> str:
    """The path as a word of a command line that is not taken for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def same_file(a: Path, b: Path) -> bool:
    """Whether two paths lead to one file, however they are written and through whatever links."""
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):
        return False


def _home_of(user: str, text: str) -> Path:
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except (KeyError, ValueError):
        raise UserError(
            f"{_short(text)}: there is no user {user!r} here, whose home folder the path begins with; write the whole "
            f"path, or ./~{user} for something of that name in the present folder"
        ) from None


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
