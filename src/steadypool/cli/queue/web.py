"""``steadypool web``: the pages of a durable queue, in a browser."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import click

from steadypool.cli.exit_codes import DONE, UsageError
from steadypool.cli.queue.target import as_usage_errors, load_queue, queue_at
from steadypool.durable.client.queue import Queue
from steadypool.durable.engine.url import URL_VARIABLE

PASSWORD_VARIABLE = "STEADYPOOL_WEB_PASSWORD"


@dataclass(frozen=True, slots=True)
class WebOptions:
    """The command line of ``steadypool web``."""

    target: str | None
    url: str | None
    host: str
    port: int
    read_only: bool
    show_arguments: bool
    password_file: str | None


@click.command("web")
@click.argument("target", metavar="[MODULE:QUEUE | URL]", required=False)
@click.option("--url", "-u", help="Where the jobs are, if the queue does not say (default: STEADYPOOL_URL).")
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, help="The port; 0 for a free one.")
@click.option("--read-only", is_flag=True, help="Show, and let nothing be changed.")
@click.option("--show-arguments", is_flag=True, help="Show the arguments of jobs, which are hidden otherwise.")
@click.option("--password-file", type=click.Path(dir_okay=False), help="The first line of this file is the password.")
def web_command(**given: Any) -> int:
    """Show a durable queue in a browser, and let it be changed there.

    \b
        steadypool web sqlite:///jobs.db
        steadypool web app:queue --read-only

    The browser asks for a name, steadypool, and a password: the one in STEADYPOOL_WEB_PASSWORD or --password-file, or
    a new one, which is printed. Other addresses than this machine's own need one that is given: what is sent is not
    encrypted, so put a proxy with TLS before it.

    \b
    Exit codes: 0   it was stopped, by Ctrl-C or SIGTERM
                2   the command line is wrong, or nothing can listen there
    """
    options = WebOptions(**given)
    queue = _queue_of(options.target, options.url)
    with as_usage_errors():
        serve: Any = import_module("steadypool.contrib.web.serve")
        http_server: Any = import_module("steadypool.contrib.http_server")
        given_password = _given_password(options.password_file)
        if given_password is None and not http_server.is_loopback(options.host):
            raise UsageError(
                f"--host {options.host} can be reached by others: give a password, by {PASSWORD_VARIABLE} or "
                "--password-file; or leave --host out, and have a proxy or ssh -L lead to 127.0.0.1"
            )
        password = given_password or serve.new_password()
        server = _listen(serve, queue, options, password)
    how = "with your password" if given_password else f"password {password}"
    click.echo(f"{server.url}/  user steadypool, {how}")
    sys.stdout.flush()
    return _serve(server)


def _queue_of(target: str | None, url: str | None) -> Queue:
    if target is None or "://" in target:
        with as_usage_errors():
            queue = queue_at(target or url or os.environ.get(URL_VARIABLE))
            if target and url:
                queue.use_address(url)
            return queue
    return load_queue(target, url)


def _given_password(password_file: str | None) -> str | None:
    """The one that was given; ``None``: none was.

    Raises:
        UsageError: the file cannot be read, or there is none in it.
    """
    if password_file is None:
        given = os.environ.get(PASSWORD_VARIABLE)
        if given == "":
            raise UsageError(f"{PASSWORD_VARIABLE} is empty: give a password, or unset it for one that is printed")
        return given
    try:
        text = Path(password_file).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read the password from {password_file}: {error}") from error
    password = text.split("\n", 1)[0].rstrip("\r")
    if not password:
        raise UsageError(f"there is no password in the first line of {password_file}")
    return password


def _listen(serve: Any, queue: Queue, options: WebOptions, password: str) -> Any:
    app = import_module("steadypool.contrib.web").dashboard(
        queue,
        access=serve.Password(password, options.host, options.read_only),
        arguments="shown" if options.show_arguments else "hidden",
    )
    try:
        return serve.server_of(app, options.host, options.port)
    except OSError as error:
        raise UsageError(str(error.strerror)) from error


def _serve(server: Any) -> int:
    log = logging.getLogger("steadypool.web")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, _stop)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    return DONE


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
