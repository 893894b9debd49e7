"""Files that cannot be opened just now, told from damaged ones by what the operating system says.

A file that another program holds, or that may not be read, has lost nothing: it is never renamed, passed over or begun
anew, but named in a sentence. Damage is what remains: libraries speak of it without an error number of the system.
"""

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_BUSY = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY, errno.ETXTBSY, errno.EDEADLK}
_DENIED = {errno.EACCES, errno.EPERM}
_TOO_MANY = {errno.EMFILE, errno.ENFILE}
_OTHERS = {
    errno.EIO, errno.ESTALE, errno.ENOLCK, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR, errno.ENODEV,
    errno.ENXIO, errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EREMOTEIO,
}  # fmt: skip
# Not among them: EINVAL, EOVERFLOW, EFBIG and ENOMEM, to which the bytes of a damaged file can lead.
_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems answer that know no locks."""
_NUMBER = re.compile(r"\berrno = (\d+)")


class CannotOpen(OSError):
    """One sentence on a file that cannot be opened or read just now, though nothing says that it is damaged."""


class InUse(CannotOpen):
    """Another program holds the file, and will let it go."""


def cannot_open(error: BaseException, path: object) -> CannotOpen | None:
    """Why `path` cannot be read just now; None where the error is about its content.

    That it is missing is left to the caller, unless it is a link that leads nowhere.
    """
    if isinstance(error, CannotOpen):
        return error
    text, number = str(error), _number(error)
    if number in _BUSY or (number in _DENIED and "unable to lock file" in text):
        return InUse(f"{path} is in use by another program; close it there and try again")
    if "already open for write" in text:
        # So HDF5 marks a file while it is written, and leaves the mark where the writer dies.
        return InUse(
            f"{path} is in use by another program, or was left open by one that died (then: h5clear -s {path})"
        )
    sentence = None
    if number in _DENIED:
        sentence = f"no permission to read {path}"
    elif number == errno.EISDIR:
        sentence = f"{path} is a folder, not a file"
    elif number == errno.ENOENT and os.path.islink(str(path)):
        sentence = f"{path} is a link to {os.readlink(str(path))}, and there is nothing"
    elif number in _TOO_MANY:
        sentence = f"{path} cannot be read: too many files are open on this machine or in this process"
    elif number in _OTHERS:
        sentence = f"{path} cannot be read: {os.strerror(number or 0)}"
    return None if sentence is None else CannotOpen(sentence)


@contextlib.contextmanager
def telling_from_damage(path: Path) -> Iterator[None]:
    """Raise CannotOpen in the place of an error in the body that is not about the content of the file."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:
        found = cannot_open(error, path)
        if found is None or found is error:
            raise
        raise found from error


@contextlib.contextmanager
def at_rest(path: Path) -> Iterator[IO[bytes]]:
    """A file to read that no program changes through HDF5 in the meantime; CannotOpen where one holds it for writing.

    Where the file system knows no locks, nobody can tell.
    """
    with contextlib.ExitStack() as files:
        with telling_from_damage(path):
            file = files.enter_context(path.open("rb"))
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    raise
        yield file


def kind(path: Path) -> int | None:
    """The mode of what lies at a path, None where there is nothing; raises CannotOpen where that cannot be told."""
    try:
        with telling_from_damage(path):
            return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _number(error: BaseException) -> int | None:
    """The error number of the system, which h5py also writes into its texts."""
    number = getattr(error, "errno", None)
    if not number:
        found = _NUMBER.search(str(error))
        number = int(found[1]) if found else None
    return number or None
