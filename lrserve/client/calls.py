"""What is asked of a server, said once for all clients: requests that know how their answers are read.

A Call is one request. A Flow is a generator that yields Calls, is sent what they came to, and returns its own result.
Neither does any I/O: lrserve.client.transport does, in a thread's time or an event loop's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
import numpy as np
from pydantic import BaseModel

from lrserve.client.errors import ApiError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=BaseModel)

SpecLike = Mapping[str, Any] | BaseModel  # JSON as a dict, or a spec object of lrcore


@dataclass(frozen=True)
class Call(Generic[T_co]):
    """One request.

    Attributes:
        parse: makes the result of a successful answer. May raise ValueError, KeyError and TypeError.
        repeatable: whether it may be sent again when it is not known what became of it.
        eager: whether the first failure is the answer, whatever the client's patience.
        timeout: seconds to wait for bytes, if the client's own do not fit.
        into: file to write the body of a successful answer into.
        kept: whether the flows of a client make it once and keep the result.
    """

    method: str
    path: str
    parse: Callable[[httpx.Response], T_co]
    params: dict[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    repeatable: bool = True
    eager: bool = False
    timeout: float | None = None
    into: Path | None = None
    kept: bool = False

    def arguments(self) -> dict[str, Any]:
        """For httpx.Client.build_request."""
        headers = self.headers | ({} if self.body is None else {"Content-Type": "application/json"})
        given: dict[str, Any] = {"method": self.method, "url": self.path, "params": self.params, "headers": headers}
        if self.body is not None:
            given["content"] = self.body
        if self.timeout is not None:
            given["timeout"] = self.timeout
        return given


Flow = Generator[Call[Any], Any, T_co]


def path(*parts: str | int) -> str:
    """A path under /v1; what is in the parts stays in them."""
    return "/".join(["/v1", *(quote(str(part), safe="") for part in parts)])


def given(**values: Any) -> dict[str, Any]:
    """The values that there are."""
    return {name: value for name, value in values.items() if value is not None}


def as_json(value: Any) -> bytes:
    """A body. Raises ApiError if the value is no JSON, as NaN is not."""
    try:
        return json.dumps(plain(value), allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ApiError(f"this cannot be sent as JSON: {error}") from error


def plain(value: Any) -> Any:
    """Spec objects, arrays and tuples within a value as dicts and lists."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def model(cls: type[M]) -> Callable[[httpx.Response], M]:
    """Reads an answer as an object of a class."""
    return lambda response: cls.model_validate(response.json())


def list_of(cls: type[M], name: str) -> Callable[[httpx.Response], list[M]]:
    """Reads a list of such objects, which stands under a name in the answer."""
    return lambda response: [cls.model_validate(each) for each in response.json()[name]]


def page_of(cls: type[M], name: str) -> Callable[[httpx.Response], Page[M]]:
    """Reads one page of such a list."""
    items = list_of(cls, name)
    return lambda response: Page(items(response), response.json()["next_cursor"])


def content(response: httpx.Response) -> bytes:
    """Reads an answer as it is."""
    return response.content


def nothing(response: httpx.Response) -> None:
    """Reads an answer that says nothing."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list, and the cursor of the next; None on the last page."""

    items: list[T]
    next_cursor: str | None
