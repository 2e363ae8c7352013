"""Places for large requests: who gets one, and that none is lost, whoever leaves when."""

from __future__ import annotations

import asyncio
import random

import pytest

from lrserve.api.large_requests.processes import Busy, Places


async def hold(places: Places, tenant: str, log: list[str], seconds: float = 0.01) -> None:
    async with places.place(tenant):
        log.append(tenant)
        await asyncio.sleep(seconds)


def test_the_tenant_that_has_the_fewest_goes_first() -> None:
    async def story() -> list[str]:
        places, log = Places(2, 10, 10, 60), list[str]()
        tasks = [asyncio.create_task(hold(places, tenant, log)) for tenant in "aaaab"]
        await asyncio.gather(*tasks)
        return log

    assert asyncio.run(story()).index("b") == 2


def test_a_full_queue_and_a_long_wait_are_refused() -> None:
    async def story() -> None:
        places = Places(1, 2, 1, 0.05)
        first = asyncio.create_task(hold(places, "a", [], 0.5))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(places, "a", []))
        await asyncio.sleep(0)
        with pytest.raises(Busy):  # a tenant may have one in the queue
            await hold(places, "a", [])
        with pytest.raises(Busy):  # too long
            await waiting
        first.cancel()

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(50))
def test_no_place_is_lost_whoever_leaves_when(seed: int) -> None:
    draw = random.Random(seed)

    async def story() -> None:
        places = Places(2, 100, 100, 60)
        tasks = [
            asyncio.create_task(hold(places, draw.choice("abc"), [], draw.choice((0, 0.001, 0.002)))) for _ in range(60)
        ]
        for _ in range(30):
            await asyncio.sleep(draw.choice((0, 0, 0.001)))
            for task in draw.sample(tasks, 2):
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        async with asyncio.timeout(30), places.place("a"), places.place("b"):
            pass

    asyncio.run(story())
