"""News over LISTEN and NOTIFY, sent sparingly.

A NOTIFY takes a lock of the whole server while its transaction commits, so one for each commit more than halves what
many producers can put. Two things keep it rare:

* **Work** is notified by one call in 10 ms of each engine object. A listener that was woken looks once more when those
  10 ms are over, and so finds what came untold behind. A call whose commit took longer than that tells afterwards.
* **Ends** are notified only if a session listens (`notify_of_ends` in the SQL): it then holds a shared lock.

All listeners of a process share one connection, which is made and kept without ever blocking in it: whatever the server
does, `wait` ends when it should, and `wake` wakes. While there is no connection, or when a pooler in between makes
listening useless, `wait` ends after `POLL` seconds at most, so that the listener looks for itself: that is slower
(and costs one short look at an empty queue), and not wrong.
"""

from __future__ import annotations

import os
import random
import select
import threading

import psycopg
from psycopg import pq

from steadypool.durable.engine.postgres.session import connection_string
from steadypool.durable.engine.url import PostgresAddress
from steadypool.model.clock import monotonic

TOPICS = ("work", "ends")
QUIET = 0.010
"""Seconds for which an engine object that told of work does not tell again."""
LOOK_AFTER = 0.015
"""Seconds after which a listener that was woken looks once more."""
RETRY_AFTER = 0.5
"""Seconds between two tries to connect."""
WOKEN, NEWS, LOOK_AFTER_IT = b"!", b"n", b"l"
"""What is said to a listener: end the wait; end it, and look once more soon; look after the connection."""
POLL = 0.5
"""Seconds between two looks while nothing can be notified; more or less, so that many listeners do not look at once."""


class NotifyThrottle:
    """Decides which calls tell of work. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notified = float("-inf")

    def must_notify(self, now: float) -> bool:
        """Whether a call that begins now is to tell."""
        with self._lock:
            if now - self._notified < QUIET:
                return False
            self._notified = now
            return True

    def came_late(self, now: float) -> bool:
        """Whether a call that did not tell ended so late that no listener may be looking any more."""
        with self._lock:
            return now - self._notified >= QUIET


class PostgresListener:
    """See `durable.engine.protocol.Listener`. All of a process share one connection for each schema (`Line`)."""

    def __init__(self, address: PostgresAddress, topic: str) -> None:
        if topic not in TOPICS:
            raise ValueError(f"there are news of {' and of '.join(TOPICS)}, not of {topic!r}")
        self.topic = topic
        self._look_at: float | None = None
        self._inside, self._outside = os.pipe()
        os.set_blocking(self._inside, False)
        os.set_blocking(self._outside, False)
        self._pipe_lock = threading.Lock()
        self._closed = False
        self._line = line_of(address)
        self._line.join(self)

    def wait(self, seconds: float) -> None:
        """See `durable.engine.protocol.Listener.wait`."""
        until = monotonic() + max(0.0, seconds)
        if not self._line.is_there:
            until = min(until, monotonic() + POLL * random.uniform(0.8, 1.2))
        try:
            while not self._look(until):
                pass
        finally:
            self._line.pass_on(self)

    def wake(self) -> None:
        """See `durable.engine.protocol.Listener.wake`."""
        self.say(WOKEN)

    def close(self) -> None:
        """See `durable.engine.protocol.Listener.close`."""
        with self._pipe_lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._inside)
            os.close(self._outside)
        self._line.leave(self)

    def say(self, what: bytes) -> None:
        """End its wait, the present one or the next, or have it look after the line. From any thread."""
        with self._pipe_lock:
            if not self._closed:
                try:
                    os.write(self._outside, what)
                except BlockingIOError:
                    pass  # full of such

    def _look(self, until: float) -> bool:
        """Wait for one thing to happen; whether that ends the wait."""
        now = monotonic()
        ends = until if self._look_at is None else min(until, self._look_at)
        poll = select.poll()
        poll.register(self._inside, select.POLLIN)
        looks_after = self._line.look_after(self, now)
        if looks_after is not None:
            retry_at, socket, events = looks_after
            ends = min(ends, max(now, retry_at))
            if socket is not None:
                poll.register(socket, events)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, ends - now) * 1000)}
        if looks_after is not None and ready - {self._inside}:
            self._line.hear()
        if self._has_heard():
            return True
        now = monotonic()
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
            return True
        return now >= until

    def _has_heard(self) -> bool:
        try:
            said = os.read(self._inside, 4096)
        except BlockingIOError:
            return False
        if NEWS in said:
            self._look_at = monotonic() + LOOK_AFTER
        return NEWS in said or WOKEN in said


class Line:
    """The one connection on which a process listens to the news of one schema.

    One of the listeners that wait looks after it, and tells the others what it hears; when its own wait is over it
    passes that on to another. While none waits, news lie in the socket. The lock is held only for what never blocks.
    """

    def __init__(self, address: PostgresAddress) -> None:
        self._address = address
        self._lock = threading.RLock()
        self._listeners: list[PostgresListener] = []
        self._waiting: set[PostgresListener] = set()
        self._after: PostgresListener | None = None
        """Who looks after the connection."""
        self._connection: _Connection | None = None
        self._retry_at = float("-inf")

    @property
    def is_there(self) -> bool:
        """Whether there is a connection, or one is being made."""
        return self._connection is not None

    def join(self, listener: PostgresListener) -> None:
        """It is to be notified of its topic from now on."""
        with self._lock:
            self._listeners.append(listener)
            self._follow_topics()

    def leave(self, listener: PostgresListener) -> None:
        """It is not, any more. Without listeners there is no connection."""
        with self._lock:
            self.pass_on(listener)
            self._listeners.remove(listener)
            if self._listeners:
                self._follow_topics()
            else:
                self._hang_up()

    def look_after(self, listener: PostgresListener, now: float) -> tuple[float, int | None, int] | None:
        """Have *listener*, which begins to wait, look after the connection, unless another does.

        Returns:
            Until when it may sleep at most, and what it is to poll; ``None`` if another does so.
        """
        with self._lock:
            self._waiting.add(listener)
            if self._after not in (None, listener) or self._address.pooled:
                return None
            self._after = listener
            is_due = self._connection is None and now >= self._retry_at
        if is_due:
            self._connect(now)
        with self._lock:
            if self._connection is None:
                return self._retry_at, None, 0
            return float("inf"), self._connection.socket, self._connection.events

    def pass_on(self, listener: PostgresListener) -> None:
        """It waits no more: have another one look after the connection."""
        with self._lock:
            self._waiting.discard(listener)
            if self._after is listener:
                self._after = None
                for other in self._waiting:
                    other.say(LOOK_AFTER_IT)
                    break

    def hear(self) -> None:
        """The connection has something to say: tell those whom it concerns."""
        with self._lock:
            if self._connection is None:
                return
            try:
                told = self._connection.go_on()
                if self._connection.is_free:
                    self._follow_topics()
            except psycopg.Error:
                self._hang_up()
                self._retry_at = monotonic() + RETRY_AFTER
                told = set(TOPICS)  # what is notified while no session listens is lost: look
            for listener in self._listeners:
                if listener.topic in told:
                    listener.say(NEWS)

    def _connect(self, now: float) -> None:
        """Begin to. Without the lock: to find the host by its name may take a while."""
        try:
            connection = _Connection(self._address)
        except psycopg.Error:
            self._retry_at = now + RETRY_AFTER
        else:
            with self._lock:
                self._connection = connection

    def _follow_topics(self) -> None:
        if self._connection is not None and self._connection.is_free:
            try:
                self._connection.listen_to({listener.topic for listener in self._listeners})
            except psycopg.Error:
                pass  # it is lost: who looks after it sees that

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Connection:
    """A connection that listens, driven by the thread that polls its socket."""

    def __init__(self, address: PostgresAddress) -> None:
        self._schema = address.schema
        self._connection = pq.PGconn.connect_start(connection_string(address).encode())
        if self._connection.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError("cannot connect")
        self._is_up = False
        self._ordered = False
        self._topics: set[str] = set()
        self._new: set[str] = set()
        """Of those, the ones whose order is on its way."""
        self.events = select.POLLOUT

    @property
    def socket(self) -> int:
        """What to poll, for `events`."""
        return self._connection.socket

    @property
    def is_free(self) -> bool:
        """Whether it can be asked to listen to something else."""
        return self._is_up and not self._ordered

    def listen_to(self, topics: set[str]) -> None:
        """Listen to these and no others, from the moment on that `go_on` tells.

        Raises:
            psycopg.Error: the connection is lost.
        """
        orders = [self._order(topic, True) for topic in sorted(topics - self._topics)]
        orders += [self._order(topic, False) for topic in sorted(self._topics - topics)]
        if orders:
            self._new, self._topics, self._ordered = topics - self._topics, topics, True
            self._connection.send_query("; ".join(orders).encode())

    def go_on(self) -> set[str]:
        """The socket is ready; of which topics there is news: a notification came, or we have just begun to listen.

        Raises:
            psycopg.Error: the connection is lost, or was not to be had.
        """
        if not self._is_up:
            self._go_on_connecting()
            return set()
        self._connection.consume_input()
        told = self._begun() if self._ordered else set()
        while (notice := self._connection.notifies()) is not None:
            told.add(notice.relname.decode().rpartition(".")[2])
        return told

    def close(self) -> None:
        self._connection.finish()

    def _order(self, topic: str, begins: bool) -> str:
        channel = f"{self._schema}.{topic}"
        order = f'{"LISTEN" if begins else "UNLISTEN"} "{channel}"'
        if topic != "ends":
            return order
        # The lock says that a session listens; it is given back when the session ends, whatever ends it.
        return f"{order}; SELECT pg_advisory_{'lock' if begins else 'unlock'}_shared(hashtext('{channel}'))"

    def _go_on_connecting(self) -> None:
        status = self._connection.connect_poll()
        if status == pq.PollingStatus.FAILED:
            raise psycopg.OperationalError(self._connection.error_message.decode("utf-8", "replace"))
        if status == pq.PollingStatus.OK:
            self._is_up = True
            self.events = select.POLLIN
        else:
            self.events = select.POLLIN if status == pq.PollingStatus.READING else select.POLLOUT

    def _begun(self) -> set[str]:
        while not self._connection.is_busy():
            result = self._connection.get_result()
            if result is None:
                self._ordered = False
                begun, self._new = self._new, set()
                return begun
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.OperationalError(result.error_message.decode("utf-8", "replace"))
        return set()


def line_of(address: PostgresAddress) -> Line:
    """The line of this process for that schema. After a fork the child has its own; the parent's is left alone."""
    key = (os.getpid(), connection_string(address), address.schema)
    with _finding:
        return _lines.setdefault(key, Line(address))


def _find_anew() -> None:
    global _finding
    _finding = threading.Lock()  # another thread of the parent may have held it at the fork


_finding = threading.Lock()
_lines: dict[tuple[int, str, str], Line] = {}
os.register_at_fork(after_in_child=_find_anew)
