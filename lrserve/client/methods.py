"""Methods that both clients and both handles share: each is a function that makes a call.

A class with `curve = Method(curves.curve)` has a method `curve` with that function's parameters. On an object whose
`_run` waits for the answer it returns the call's result, on one whose `_run` is a coroutine an awaitable of it; a type
checker sees which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from lrcore.jobs.job import Job
from lrserve.client.calls import Call, Flow, Page
from lrserve.client.transport import AsyncTransport, SyncTransport

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
A = TypeVar("A")


class Blocking:
    """Whatever waits for answers. `_bound` are the first arguments of all its calls."""

    _transport: SyncTransport
    _bound: tuple[str, ...] = ()

    def _run(self, asked: Call[T] | Flow[T]) -> T:
        return self._transport.run(asked)


class Awaiting:
    """Whatever returns awaitables."""

    _transport: AsyncTransport
    _bound: tuple[str, ...] = ()

    async def _run(self, asked: Call[T] | Flow[T]) -> T:
        return await self._transport.run(asked)


class _ClientMethod(Generic[P, S, A]):
    """A method with the parameters of a function that makes a call.

    It returns S on a Blocking object, and A on an Awaiting one.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self.__doc__, self.__wrapped__ = make.__doc__, make

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, S]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: type[Any]) -> Callable[P, A]: ...

    def __get__(self, instance: Blocking | Awaiting | None, owner: type[Any]) -> Any:
        if instance is None:
            return self
        answer: Callable[..., Any] = self._of_blocking if isinstance(instance, Blocking) else self._of_awaiting

        @wraps(self._make)
        def method(*arguments: Any, **options: Any) -> Any:
            return answer(instance, *arguments, **options)

        return method

    def _of_blocking(self, instance: Blocking, *arguments: Any, **options: Any) -> S:
        raise NotImplementedError

    def _of_awaiting(self, instance: Awaiting, *arguments: Any, **options: Any) -> A:
        raise NotImplementedError


class Method(_ClientMethod[P, T, Awaitable[T]]):
    """A method that returns what a call comes to."""

    def __init__(self, make: Callable[P, Call[T] | Flow[T]]) -> None:
        super().__init__(make)

    def _of_blocking(self, instance: Blocking, *arguments: Any, **options: Any) -> T:
        result: T = instance._run(self._make(*instance._bound, *arguments, **options))
        return result

    def _of_awaiting(self, instance: Awaiting, *arguments: Any, **options: Any) -> Awaitable[T]:
        return instance._run(self._make(*instance._bound, *arguments, **options))


class BoundMethod(Method[P, T]):
    """The same of a handle, which gives the job's id."""

    def __init__(self, make: Callable[Concatenate[str, P], Call[T] | Flow[T]]) -> None:
        super().__init__(make)  # type: ignore[arg-type]  # the method gives the first argument


class Maker(_ClientMethod[P, S, Awaitable[A]]):
    """A method that makes a job and returns its handle.

    Args:
        blocking: makes the handle of a Blocking object.
        awaiting: that of an Awaiting one.
    """

    def __init__(
        self,
        make: Callable[P, Call[Job] | Flow[Job]],
        blocking: Callable[[SyncTransport, Job], S],
        awaiting: Callable[[AsyncTransport, Job], A],
    ) -> None:
        super().__init__(make)
        self._blocking, self._awaiting = blocking, awaiting

    def _of_blocking(self, instance: Blocking, *arguments: Any, **options: Any) -> S:
        job = instance._run(self._make(*instance._bound, *arguments, **options))
        return self._blocking(instance._transport, job)

    async def _of_awaiting(self, instance: Awaiting, *arguments: Any, **options: Any) -> A:
        job = await instance._run(self._make(*instance._bound, *arguments, **options))
        return self._awaiting(instance._transport, job)


class BoundMaker(Maker[P, S, A]):
    """The same of a handle, which gives the job's id."""

    def __init__(
        self,
        make: Callable[Concatenate[str, P], Call[Job] | Flow[Job]],
        blocking: Callable[[SyncTransport, Job], S],
        awaiting: Callable[[AsyncTransport, Job], A],
    ) -> None:
        super().__init__(make, blocking, awaiting)  # type: ignore[arg-type]  # the method gives the first argument


class Listing(_ClientMethod[P, Iterator[T], AsyncIterator[T]]):
    """A method that iterates over all of a list, and fetches its pages when they are reached.

    Args:
        make: its first parameter is the cursor of a page, None for the first.
    """

    def __init__(self, make: Callable[Concatenate[str | None, P], Call[Page[T]]]) -> None:
        super().__init__(make)

    def _of_blocking(self, instance: Blocking, *arguments: Any, **options: Any) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page: Page[T] = instance._run(self._make(cursor, *arguments, **options))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    async def _of_awaiting(self, instance: Awaiting, *arguments: Any, **options: Any) -> AsyncIterator[T]:
        cursor: str | None = None
        while True:
            page: Page[T] = await instance._run(self._make(cursor, *arguments, **options))
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return
