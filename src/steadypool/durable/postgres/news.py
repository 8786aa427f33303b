"""News over LISTEN and NOTIFY, told sparingly.

A NOTIFY takes a lock of the whole server while its transaction commits, so one for each commit more than halves what
many producers can put. Two things keep it rare:

* **Work** is told by one call in 10 ms of each engine object. A listener that was woken looks once more when those
  10 ms are over, and so finds what came untold behind. A call whose commit took longer than that tells afterwards.
* **Ends** are told only if somebody listens for them (`tell_of_ends` in the SQL): who does holds a shared lock.

A listener has a connection of its own, which it makes and keeps without ever blocking in it: whatever the server
does, `wait` ends when it should, and `wake` wakes. While there is no connection, or when a pooler in between makes
listening useless, `wait` ends after `POLL` seconds at most, so that whoever listens looks for himself: that is slower
(and costs one short look at an empty queue), and not wrong.
"""

from __future__ import annotations

import os
import random
import select
import threading

import psycopg
from psycopg import pq

from steadypool.durable.address import PostgresAddress
from steadypool.durable.postgres.session import connection_string
from steadypool.words.clock import monotonic

TOPICS = ("work", "ends")
QUIET = 0.010
"""Seconds for which an engine object that told of work does not tell again."""
LOOK_AFTER = 0.015
"""Seconds after which a listener that was woken looks once more."""
RETRY_AFTER = 0.5
"""Seconds between two tries to connect."""
POLL = 0.5
"""Seconds between two looks while nothing can be told; more or less, so that many listeners do not look at once."""


class Sparing:
    """Decides which calls tell of work. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = float("-inf")

    def tells(self, now: float) -> bool:
        """Whether a call that begins now is to tell."""
        with self._lock:
            if now - self._told < QUIET:
                return False
            self._told = now
            return True

    def came_late(self, now: float) -> bool:
        """Whether a call that did not tell ended so late that nobody may be looking any more."""
        with self._lock:
            return now - self._told >= QUIET


class PostgresListener:
    """See `durable.engine.Listener`."""

    def __init__(self, address: PostgresAddress, topic: str) -> None:
        if topic not in TOPICS:
            raise ValueError(f"there are news of {' and of '.join(TOPICS)}, not of {topic!r}")
        self._address = address
        self._channel = f"{address.schema}.{topic}"
        self._shares_lock = topic == "ends"
        self._line: _Line | None = None
        self._retry_at = 0.0
        self._look_at: float | None = None
        self._inside, self._outside = os.pipe()
        os.set_blocking(self._inside, False)
        os.set_blocking(self._outside, False)
        self._pipe_lock = threading.Lock()
        self._closed = False

    def wait(self, seconds: float) -> None:
        """See `durable.engine.Listener.wait`."""
        until = monotonic() + max(0.0, seconds)
        if self._line is None:
            until = min(until, monotonic() + POLL * random.uniform(0.8, 1.2))
        while not self._look(until):
            pass

    def wake(self) -> None:
        """See `durable.engine.Listener.wake`."""
        with self._pipe_lock:
            if not self._closed:
                try:
                    os.write(self._outside, b"!")
                except BlockingIOError:
                    pass  # full of wake-ups

    def close(self) -> None:
        """See `durable.engine.Listener.close`."""
        with self._pipe_lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._inside)
            os.close(self._outside)
        self._hang_up()

    def _look(self, until: float) -> bool:
        """Wait for one thing to happen; whether that ends the wait."""
        now = monotonic()
        line = self._connected(now)
        ends = until if self._look_at is None else min(until, self._look_at)
        if line is None and not self._address.pooled:
            ends = min(ends, max(now, self._retry_at))
        poll = select.poll()
        poll.register(self._inside, select.POLLIN)
        if line is not None:
            poll.register(line.socket, line.events)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, ends - now) * 1000)}
        if self._inside in ready:
            os.read(self._inside, 4096)
            return True
        if line is not None and line.socket in ready and self._hear(line):
            self._look_at = monotonic() + LOOK_AFTER
            return True
        now = monotonic()
        if self._look_at is not None and now >= self._look_at:
            self._look_at = None
            return True
        return now >= until

    def _connected(self, now: float) -> _Line | None:
        if self._line is None and now >= self._retry_at and not self._address.pooled:
            try:
                self._line = _Line(self._address, self._channel, self._shares_lock)
            except psycopg.Error:
                self._retry_at = now + RETRY_AFTER
        return self._line

    def _hear(self, line: _Line) -> bool:
        try:
            return line.go_on()
        except psycopg.Error:
            self._hang_up()
            self._retry_at = monotonic() + RETRY_AFTER
            return True  # what was told while nobody listens is lost: look

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


class _Line:
    """A connection that listens, driven by whoever polls its socket."""

    def __init__(self, address: PostgresAddress, channel: str, shares_lock: bool) -> None:
        self._connection = pq.PGconn.connect_start(connection_string(address).encode())
        if self._connection.status == pq.ConnStatus.BAD:
            raise psycopg.OperationalError("cannot connect")
        # The lock says that somebody listens; it is given back when the session ends, whatever ends it.
        lock = f"; SELECT pg_advisory_lock_shared(hashtext('{channel}'))" if shares_lock else ""
        self._orders = f'LISTEN "{channel}"{lock}'.encode()
        self._is_up = False
        self._listens = False
        self.events = select.POLLOUT

    @property
    def socket(self) -> int:
        """What to poll, for `events`."""
        return self._connection.socket

    def go_on(self) -> bool:
        """The socket is ready; whether there is news: something was told, or we have just begun to listen.

        Raises:
            psycopg.Error: the connection is lost, or was not to be had.
        """
        if not self._is_up:
            self._go_on_connecting()
            return False
        self._connection.consume_input()
        began = not self._listens and self._has_begun()
        told = False
        while self._connection.notifies() is not None:
            told = True
        return began or told

    def close(self) -> None:
        self._connection.finish()

    def _go_on_connecting(self) -> None:
        status = self._connection.connect_poll()
        if status == pq.PollingStatus.FAILED:
            raise psycopg.OperationalError(self._connection.error_message.decode("utf-8", "replace"))
        if status == pq.PollingStatus.OK:
            self._is_up = True
            self._connection.send_query(self._orders)
            self.events = select.POLLIN
        else:
            self.events = select.POLLIN if status == pq.PollingStatus.READING else select.POLLOUT

    def _has_begun(self) -> bool:
        while not self._connection.is_busy():
            result = self._connection.get_result()
            if result is None:
                self._listens = True
                return True
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.OperationalError(result.error_message.decode("utf-8", "replace"))
        return False
