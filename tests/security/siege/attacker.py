"""The attacker's process: python -m tests.security.siege.attacker PORT --token T --seconds N --seed N --folder F."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import time
from pathlib import Path

import httpx

import tests.security.siege.sessions as sessions
from tests.security.siege.attacks import ATTACKS, Attacker, attack_until
from tests.security.siege.bounds import Bounds
from tests.security.siege.delays import Delays
from tests.security.siege.record import Recorder
from tests.security.siege.wire import HOST
from tests.security.siege.worst import Known, World

NICE = 10  # on a machine with two cores the service goes before its attacker


async def besiege(arguments: argparse.Namespace) -> None:
    """Attack with many attackers at the same time until the time is over."""
    document = httpx.get(f"http://{HOST}:{arguments.port}/openapi.json", timeout=60).json()
    bounds, known, recorder = Bounds.of(document), Known(), Recorder(arguments.folder)
    worker, delays = asyncio.Semaphore(1), Delays()

    def attacker(name: object) -> Attacker:
        world = World(bounds, random.Random(f"{arguments.seed}-{name}"), known)
        return Attacker(arguments.port, arguments.token, world, recorder, worker, delays=delays)

    deadline = time.monotonic() + arguments.seconds
    await sessions.exhibit(attacker("exhibits"), epochs=1000 if arguments.long else 100)
    attacks = [each for each in ATTACKS if arguments.long or not each.long]
    watching = asyncio.create_task(delays.watch())
    tasks = [asyncio.create_task(attack_until(attacker(i), deadline, attacks)) for i in range(arguments.attackers)]
    await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
    for task in (*tasks, watching):
        task.cancel()
    await asyncio.gather(*tasks, watching, return_exceptions=True)


def main() -> None:
    """Read the arguments and attack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--token", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--attackers", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--long", action="store_true")
    os.nice(NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(besiege(parser.parse_args()))


if __name__ == "__main__":
    main()
