"""``steadypool import-celery-beat``: what a schedule of Celery beat is here."""

from __future__ import annotations

import click

from steadypool.cli.exit_codes import DONE, SOME_FAILED
from steadypool.cli.queue.beat_entry import Written, module, written
from steadypool.cli.queue.beat_source import from_database, from_module
from steadypool.cli.queue.target import as_usage_errors
from steadypool.durable.client.schedule import Cron
from steadypool.durable.engine.errors import PayloadRefused
from steadypool.model.printable import printable


@click.command("import-celery-beat")
@click.argument("source", metavar="SOURCE")
@click.option("--tz", metavar="ZONE", help="The zone of crontabs without one of their own.")
def import_beat_command(source: str, tz: str | None) -> int:
    """Translate a schedule of Celery beat into Python to paste.

    \b
        steadypool import-celery-beat shop.celery:app
        steadypool import-celery-beat shop.settings:BEAT_SCHEDULE --tz Europe/Berlin
        steadypool import-celery-beat postgresql:///shop

    SOURCE is an app, a mapping, or the database of django-celery-beat, which is only read. Tasks are named as in
    Celery. What differs here is refused, each entry with its reason, on standard error.

    \b
    Exit codes: 0   every entry is there
                1   some were refused
                2   SOURCE cannot be read
    """
    with as_usage_errors():
        Cron("@daily", tz=tz or "UTC")
    in_database = "://" in source
    entries, zone = (from_database(source), "UTC") if in_database else from_module(source)
    found: list[Written] = []
    code = DONE
    for name, read in entries:
        try:
            found.append(written(name, read(), tz or zone))
        except (ValueError, TypeError, LookupError, ArithmeticError, PayloadRefused) as error:
            click.echo(f"refused {printable(name)}: {printable(str(error))}", err=True)
            code = SOME_FAILED
    for line in module(found, as_data=in_database):
        click.echo(line)
    return code
