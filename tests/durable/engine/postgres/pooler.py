"""A real PgBouncer, in transaction mode, in front of a test's server.

`get_pgbouncer.sh` has unpacked it beside the packages of the tests, where Debian has it; ``STEADYPOOL_TEST_PGBOUNCER``
names another.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.pools.contract.stage import WAIT

UNPACKED = Path(sys.prefix, "pgbouncer")
SESSIONS = 3
"""How many sessions of the server all clients share."""


def program() -> str | None:
    """Where it is."""
    unpacked = UNPACKED / "usr/sbin/pgbouncer"
    found = os.environ.get("STEADYPOOL_TEST_PGBOUNCER") or shutil.which("pgbouncer")
    return found or (str(unpacked) if (UNPACKED / "done").exists() else None)


@contextmanager
def pooler(program: str, url: str, *, more: str = "") -> Iterator[str]:
    """The address of the database at *url* by way of it; *more* stands in its settings, too."""
    far = psycopg.conninfo.conninfo_to_dict(url)
    with tempfile.TemporaryDirectory(prefix="sp-pgb-", dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        config = Path(folder, "ini")
        config.write_text(
            f"[databases]\n* = host={far['host']} port={far.get('port', 5432)} user={far['user']}\n"
            f"[pgbouncer]\nlisten_addr =\nunix_socket_dir = {folder}\nlisten_port = 6432\nauth_type = any\n"
            f"pool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 100\n{more}\n"
        )
        config.chmod(0o644)
        as_nobody = ["--user=nobody"] if os.geteuid() == 0 else []
        libraries = ":".join(map(str, sorted({path.parent for path in UNPACKED.rglob("lib*.so.*")})))
        process = subprocess.Popen(
            [program, *as_nobody, str(config)],
            env=os.environ | ({"LD_LIBRARY_PATH": libraries} if libraries else {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + WAIT
            while not _answers(Path(folder, ".s.PGSQL.6432")):
                assert process.poll() is None and time.monotonic() < until, "pgbouncer has not started"
            yield f"postgresql://{far['user']}@:6432/{far['dbname']}?host={quote(folder, safe='')}"
        finally:
            process.terminate()
            process.wait(WAIT)


def _answers(path: Path) -> bool:
    """Whether it takes connections: its socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as end:
        return end.connect_ex(str(path)) == 0
