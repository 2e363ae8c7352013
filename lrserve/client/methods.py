"""Methods that both clients and both handles share: each is a function that makes a call.

A class with `curve = Method(curves.curve)` has a method `curve` with that function's parameters. On an object whose
`_run` waits for the answer it returns the call's result, on one whose `_run` is a coroutine an awaitable of it; a type
checker sees which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

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


class Method(Generic[P, T]):
    """A method that returns what a call comes to."""

    def __init__(self, make: Callable[P, Call[T] | Flow[T]]) -> None:
        self._make: Callable[..., Call[T] | Flow[T]] = make
        self.__doc__, self.__wrapped__ = make.__doc__, make

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Method[P, T]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: type[Any]) -> Callable[P, Awaitable[T]]: ...

    def __get__(self, instance: Blocking | Awaiting | None, owner: type[Any]) -> Any:
        if instance is None:
            return self

        @wraps(self._make)
        def method(*arguments: Any, **options: Any) -> Any:
            return instance._run(self._make(*instance._bound, *arguments, **options))

        return method


class BoundMethod(Method[P, T]):
    """The same of a handle, which gives the job's id."""

    def __init__(self, make: Callable[Concatenate[str, P], Call[T] | Flow[T]]) -> None:
        super().__init__(make)  # type: ignore[arg-type]  # __get__ gives the first argument


class Maker(Generic[P, S, A]):
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
        self._make: Callable[..., Call[Job] | Flow[Job]] = make
        self._blocking, self._awaiting = blocking, awaiting
        self.__doc__, self.__wrapped__ = make.__doc__, make

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Maker[P, S, A]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, S]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: type[Any]) -> Callable[P, Awaitable[A]]: ...

    def __get__(self, instance: Blocking | Awaiting | None, owner: type[Any]) -> Any:
        if instance is None:
            return self
        if isinstance(instance, Blocking):
            return self._of_blocking(instance)
        return self._of_awaiting(instance)

    def _of_blocking(self, instance: Blocking) -> Callable[..., S]:
        @wraps(self._make)
        def method(*arguments: Any, **options: Any) -> S:
            job = instance._run(self._make(*instance._bound, *arguments, **options))
            return self._blocking(instance._transport, job)

        return method

    def _of_awaiting(self, instance: Awaiting) -> Callable[..., Awaitable[A]]:
        @wraps(self._make)
        async def method(*arguments: Any, **options: Any) -> A:
            job = await instance._run(self._make(*instance._bound, *arguments, **options))
            return self._awaiting(instance._transport, job)

        return method


class BoundMaker(Maker[P, S, A]):
    """The same of a handle, which gives the job's id."""

    def __init__(
        self,
        make: Callable[Concatenate[str, P], Call[Job] | Flow[Job]],
        blocking: Callable[[SyncTransport, Job], S],
        awaiting: Callable[[AsyncTransport, Job], A],
    ) -> None:
        super().__init__(make, blocking, awaiting)  # type: ignore[arg-type]  # __get__ gives the first argument


class Listing(Generic[P, T]):
    """A method that iterates over all of a list, and fetches its pages when they are reached.

    Args:
        make: its first parameter is the cursor of a page, None for the first.
    """

    def __init__(self, make: Callable[Concatenate[str | None, P], Call[Page[T]]]) -> None:
        self._make: Callable[..., Call[Page[T]]] = make
        self.__doc__, self.__wrapped__ = make.__doc__, make

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Listing[P, T]: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Awaiting, owner: type[Any]) -> Callable[P, AsyncIterator[T]]: ...

    def __get__(self, instance: Blocking | Awaiting | None, owner: type[Any]) -> Any:
        if instance is None:
            return self
        return self._of_blocking(instance) if isinstance(instance, Blocking) else self._of_awaiting(instance)

    def _of_blocking(self, instance: Blocking) -> Callable[..., Iterator[T]]:
        def method(*arguments: Any, **options: Any) -> Iterator[T]:
            cursor: str | None = None
            while True:
                page = instance._run(self._make(cursor, *arguments, **options))
                yield from page.items
                if (cursor := page.next_cursor) is None:
                    return

        return method

    def _of_awaiting(self, instance: Awaiting) -> Callable[..., AsyncIterator[T]]:
        async def method(*arguments: Any, **options: Any) -> AsyncIterator[T]:
            cursor: str | None = None
            while True:
                page = await instance._run(self._make(cursor, *arguments, **options))
                for item in page.items:
                    yield item
                if (cursor := page.next_cursor) is None:
                    return

        return method
