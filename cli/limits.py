"""lrserve limits: how much a tenant may have. Works on Redis itself."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.keys import TENANT, redis_of
from lrcore.jobs.audit import AuditLog, Entry
from lrcore.jobs.limits import ALL, LIMITS, LimitStore
from lrcore.jobs.settings import Settings

app = typer.Typer(help="Limits of tenants: show, set.", no_args_is_help=True)
out = Console()
Tenant = Annotated[str, typer.Option(help="all that have no limit of their own, if not given")]


@app.command()
def show(tenant: Tenant = ALL) -> None:
    """What holds for a tenant."""
    limits = LimitStore(redis_of(Settings())).of(tenant)
    table = Table("limit", "", "of")
    for name, meaning in LIMITS.items():
        table.add_row(name, f"{limits[name]:g}" if name in limits else "none", meaning)
    out.print(table)


@app.command("set")
def set_limits(
    values: Annotated[list[str], typer.Argument(help="name=number or name=none, such as queued=100")],
    tenant: Tenant = ALL,
) -> None:
    """Set limits; what holds already holds for new requests within five seconds."""
    if tenant != ALL and not TENANT.fullmatch(tenant):
        raise typer.BadParameter("1 to 32 small letters, digits and -, not - first", param_hint="--tenant")
    changes: dict[str, int | None] = {}
    for text in values:
        name, _, value = text.partition("=")
        if name not in LIMITS:
            raise typer.BadParameter(f"{name!r} is no limit; there are {', '.join(LIMITS)}")
        if value != "none" and not (value.isdigit() and int(value) > 0):
            raise typer.BadParameter(f"{name} must be a whole number above 0, or none")
        changes[name] = None if value == "none" else int(value)
    redis = redis_of(Settings())
    LimitStore(redis).change(tenant, changes)
    AuditLog(redis).add(Entry(tenant, "cli", "PUT", f"limits set {' '.join(values)}"))
