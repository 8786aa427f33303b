"""A fair lock between processes, with a time limit.

SQLite's own waiting is not fair: a waiter sleeps up to 100 ms between two looks while its holder takes it
again within microseconds, so under load some processes get nothing at all. The kernel's queue for ``flock`` is. But a
wait in it has no time limit, and the holder of the lock may have been stopped (SIGSTOP) in the middle of a transaction.

So: a free lock is taken at once. For a held one a *keeper* thread waits in the kernel's queue, and its client waits for
the keeper as long as it likes. When the keeper gets the lock and its client has gone, it gives it back at once; when
another client has come meanwhile, that one gets it.

The lock belongs to the open file, not to a thread: that is why the keeper can take it for its client. One client at a
time: the engine serialises its calls.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref

from steadypool.durable.engine.sqlite.folder import Mark


class FileLock:
    """An exclusive lock on the file at *path*, which is made if need be."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._opened = os.fstat(self._file)
        self._mark: Mark | None = None
        """Its folder's, when the file was found there."""
        self._changed = threading.Condition()
        self._keeper: threading.Thread | None = None
        self._asked = False
        """The keeper waits for the lock, or is about to."""
        self._wanted = False
        """A client waits for the keeper."""
        self._granted = False
        self._closing = False
        _locks.add(self)

    def acquire(self, seconds: float) -> bool:
        """Take the lock, waiting *seconds* for it at most; whether it was had."""
        with self._changed:
            if not self._asked:
                if self._take_if_free():
                    return True
                self._ask()
            self._wanted, self._granted = True, False
            try:
                self._changed.wait_for(lambda: self._granted, seconds)
            except BaseException:
                # Ctrl-C in the main thread: no thread will ever release what the keeper has just handed over.
                if self._granted:
                    self.release()
                raise
            finally:
                self._wanted = False
            return self._granted

    def release(self) -> None:
        """Let the next one in."""
        if self._file >= 0:  # else a forked child's copy, which came out of the parent's block
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def is_current(self, mark: Mark | None = None) -> bool:
        """Whether others who come now find the same file, or whether it was removed. *mark* is its folder's, now."""
        if mark is not None and mark == self._mark:
            return True
        try:
            is_same = os.path.samestat(os.stat(self._path), self._opened)
        except OSError:
            return False
        self._mark = mark if is_same else None
        return is_same

    def close(self) -> None:
        """Give the file back; not while the lock is held."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if not self._asked:
                self._give_file_back()

    def _take_if_free(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _ask(self) -> None:
        self._asked = True
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="steadypool-lock", daemon=True)
            self._keeper.start()
        self._changed.notify_all()

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._closing)
                if not self._asked:
                    return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            with self._changed:
                self._asked = False
                if self._wanted:
                    self._granted = True
                    self._changed.notify_all()
                else:
                    self.release()
                    if self._closing:
                        self._give_file_back()
                        return

    def _give_file_back(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def forget(self) -> None:
        """In a forked child: the open file is shared with the parent, whose lock must not outlive it because of us."""
        self._give_file_back()


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_locks):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)
