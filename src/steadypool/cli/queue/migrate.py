"""``steadypool migrate``: the tables of a durable queue."""

from __future__ import annotations

import click

from steadypool.cli.exit_codes import DONE, SOME_FAILED
from steadypool.cli.queue.target import as_usage_errors, queue_at
from steadypool.durable.engine.open import roles_sql


@click.command("migrate")
@click.argument("url", required=False, envvar="STEADYPOOL_URL", metavar="URL")
@click.option("--show", is_flag=True, help="Print the statements that would run, and change nothing.")
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if there is something to do.")
@click.option("--roles", is_flag=True, help="Print the SQL that makes roles with the least rights (PostgreSQL).")
def migrate_command(url: str | None, show: bool, check: bool, roles: bool) -> int:
    """Make the tables of the queue at URL, or bring them up to date.

    \b
        steadypool migrate sqlite:///jobs.db
        steadypool migrate --roles postgresql:///shop | psql -d shop

    "steadypool work" does so itself on an empty database. Workers of the version before go on working meanwhile.

    \b
    Exit codes: 0   done, or nothing to do
                1   --check: there is something to do
                2   the address is wrong, or the tables are of a later version
    """
    queue = queue_at(url)
    if roles:
        with as_usage_errors():
            click.echo(roles_sql(queue.url), nl=False)
        return DONE
    with as_usage_errors():
        engine = queue.engine
        schema = engine.schema() if show or check else engine.migrate()
    if show:
        for statement in schema.pending:
            click.echo(f"{' '.join(statement.split())};")
    elif check:
        click.echo(f"version {schema.found} of {schema.wanted}: {len(schema.pending)} statements to run")
        return SOME_FAILED if schema.pending else DONE
    elif schema.pending:
        click.echo(f"from version {schema.found} to {schema.wanted}: {len(schema.pending)} statements run")
    else:
        click.echo(f"nothing to do: the tables have version {schema.wanted}")
    if not show and not check and (advisory := engine.take_advisory()):
        click.echo(f"note: {advisory}", err=True)
    return DONE
