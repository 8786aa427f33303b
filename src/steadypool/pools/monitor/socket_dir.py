"""Where programs that can be watched are found: a folder for each user, with a Unix socket for each program in it.

The folder is the user's own (0700) and so is each socket (0600); its name is the program's pid. It stands in
``XDG_RUNTIME_DIR`` if there is one, and else in the folder for temporary files. Who looks tries all places, since the
two need not have the same environment.

The races:

* *A viewer looks while the socket is made*: it is bound and listens under another name first, and is renamed then. So
  a socket with a pid for a name that refuses a connection has lost its program, and may be removed.
* *A program has the pid of a dead one* (or, from another container, of a living one): the rename replaces what was
  there; and a program removes a socket at its end only if it is still its own.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

BACKLOG = 64
SECONDS = 2.0
"""How long a program may take to accept a connection; it does so at once, if it runs at all."""


class Listener:
    """The socket of this program, listening. `close` leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        make_private(folder)
        self.path = folder / str(os.getpid())
        before = folder / f".{os.getpid()}-{os.urandom(4).hex()}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(str(before))
            os.chmod(before, 0o600)
            self.socket.listen(BACKLOG)
            self.socket.setblocking(False)
            self._inode = os.stat(before).st_ino
            os.rename(before, self.path)
        except BaseException:
            self.socket.close()
            with suppress(OSError):
                before.unlink()
            raise

    def close(self) -> None:
        """Listen no more, and remove the socket's name."""
        self.remove_name()
        self.socket.close()

    def remove_name(self) -> None:
        """Remove it, so that no monitor finds it any more."""
        with suppress(OSError):
            if os.stat(self.path).st_ino == self._inode:
                self.path.unlink()


def open_listener() -> Listener:
    """Make this program's socket.

    Raises:
        OSError: there is no place for it; the message names all that were tried.
    """
    failures = []
    for folder in own_folders():
        try:
            return Listener(folder)
        except OSError as error:
            failures.append(f"{folder}: {error.strerror or error}")
    raise OSError(f"no private folder for its socket ({'; '.join(failures)})")


def own_folders() -> list[Path]:
    """Where this program's socket may be, in the order in which the places are tried."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return [*([Path(runtime) / "steadypool"] if runtime else []), *_temporary(os.geteuid())]


def folders(uid: int) -> list[Path]:
    """Where the sockets of that user's programs may be: they need not have this program's environment."""
    own = own_folders() if uid == os.geteuid() else []
    return list(dict.fromkeys([*own, Path("/run/user") / str(uid) / "steadypool", *_temporary(uid)]))


def _temporary(uid: int) -> list[Path]:
    import tempfile

    return [Path(folder) / f"steadypool-{uid}" for folder in dict.fromkeys((tempfile.gettempdir(), "/tmp"))]


def make_private(folder: Path) -> None:
    """Make *folder*, or see that it is what it should be.

    Raises:
        OSError: it cannot be made, or is not a folder of this user's alone.
    """
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if not is_private(folder, os.geteuid()):
        raise PermissionError(f"it is not a folder that is private to user {os.geteuid()}; remove it")


def is_private(folder: Path, uid: int) -> bool:
    """Whether it is a folder, no link to one, that only user *uid* can look into."""
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def find(uid: int) -> dict[int, Path]:
    """The sockets of that user's programs, by pid. Those of dead programs are removed on the way."""
    found: dict[int, Path] = {}
    for folder in folders(uid):
        try:
            names = os.listdir(folder) if is_private(folder, uid) else []
        except OSError:
            continue  # there is no such place
        for name in names:
            path = folder / name
            if name.isdecimal() and int(name) not in found and answers(path):
                found[int(name)] = path
    return found


def answers(path: Path) -> bool:
    """Whether a program listens there. If it is dead, the socket is removed."""
    try:
        connect(path).close()
    except ConnectionRefusedError:
        with suppress(OSError):
            path.unlink()
        return False
    except OSError:
        return False
    return True


def connect(path: Path) -> socket.socket:
    """A connection to the program that listens there.

    Raises:
        OSError: as ``connect`` does; `ConnectionRefusedError` if the program is dead.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection
