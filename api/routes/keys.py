"""Keys of the caller's tenant, and who has done what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from lrcore.access.audit import AuditLog
from lrcore.access.keys import MOST_KEYS, Key, KeyNotFound, KeyStore, Role
from lrcore.family import Number, Spec

from ..dependencies import Who, json_body, of_app
from ..documented import DocumentedRoute, documented, refuses

router = APIRouter(route_class=DocumentedRoute, prefix="/v1", tags=["keys"])


class KeyRequest(Spec):
    """A key that is wanted."""

    role: Annotated[Role, Field(strict=False)]
    name: str = Field("", max_length=200, description="what it is for")
    days: Annotated[Number, Field(gt=0, le=36_500)] | None = Field(None, description="how long it is good for")


class NewKey(Key):
    """A new key, with its token."""

    token: str = Field(repr=False, description="for `Authorization: Bearer`; it is not shown again")


class KeyList(BaseModel):
    """Keys of a tenant."""

    keys: list[Key] = Field(description="oldest first, revoked ones included")


class AuditEntry(BaseModel):
    """Something that was done."""

    at: str = Field(description="RFC 3339, UTC")
    tenant: str
    key: str = Field(description="id of the key; cli for the operator's command line; api for the first start")
    method: str
    path: str
    made: str = Field(description="path of what was made, or an empty string")
    client: str = Field(description="address of the caller")


class Audit(BaseModel):
    """What was done in a tenant."""

    entries: list[AuditEntry] = Field(description="newest first")


@refuses(403)
def _keys_in_use(request: Request) -> None:
    """Raise 403 while no keys are asked for: nobody could tell who has made or revoked one."""
    if not request.app.state.auth:
        raise HTTPException(
            403,
            "Keys are not made or revoked over HTTP while LRSERVE_AUTH is false, since anybody could. "
            "Use `lrserve keys create` and `lrserve keys revoke`, or set LRSERVE_AUTH=true",
        )


Keys = Annotated[KeyStore, of_app("keys", 503)]


@router.get("/keys", summary="List keys")
def list_keys(keys: Keys, who: Who) -> KeyList:
    """Without their secrets, which nobody has."""
    return KeyList(keys=keys.all(who.tenant))


@router.post(
    "/keys",
    status_code=201,
    summary="Make a key",
    dependencies=[Depends(_keys_in_use), Depends(json_body)],
    responses=documented(_409=f"There are {MOST_KEYS} good keys of the tenant already"),
)
def create_key(wanted: KeyRequest, keys: Keys, who: Who, response: Response) -> NewKey:
    """For the caller's tenant. `role`: read; submit, which also makes, changes and deletes; admin, which also this."""
    key, token = keys.create(who.tenant, wanted.role, wanted.name, wanted.days)
    response.headers["Location"] = f"/v1/keys/{key.id}"  # so that the audit stream says which
    return NewKey(**vars(key), token=token)


@router.delete(
    "/keys/{key_id}",
    status_code=204,
    summary="Revoke a key",
    dependencies=[Depends(_keys_in_use)],
    responses=documented(404),
)
def revoke_key(key_id: str, keys: Keys, who: Who) -> None:
    """It is refused within five seconds, and stays in the list."""
    if keys.get(key_id).tenant != who.tenant:
        raise KeyNotFound(key_id)
    keys.revoke(key_id)


@router.get("/audit", summary="Who has done what")
def get_audit(
    log: Annotated[AuditLog, of_app("audit", 503)], who: Who, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Audit:
    """What keys of the tenant have made, changed and deleted with success; not who has looked."""
    return Audit(entries=[AuditEntry.model_validate(entry) for entry in log.last(limit, who.tenant)])
