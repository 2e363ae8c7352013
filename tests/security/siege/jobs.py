"""Worst requests for jobs, experiments, range tests and webhooks. What is made waits for hardware that nobody has."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.security.siege.curves import expression, repeat_in_repeat
from tests.security.siege.wire import Request, get, post
from tests.security.siege.worst import World, add, worst

NOBODY = {"hardware": "nobody"}
FOLDER, IMAGES = "siege", 20_000  # an image folder with many files, which `image_folder` makes


def small(**changes: Any) -> dict[str, Any]:
    """A job of well under a second."""
    return {
        "model": {"type": "lenet"},
        "dataset": {"type": "fake", "samples": 64, "test_samples": 16, "image_size": 12},
        "epochs": 2,
        "batch_size": 32,
    } | changes


def exhibits(epochs: int) -> dict[str, dict[str, Any]]:
    """Describe what is worth to look at, by its path: a job of many epochs, and an experiment of 10,000 that waits."""
    tiny = {"type": "fake", "samples": 2, "test_samples": 2, "image_size": 12}
    rates = [0.1 + i / 1e6 for i in range(10_000)]
    return {
        "jobs": small(model={"type": "mlp", "hidden": [2]}, dataset=tiny, epochs=epochs),
        "experiments": {"base": small(), "grid": {"lr": rates}} | NOBODY,
    }


def image_folder(data_root: Path) -> None:
    """Make an image folder of empty files: counting them is all that the API does with them."""
    for name in ("train/a", "train/b", "test/a"):
        (data_root / FOLDER / name).mkdir(parents=True)
    for i in range(IMAGES):
        (data_root / FOLDER / "train" / "ab"[i % 2] / f"{i}.png").touch()


def longest(world: World, **changes: Any) -> dict[str, Any]:
    """A job of as many scheduled steps as a table of rates may have."""
    samples = world.bounds.samples
    dataset = {"type": "fake", "samples": samples, "test_samples": 1, "image_size": 12}
    epochs = world.steps // samples or 1
    return small(dataset=dataset, batch_size=1, epochs=epochs, interval="step") | changes


def large(world: World) -> dict[str, Any]:
    """A job whose spec is megabytes long."""
    milestones = [7_654_321 * (i + 1) for i in range(world.bounds.milestones)]
    part = {"type": "MultiStepLR", "milestones": milestones, "gamma": 0.999}
    return small(schedule={"type": "ChainedScheduler", "schedulers": [part] * 25}, **NOBODY)


@worst("jobs", "a dry run of LambdaLR over 1e7 steps", weight=2)
def _dry_run(world: World) -> Request:
    return post("/v1/jobs?dry_run=true", longest(world, schedule={"type": "LambdaLR", "lr_lambda": expression(world)}))


@worst("jobs", "a submit of LambdaLR over 1e7 steps", weight=2)
def _submit(world: World) -> Request:
    return post("/v1/jobs", longest(world, schedule={"type": "LambdaLR", "lr_lambda": expression(world)}) | NOBODY)


@worst("jobs", "three schedules over 1e7 steps")
def _three_schedules(world: World) -> Request:
    slow = {"type": "LambdaLR", "lr_lambda": "0.5+0*" + expression(world)}
    optimizer = {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    return post(
        "/v1/jobs?dry_run=true",
        longest(world, optimizer=optimizer, schedule=slow, momentum_schedule=slow, weight_decay_schedule=slow),
    )


@worst("jobs", "Repeat in Repeat over 1e7 steps")
def _repeats(world: World) -> Request:
    return post("/v1/jobs?dry_run=true", longest(world, schedule=repeat_in_repeat(7)))


@worst("jobs", "a spec of megabytes", weight=2)
def _large(world: World) -> Request:
    return post("/v1/jobs", large(world))


@worst("jobs", "a dry run of the largest model")
def _largest_model(world: World) -> Request:
    model = {"type": "mlp", "hidden": [world.bounds.width] * world.bounds.hidden}
    return post("/v1/jobs?dry_run=true", small(model=model))


@worst("jobs", "an image folder whose files are to be counted", weight=2)
def _image_folder(world: World) -> Request:
    return post("/v1/jobs?dry_run=true", small(dataset={"type": "image-folder", "folder": FOLDER, "image_size": 32}))


def _grid(world: World) -> dict[str, Any]:
    seeds = list(range(100))
    return world.rng.choice(
        (
            {"lr": [0.1 + i / 1000 for i in range(100)], "seed": seeds},
            {"lr": [0.1 + i / 1e6 for i in range(10_000)]},
            {
                "schedule": [{"type": "LambdaLR", "lr_lambda": f"{expression(world)}+{i}"} for i in range(80)],
                "seed": seeds,
            },
            {
                "schedule": [{"type": "StepLR", "step_size": i + 1} for i in range(1000)],
                "lr": [0.1 + i for i in range(10)],
            },
        )
    )


@worst("experiments", "a dry run of 10,000 runs", weight=2)
def _planned_experiment(world: World) -> Request:
    return post("/v1/experiments?dry_run=true", {"base": small(epochs=world.bounds.epochs), "grid": _grid(world)})


@worst("experiments", "10,000 runs")
def _experiment(world: World) -> Request:
    return post("/v1/experiments", {"base": small(epochs=100), "grid": _grid(world)} | NOBODY)


@worst("experiments", "80 slow schedules over 1e6 steps")
def _slow_experiment(world: World) -> Request:
    schedules = [{"type": "LambdaLR", "lr_lambda": f"step%1e-300+{i}"} for i in range(80)]
    base = longest(world, epochs=5)
    return post("/v1/experiments?dry_run=true", {"base": base, "grid": {"schedule": schedules}})


@worst("range tests", "the longest, with 64 seeds")
def _range_test(world: World) -> Request:
    spec = small(num_iter=world.bounds.range_steps, seeds=list(range(64)))
    del spec["epochs"]
    return post("/v1/lr-range-tests?dry_run=true", spec)


@worst("jobs", "a clone with a patch of megabytes")
def _clone(world: World) -> Request:
    patch = json.dumps({f"{i:x}": None for i in range(world.bounds.body // 16)})
    return Request("POST", f"/v1/jobs/{world.job()}/clone", patch.encode())


@worst("jobs", "one Idempotency-Key for many jobs", weight=2)
def _idempotent(world: World) -> Request:
    body = small(seed=world.rng.randrange(3)) | NOBODY
    return post("/v1/jobs", body, ("Idempotency-Key", f"key-{world.rng.randrange(20)}"))


@worst("jobs", "a list of a hundred", weight=3)
def _list(world: World) -> Request:
    path = world.rng.choice(("jobs", "jobs", "experiments"))
    state = world.rng.choice(("", "&state=queued", "&state=cancelled"))
    return get(f"/v1/{path}?limit=100{state}")


VIEWS = {
    "jobs": ("", "/metrics", "/metrics?format=csv", "/plot.svg", "/plot.png", "/artifacts"),
    "experiments": (
        *("", "/leaderboard", "/leaderboard?format=csv", "/metrics", "/curves", "/runs/7"),
        *("/plot.svg", "/plot.png"),
    ),
}


def _view(kind: str, view: str, world: World) -> Request:
    return get(f"/v1/{kind}/{world.job(kind)}{view}")


for _kind, _views in VIEWS.items():
    for _each in _views:
        add(_kind, f"GET /v1/{_kind}/ID{_each}", partial(_view, _kind, _each))


@worst("webhooks", "bad addresses")
def _webhook(world: World) -> Request:
    address = world.rng.choice(
        (
            *("http://127.0.0.1:6379/", "http://[::ffff:127.0.0.1]/", "http://2130706433/", "https://siege.invalid/"),
            *(
                "gopher://siege.invalid/",
                "https://" + "a." * 5000 + "invalid/",
                "http://0x7f.1/",
                "https://\u2024\u2024/",
            ),
        )
    )
    return post("/v1/webhooks", {"url": address})


@worst("system", "catalogues and documents")
def _documents(world: World) -> Request:
    return get(
        world.rng.choice(("/openapi.json", "/v1/schedules", "/v1/models", "/v1/kinds", "/docs", "/", "/metrics"))
    )
