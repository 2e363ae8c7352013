"""Worst bodies: as large as they may be, and wrong or strange in every place of a list, a text or a number."""

from __future__ import annotations

from functools import partial

from tests.security.siege.wire import Request
from tests.security.siege.worst import World, add, worst

JOB = '{"model":{"type":"lenet"},"dataset":{"type":"fake"},"epochs":1'
MLP = '{"dataset":{"type":"fake"},"epochs":1,"model":{"type":"mlp",'
CURVE = '{"steps":2,"base_lr":1,"schedule":{'
GRID = '{"base":' + JOB + '},"grid":{'
ITEMS = ("0,", '"",', "{},", "[],", "null,", "-1,", "1e999,", '{"type":0},', '{"type":"StepLR"},')

LISTS = {  # by what they are: the path, and the body before and after the items
    "curves": ("/v1/curves/compare", '{"steps":2,"curves":[', "]}"),
    "schedulers": ("/v1/curves", f'{CURVE}"type":"ChainedScheduler","schedulers":[', "]}}"),
    "base_lr": ("/v1/curves", '{"steps":2,"schedule":{"type":"ConstantLR"},"base_lr":[', "]}"),
    "lr_lambda": ("/v1/curves", f'{CURVE}"type":"LambdaLR","lr_lambda":[', "]}}"),
    "milestones": ("/v1/curves", f'{CURVE}"type":"MultiStepLR","milestones":[', "]}}"),
    "metrics": ("/v1/curves", '{"steps":2,"base_lr":1,"schedule":{"type":"ReduceLROnPlateau"},"metrics":[', "]}"),
    "labels": ("/v1/jobs", f'{JOB},"labels":[', "]}"),
    "hidden": ("/v1/jobs", f'{MLP}"hidden":[', "]}}"),
    "freeze": ("/v1/jobs", f'{MLP}"freeze":[', "]}}"),
    "param_groups": ("/v1/jobs", f'{JOB},"optimizer":{{"type":"SGD","lr":1,"param_groups":[', "]}}"),
    "grid.schedule": ("/v1/experiments", f'{GRID}"schedule":[', "]}}"),
    "grid.lr": ("/v1/experiments", f'{GRID}"lr":[', "]}}"),
    "grid.seed": ("/v1/experiments", f'{GRID}"seed":[', "]}}"),
    "grid.momentum": ("/v1/experiments", f'{GRID}"momentum":[', "]}}"),
    "seeds of a range test": (
        "/v1/lr-range-tests",
        '{"model":{"type":"lenet"},"dataset":{"type":"fake"},"seeds":[',
        "]}",
    ),
    "lr of a fit": ("/v1/schedules/fit", '{"lr":[', "]}"),
    "events of a webhook": ("/v1/webhooks", '{"url":"https://siege.invalid","events":[', "]}"),
    "the body itself": ("/v1/jobs", "[", "]"),
}
PATHS = sorted({path for path, _, _ in LISTS.values()} | {"/v1/schedules/translate"})


def full(path: str, before: str, item: str, after: str, world: World) -> Request:
    """Fill a body with one item again and again, up to the largest body."""
    count = (world.bounds.body - len(before) - len(after)) // len(item)
    return Request("POST", path, (before + (item * count).removesuffix(",") + after).encode())


def _wrong_items(path: str, before: str, after: str, world: World) -> Request:
    return full(path, before, world.rng.choice(ITEMS), after, world)


for _name, (_path, _before, _after) in LISTS.items():
    add("bodies", f"millions of wrong items: {_name}", partial(_wrong_items, _path, _before, _after))


def _different(world: World, digits: int = 7) -> str:
    return ",".join(map(str, range(10 ** (digits - 1), 10 ** (digits - 1) + world.bounds.body // (digits + 1) - 100)))


@worst("bodies", "500,000 rates in a grid", weight=2)
def _grid_of_rates(world: World) -> Request:
    return Request("POST", "/v1/experiments?dry_run=true", f'{GRID}"lr":[{_different(world)}]}}}}'.encode())


@worst("bodies", "500,000 seeds in a grid")
def _grid_of_seeds(world: World) -> Request:
    return Request("POST", "/v1/experiments?dry_run=true", f'{GRID}"seed":[{_different(world)}]}}}}'.encode())


@worst("bodies", "500,000 rates of a parameter that is none")
def _grid_of_nothing(world: World) -> Request:
    return Request("POST", "/v1/experiments?dry_run=true", f'{GRID}"colour":[{_different(world)}]}}}}'.encode())


@worst("bodies", "thousands of schedules in a grid", weight=2)
def _grid_of_schedules(world: World) -> Request:
    size = world.bounds.body // 60
    schedules = ",".join(f'{{"type":"StepLR","step_size":{i + 1},"gamma":0.{i % 9}1}}' for i in range(size))
    return Request("POST", "/v1/experiments?dry_run=true", f'{GRID}"schedule":[{schedules}]}}}}'.encode())


@worst("bodies", "unknown names by the hundred thousand", weight=2)
def _unknown_names(world: World) -> Request:
    names = ",".join(f'"{i:x}":0' for i in range(world.bounds.body // 11))
    before = world.rng.choice(
        ("{", '{"steps":2,"base_lr":1,"schedule":{"type":"ConstantLR",', '{"model":{"type":"mlp",')
    )
    return Request("POST", world.rng.choice(PATHS), (before + names + "}" * before.count("{")).encode())


@worst("bodies", "deep nesting", weight=2)
def _deep(world: World) -> Request:
    size = world.bounds.body
    scale = '{"type":"Scale","factor":1,"schedule":'
    text = world.rng.choice(
        (
            "[" * size,
            '{"a":' * (size // 5),
            '{"schedule":' + "[" * (size // 2 - 20) + "]" * (size // 2 - 20) + "}",
            '{"steps":2,"base_lr":1,"schedule":' + scale * 50_000 + "null" + "}" * 50_001,
            '{"steps":2,"base_lr":1,"schedule":' + scale * 200 + '{"type":"ConstantLR"}' + "}" * 201,
        )
    )
    return Request("POST", world.rng.choice(PATHS), text.encode())


@worst("bodies", "texts of 4 MB", weight=2)
def _texts(world: World) -> Request:
    text = world.rng.choice(("x", "(", "1+", "\\ud800", "\\u0000", "é", "10%", "a.")) * (world.bounds.body // 8)
    path, before, after = world.rng.choice(
        (
            ("/v1/curves", f'{CURVE}"type":"LambdaLR","lr_lambda":"', '"}}'),
            ("/v1/curves", f'{CURVE}"type":"', '"}}'),
            ("/v1/curves", f'{CURVE}"type":"StepLR","step_size":"', '"}}'),
            ("/v1/curves/compare", '{"steps":2,"curves":[{"schedule":{"type":"ConstantLR"},"name":"', '"}]}'),
            ("/v1/experiments", '{"name":"', '"}'),
            ("/v1/jobs", f'{JOB},"labels":["', '"]}'),
            ("/v1/jobs", f'{JOB},"hardware":"', '"}'),
            ("/v1/webhooks", '{"url":"https://siege.invalid/', '"}'),
        )
    )
    return Request("POST", path, (before + text + after).encode()[: world.bounds.body])


@worst("bodies", "numbers of 1e5 and 4e6 digits", weight=2)
def _numbers(world: World) -> Request:
    digits = world.rng.choice((100_000, world.bounds.body - 200))
    number = world.rng.choice(("9" * digits, "0." + "0" * digits + "1", "-" + "1" * digits, "1e" + "9" * digits))
    path, body = world.rng.choice(
        (
            ("/v1/curves", f'{{"steps":{number},"base_lr":1,"schedule":{{"type":"ConstantLR"}}}}'),
            ("/v1/curves", f'{{"steps":2,"base_lr":{number},"schedule":{{"type":"ConstantLR"}}}}'),
            ("/v1/curves", f'{CURVE}"type":"StepLR","step_size":{number}}}}}'),
            ("/v1/jobs", f'{JOB},"seed":{number}}}'),
            ("/v1/experiments", f'{GRID}"seed":[{number}]}}}}'),
            ("/v1/schedules/fit", f'{{"lr":[1,{number}]}}'),
        )
    )
    return Request("POST", path, body.encode())


@worst("bodies", "one name again and again")
def _duplicates(world: World) -> Request:
    return full(world.rng.choice(PATHS), "{", '"steps":1,', "}", world)


@worst("bodies", "cut in the middle")
def _truncated(world: World) -> Request:
    whole = full("/v1/jobs", f'{JOB},"labels":[', '"a",', "]}", world)
    return Request("POST", world.rng.choice(PATHS), whole.body[: world.rng.randrange(len(whole.body))])


@worst("bodies", "of another type", early=True)
def _types(world: World) -> Request:
    media = world.rng.choice(
        ("text/plain", "multipart/form-data; boundary=a", "application/json; charset=utf-32", "", "\t")
    )
    encoding = world.rng.choice(("identity", "gzip", "deflate, gzip"))
    body = world.rng.randbytes(world.bounds.body // 2)
    return Request("POST", world.rng.choice(PATHS), body, (("Content-Type", media), ("Content-Encoding", encoding)))


@worst("bodies", "larger than bodies may be", early=True)
def _too_large(world: World) -> Request:
    return Request("POST", world.rng.choice(PATHS), b"[" + b"0," * (world.bounds.body // 2 + 10_000) + b"0]")
