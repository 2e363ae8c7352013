"""lrserve keys: who may call the API. Works on Redis itself, so that there is a first key."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from redis import Redis
from rich.console import Console
from rich.table import Table

from cli.stack import REDIS_URL
from lrcore.jobs.audit import AuditLog, Entry
from lrcore.jobs.connection import connect
from lrcore.jobs.keys import KeyNotFound, KeyStore, Role
from lrcore.jobs.settings import Settings

app = typer.Typer(help="Keys of the API: create, list, revoke.", no_args_is_help=True)
out = Console()

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


def redis_of(settings: Settings) -> Redis:
    """The Redis that LRSERVE_REDIS_URL names, else the one that `lrserve up` runs."""
    if "redis_url" in settings.model_fields_set:
        return connect(settings.redis_url)
    try:
        return connect((settings.home_folder / REDIS_URL).read_text())
    except FileNotFoundError:
        message = f"no lrserve has run in {settings.home_folder}: start it, or set LRSERVE_REDIS_URL"
        raise typer.BadParameter(message) from None


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="whose it is: small letters, digits and -")],
    role: Annotated[
        Role, typer.Option(help="read; submit: and make, change, delete; admin: and keys, audit")
    ] = Role.SUBMIT,
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    days: Annotated[float | None, typer.Option(help="how long it is good for", min=0.001)] = None,
) -> None:
    """Make a key and print its token, which is not told again."""
    if not TENANT.fullmatch(tenant):
        raise typer.BadParameter("1 to 32 small letters, digits and -, not - first", param_hint="TENANT")
    redis = redis_of(Settings())
    key, token = KeyStore(redis).create(tenant, role, name, days)
    AuditLog(redis).add(Entry(tenant, "cli", "POST", "keys create", f"/v1/keys/{key.id}"))
    print(token)


@app.command("list")
def list_keys(tenant: Annotated[str | None, typer.Option(help="of one tenant alone")] = None) -> None:
    """Show keys, without their secrets."""
    table = Table("id", "tenant", "role", "name", "created", "expires", "revoked")
    for key in KeyStore(redis_of(Settings())).all(tenant):
        row = key.id, key.tenant, key.role, key.name, key.created_at, key.expires_at or "", key.revoked_at or ""
        table.add_row(*map(str, row))
    out.print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="as listed; also the middle of a token")]) -> None:
    """Make a key useless, within five seconds."""
    redis = redis_of(Settings())
    try:
        key = KeyStore(redis).revoke(key_id)
    except KeyNotFound as error:
        raise typer.BadParameter(str(error)) from None
    AuditLog(redis).add(Entry(key.tenant, "cli", "DELETE", "keys revoke", f"/v1/keys/{key.id}"))
    print(f"{key.id} of {key.tenant} is revoked")
