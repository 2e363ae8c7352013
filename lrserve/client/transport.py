"""How calls are made: when one is sent again, and the two ways to wait for an answer.

Everything is written once, as coroutines. Those of SyncTransport block where others wait, and need no event loop.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from lrserve.client.calls import Call, Flow
from lrserve.client.errors import ApiError, NoAnswer

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds, where the server names none


@dataclass(frozen=True)
class Patience:
    """How long a call is tried.

    Attributes:
        retries: how many times at most it is sent again.
        seconds: of pauses in all, beyond which nothing is sent again.
    """

    retries: int = 4
    seconds: float = 60.0


def no_answer(error: httpx.TransportError | httpx.InvalidURL) -> NoAnswer:
    """The error of a request that came to nothing."""
    if isinstance(error, httpx.InvalidURL):
        return NoAnswer(f"this is no URL: {error}")
    url = error.request.url
    return NoAnswer(f"{url.scheme}://{url.netloc.decode()} does not answer: {error or type(error).__name__}")


def parsed(call: Call[T], response: httpx.Response) -> T:
    """What an answer says. Raises ApiError if it is none of lrserve's."""
    try:
        return call.parse(response)
    except (ValueError, KeyError, TypeError) as error:
        raise ApiError(f"{response.url} answered {response.status_code}, and not as lrserve would: {error}") from error


def pause(retry: int, asked: float | None) -> float:
    """Seconds before the next attempt: those the server asks for, else doubling ones that differ between clients."""
    if asked is not None:
        return asked
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2**retry) * random.uniform(0.5, 1))


def refusal(response: httpx.Response) -> ApiError:
    """The error that an answer says."""
    try:
        problem = json.loads(response.content)
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.get("errors") or []]
        message = "\n".join([f"{problem['title']} ({response.status_code})", *(lines or [problem["detail"]])])
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"{response.url} answered {response.status_code}, and not as lrserve would"
        return ApiError(message, retry_after=_retry_after(response))
    return ApiError(message, problem, _retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    """Its seconds; a date, which lrserve does not send, counts as none."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


class _Transport:
    """What both ways to make calls have in common."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._kept: dict[str, Any] = {}

    async def _result(self, asked: Call[T] | Flow[T]) -> T:
        """The result. Raises ApiError, and what a flow raises."""
        if isinstance(asked, Call):
            return await self._answered(asked)
        try:
            call = next(asked)
            while True:
                try:
                    outcome = await self._outcome(call)
                except Exception as error:
                    call = asked.throw(error)
                else:
                    call = asked.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _outcome(self, call: Call[Any]) -> Any:
        """What a call of a flow comes to."""
        if not call.kept:
            return await self._answered(call)
        if call.path not in self._kept:
            self._kept[call.path] = await self._answered(call)
        return self._kept[call.path]

    async def _answered(self, call: Call[T]) -> T:
        """Send a call until it is answered for good. Raises ApiError."""
        waited = 0.0
        for retry in range(self.patience.retries + 1):
            try:
                response = await self._send(call)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                fault: ApiError = no_answer(error)
                again = call.repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                again = again and not isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol)
            else:
                if response.is_success:
                    return parsed(call, response)
                fault = refusal(response)
                again = response.status_code == 429 or (response.status_code == 503 and call.repeatable)
            wait = pause(retry, fault.retry_after)
            if call.eager or not again or retry == self.patience.retries or waited + wait > self.patience.seconds:
                raise fault
            await self._sleep(wait)
            waited += wait
        raise AssertionError  # the last attempt returns or raises

    async def _send(self, call: Call[Any]) -> httpx.Response:
        """Send a call's request once."""
        raise NotImplementedError

    async def _sleep(self, seconds: float) -> None:
        """Do nothing for some seconds."""
        raise NotImplementedError


class SyncTransport(_Transport):
    """Makes calls and waits for them."""

    def __init__(self, http: httpx.Client, patience: Patience) -> None:
        super().__init__(patience)
        self.http = http

    def run(self, asked: Call[T] | Flow[T]) -> T:
        """The result. Raises ApiError, and what a flow raises."""
        return _run_to_end(self._result(asked))

    async def _send(self, call: Call[Any]) -> httpx.Response:
        with self.http.stream(**call.arguments()) as response:
            if call.into is not None and response.is_success:
                with call.into.open("wb") as out:
                    for chunk in response.iter_bytes():
                        out.write(chunk)
            else:
                response.read()
        return response

    async def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class AsyncTransport(_Transport):
    """Makes calls while the event loop goes on."""

    def __init__(self, http: httpx.AsyncClient, patience: Patience) -> None:
        super().__init__(patience)
        self.http = http

    async def run(self, asked: Call[T] | Flow[T]) -> T:
        """The result. Raises ApiError, and what a flow raises."""
        return await self._result(asked)

    async def _send(self, call: Call[Any]) -> httpx.Response:
        async with self.http.stream(**call.arguments()) as response:
            if call.into is not None and response.is_success:
                with call.into.open("wb") as out:  # a chunk goes to the page cache, in less time than a thread takes
                    async for chunk in response.aiter_bytes():
                        out.write(chunk)
            else:
                await response.aread()
        return response

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for an event loop")
