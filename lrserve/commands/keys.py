"""lrserve keys: who may call the API. Works on Redis itself, so that there is a first key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lrserve.options import AsJson
from lrserve.output import print_result, table

if TYPE_CHECKING:
    from lrcore.store.connection import Redis

app = typer.Typer(
    help="Keys of the API: create, list, revoke. They work on the Redis of LRSERVE_REDIS_URL, or of `lrserve up`.",
    no_args_is_help=True,
)

TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


def redis_of_settings() -> Redis:
    """The Redis that LRSERVE_REDIS_URL names, else the one that `lrserve up` runs. Raises typer.BadParameter."""
    from lrcore.service.settings import Settings
    from lrcore.store.connection import connect
    from lrserve.supervisor import REDIS_URL

    settings = Settings()
    if "redis_url" in settings.model_fields_set:
        return connect(settings.redis_url)
    try:
        return connect((settings.home_folder / REDIS_URL).read_text())
    except FileNotFoundError:
        message = f"no lrserve has run in {settings.home_folder}: start it, or set LRSERVE_REDIS_URL"
        raise typer.BadParameter(message) from None


def check_tenant(tenant: str, where: str) -> None:
    """Refuse what cannot be a tenant. Raises typer.BadParameter."""
    if not TENANT.fullmatch(tenant):
        raise typer.BadParameter("1 to 32 small letters, digits and -, not - first", param_hint=where)


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="whose it is: small letters, digits and -")],
    role: Annotated[
        Literal["read", "submit", "admin"],
        typer.Option(help="read; submit: and make, change, delete; admin: and keys, audit"),
    ] = "submit",
    name: Annotated[str, typer.Option(help="what it is for")] = "",
    days: Annotated[float | None, typer.Option(help="how long it is good for", min=0.001)] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its token, which is not shown again."""
    from lrcore.access.audit import AuditLog, Entry
    from lrcore.access.keys import KeyStore, Role, TooManyKeys

    check_tenant(tenant, "TENANT")
    redis = redis_of_settings()
    try:
        key, token = KeyStore(redis).create(tenant, Role(role), name, days)
    except TooManyKeys as error:
        raise typer.BadParameter(str(error)) from None
    AuditLog(redis).add(Entry(tenant, "cli", "POST", f"keys create --role {role}", f"/v1/keys/{key.id}"))
    print_result(key.model_dump(mode="json") | {"token": token}, token, as_json=as_json)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="of one tenant alone")] = None, as_json: AsJson = False
) -> None:
    """Show keys, without their secrets."""
    from lrcore.access.keys import KeyStore

    found = KeyStore(redis_of_settings()).all(tenant)
    head = ["id", "tenant", "role", "name", "created_at", "expires_at", "revoked_at"]
    shown = table(head, [[getattr(key, name) for name in head] for key in found])
    print_result(found, shown, as_json=as_json)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="as listed; also the middle of a token")], as_json: AsJson = False
) -> None:
    """Make a key useless, within five seconds."""
    from lrcore.access.audit import AuditLog, Entry
    from lrcore.access.keys import KeyNotFound, KeyStore

    redis = redis_of_settings()
    try:
        key = KeyStore(redis).revoke(key_id)
    except KeyNotFound as error:
        raise typer.BadParameter(str(error)) from None
    AuditLog(redis).add(Entry(key.tenant, "cli", "DELETE", "keys revoke", f"/v1/keys/{key.id}"))
    print_result(key, f"{key.id} of {key.tenant} is revoked", as_json=as_json)
