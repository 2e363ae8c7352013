"""lrserve limits: how much a tenant may have. Works on Redis itself."""

from __future__ import annotations

from typing import Annotated

import typer

from lrserve.commands.keys import check_tenant, redis_of_settings
from lrserve.options import AsJson
from lrserve.output import print_json, print_result, table

app = typer.Typer(
    help="Limits of tenants: show, set. They work on the Redis of LRSERVE_REDIS_URL, or of `lrserve up`.",
    no_args_is_help=True,
)
ALL = "*"  # every tenant that has no limit of its own, as lrcore.access.limits has it
Tenant = Annotated[str, typer.Option(help="all that have no limit of their own, if not given")]


@app.command()
def show(tenant: Tenant = ALL, as_json: AsJson = False) -> None:
    """What holds for a tenant."""
    from lrcore.access.limits import LIMITS, LimitStore

    limits = LimitStore(redis_of_settings()).of(tenant)
    rows = [(name, f"{limits[name]:g}" if name in limits else "none", meaning) for name, meaning in LIMITS.items()]
    found = {name: limits.get(name) for name in LIMITS}
    print_result(found, table(["limit", "", "of"], rows), as_json=as_json)


@app.command("set")
def set_limits(
    values: Annotated[list[str], typer.Argument(help="name=number or name=none, such as queued=100")],
    tenant: Tenant = ALL,
    as_json: AsJson = False,
) -> None:
    """Set limits. They hold for jobs at once, and for requests within five seconds."""
    from lrcore.access.audit import AuditLog, Entry
    from lrcore.access.limits import LIMITS, LimitStore

    if tenant != ALL:
        check_tenant(tenant, "--tenant")
    changes: dict[str, int | None] = {}
    for text in values:
        name, _, value = text.partition("=")
        if name not in LIMITS:
            raise typer.BadParameter(f"{name!r} is no limit; there are {', '.join(LIMITS)}")
        if value != "none" and not (value.isdigit() and int(value) > 0):
            raise typer.BadParameter(f"{name} must be a whole number above 0, or none")
        changes[name] = None if value == "none" else int(value)
    redis = redis_of_settings()
    LimitStore(redis).change(tenant, changes)
    AuditLog(redis).add(Entry(tenant, "cli", "PUT", f"limits set {' '.join(values)}"))
    if as_json:
        print_json({"tenant": tenant} | changes)
