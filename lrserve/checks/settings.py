"""The environment: variables that nobody reads, values without sense, and those that contradict each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from pydantic import ValidationError

from lrcore.errors import message
from lrcore.service import traces
from lrcore.text import did_you_mean
from lrserve.api.settings import ApiSettings
from lrserve.checks import Finding, ok, problem, warning

PREFIX = "LRSERVE_"
OWN = ("LRSERVE_URL", "LRSERVE_KEY")  # of the commands that talk to a server
KNOWN = (*(PREFIX + name.upper() for name in ApiSettings.model_fields), *OWN)


def read(environment: Mapping[str, str] = os.environ) -> tuple[ApiSettings, list[Finding]]:
    """The settings without those that have no sense, and what is to be said of all of them."""
    given = [name for name in environment if name.upper().startswith(PREFIX)]
    wrong: dict[str, str] = {}
    try:
        settings = ApiSettings()
    except ValidationError as error:
        wrong = {_field(each["loc"]): message(each) for each in error.errors()}
        settings = _without(wrong)
    found = [
        problem("settings", f"{PREFIX}{name.upper()}: {message}", "correct it, or unset it: its default is used then")
        for name, message in wrong.items()
    ]
    found += [_unknown(name) for name in sorted(given) if name.upper() not in KNOWN]
    found += _contradictions(settings, environment)
    if not found:
        found = [ok("settings", f"LRSERVE_ variables that are set: {len(given)}, and all are understood")]
    return settings, found


def _field(loc: tuple[int | str, ...]) -> str:
    """The name of a setting from the place of an error: one inside of a value names the value."""
    return str(loc[0]).lower().removeprefix(PREFIX.lower()) if loc else ""


def _without(wrong: Mapping[str, str]) -> ApiSettings:
    defaults = {name: field.get_default() for name, field in ApiSettings.model_fields.items() if name in wrong}
    settings = ApiSettings(**defaults)
    settings.model_fields_set.difference_update(wrong)  # nobody has chosen these
    return settings


def _unknown(name: str) -> Finding:
    return warning(
        "settings",
        f"{name} is no setting of lrserve, and has no effect",
        did_you_mean(name, KNOWN, cutoff=0.75) or "unset it; docs/settings.md lists them all",
    )


def _contradictions(settings: ApiSettings, environment: Mapping[str, str]) -> Iterator[Finding]:
    lease, beat = settings.lease_seconds, settings.heartbeat_seconds
    if beat >= lease:
        yield problem(
            "settings",
            f"LRSERVE_HEARTBEAT_SECONDS ({beat:g}) is not less than LRSERVE_LEASE_SECONDS ({lease:g}): workers lose "
            "jobs that they train",
            "make the lease at least three heartbeats long",
        )
    elif 3 * beat > lease:
        yield warning(
            "settings",
            f"LRSERVE_LEASE_SECONDS ({lease:g}) is less than three heartbeats ({beat:g}): one that is late costs a job "
            "its worker",
            "make the lease at least three heartbeats long",
        )
    if settings.stall_seconds <= beat:
        yield problem(
            "settings",
            f"LRSERVE_STALL_SECONDS ({settings.stall_seconds:g}) is not more than LRSERVE_HEARTBEAT_SECONDS ({beat:g})",
            "give a job at least a minute before its worker is taken to stand still",
        )
    if settings.reap_seconds > lease:
        yield warning(
            "settings",
            f"LRSERVE_REAP_SECONDS ({settings.reap_seconds:g}) is more than the lease ({lease:g}): lost jobs wait "
            "longer than they need",
            "a few seconds are enough",
        )
    if settings.auth is False and "*" in settings.cors_origins:
        yield problem(
            "settings",
            "LRSERVE_AUTH is false and LRSERVE_CORS_ORIGINS has *: any web page can "
            "read everything through a user's browser",
            "name the origins, or ask for keys",
        )
    if settings.auth is False and "*" in settings.allowed_hosts:
        yield problem(
            "settings",
            "LRSERVE_AUTH is false and LRSERVE_ALLOWED_HOSTS has *: a web page whose name resolves to this machine can "
            "do everything (DNS rebinding)",
            "name the hosts, or ask for keys",
        )
    if traces.wanted(environment) and not traces.installed():
        yield problem(
            "settings", "OTEL_ variables ask for traces, but the packages are missing", "pip install 'lrserve[otel]'"
        )
    if environment.get("MLFLOW_TRACKING_URI") and find_spec("torch") and not find_spec("mlflow"):
        yield warning("settings", "MLFLOW_TRACKING_URI is set, but mlflow is missing", "pip install 'lrserve[mlflow]'")
