"""Coverage-guided fuzzing by libFuzzer: python -m tests.security.fuzz TARGET CORPUS --runs N --seed N.

New inputs go into the folder CORPUS, from which a later process goes on. An input that breaks something is written
beside it and ends the process with 77.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["lrcore"]):
    from tests.security import targets

from lrcore.expressions.syntax import ARITY, CONSTANTS, MODULES
from lrcore.optimizers import OPTIMIZERS
from lrcore.schedules import SCHEDULES

MAX_BYTES = 4096
NODES = 200  # of a JSON text that a mutation chooses from
SIGNS = [
    *("+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!=", "@", "~", "(", ")", ",", ".", ":"),
    *("[", "]", "{", "}", "if", "else", "for", "in", "lambda", "not", "and", "'", '"', "\\", "1_0", "0x1", "1j"),
    *("lambda x:", "or", "&", "range"),
]
NAMES = [*CONSTANTS, *ARITY, *(f"{module}." for module in MODULES), "epoch", "step", "x"]
WORDS = [*NAMES, *SIGNS, "1e308", "5e-324", "9" * 400, "0.5", "2", "x" * 1001]
EXPRESSIONS = [
    "0.95 ** epoch",
    "where(step < 10, step / 10, 1 / sqrt(step))",
    "min(1, (epoch + 1) / 5) if epoch < 20 else 0.5 * (1 + cos(pi * epoch / 100))",
    "1 / (2 ** (x - 1))",
    "((((" * 25,
    "2 ** 9 ** 9 ** 9",
    "max(epoch, 1, 2, e) % 3 // 2",
    "-" * 900 + "1",
    "1 <" * 300 + "2",
    "lambda x: round(math.cos(x / 3) ** 2, 4) if x not in [3, 5] and x in range(2, 90, 4) or x > 7 else int(x / 2)",
    "lambda epoch: min(\n    1.0, (epoch + 1) / 5  # warm-up\n)",
]
JOB = {"model": {"type": "mlp"}, "dataset": {"type": "fake", "samples": 64, "image_size": 12}, "epochs": 3}
ODD: list[Any] = [
    *(0, -1, 1, 2, 100, 10_000, 2**31, 2**53, 2**63, 10**15, 10**15 + 1, 10**400, -(10**400)),
    *(0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"), 1e15, 0.1, 0.9),
    *(None, True, False, [], {}, "", "10%", "5ep", "999999999999999%", "1.5ep", "\x00", "type", "x" * 1001),
    *([0.1, 0.2], [[[[[]]]]], {"type": "Constant"}, {"type": []}, {"0": 1}, {"": {}}),
]


def seeds(target: str) -> list[bytes]:
    """What a run begins with."""
    if target == "expression":
        return [bytes([place]) + text.encode() for text in EXPRESSIONS for place in range(len(targets.FIELDS))]
    schedules = [cls.example for cls in SCHEDULES.values()]
    curves = [{"steps": 20, "base_lr": 0.1, "schedule": schedule} for schedule in schedules]
    jobs = [JOB | {"schedule": schedule, "interval": "step"} for schedule in schedules]
    jobs += [JOB | {"optimizer": optimizer.example} for optimizer in OPTIMIZERS.values()]
    grid = {"schedule": [*schedules[:3], None], "lr": [0.1, 0.2], "seed": [0, 1]}
    experiments = [
        {"base": JOB, "grid": grid},
        {"base": JOB | {"epochs": 9}, "grid": {"lr": [0.1, 0.2, 0.3]}, "prune": {"type": "asha"}},
    ]
    tests = [{name: JOB[name] for name in ("model", "dataset")} | {"num_iter": 20}]
    found = zip((curves, jobs, experiments, tests), range(len(targets.SPECS)), strict=True)
    return [bytes([place]) + json.dumps(each).encode() for some, place in found for each in some]


def words(target: str) -> list[str]:
    """What libFuzzer puts into inputs."""
    if target == "expression":
        return WORDS[:-1]
    names = {name for kind in targets.SPECS for name in kind.model_fields}
    names |= {name for cls in SCHEDULES.values() for name in cls.model_fields}
    return sorted(json.dumps(name) for name in names | set(SCHEDULES) | set(OPTIMIZERS))


class Mutator:
    """Half of all mutations are libFuzzer's, of bytes; the others know what the text is."""

    def __init__(self, target: str) -> None:
        self._change = self._words if target == "expression" else self._json
        self._names = [json.loads(word) for word in words(target)] if target == "spec" else []
        self._schedules = [dict(cls.example) for cls in SCHEDULES.values()]

    def __call__(self, data: bytes, most: int, seed: int) -> bytes:
        """Another input."""
        chance = random.Random(seed)
        if len(data) > 1 and chance.random() < 0.5 and (changed := self._change(data[1:], chance)):
            return (data[:1] + changed)[:most]
        return atheris.Mutate(data, most)

    def _words(self, data: bytes, chance: random.Random) -> bytes:
        text = data.decode(errors="surrogateescape")
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((0, 0, 1, 3, 30)))
        match chance.randrange(4):
            case 0:
                between = f"({text[start:end]})"
            case 1:
                between = text[start:end] * chance.choice((2, 5, 50))
            case 2:
                between = f"{chance.choice(WORDS)}({text[start:end]}, {chance.choice(WORDS)})"
            case _:
                between = f" {chance.choice(WORDS)} "
        return (text[:start] + between + text[end:]).encode(errors="surrogateescape")

    def _json(self, data: bytes, chance: random.Random) -> bytes | None:
        try:
            whole = [json.loads(data)]
            holders = self._holders(whole)
            holder, key = chance.choice(holders)
            holder[key] = self._other(holder[key], holders, chance)
            if isinstance(holder, dict) and chance.random() < 0.2:
                holder[chance.choice(self._names)] = holder.pop(key)
            return json.dumps(whole[0]).encode(errors="surrogatepass")
        except (ValueError, RecursionError):
            return None

    def _other(self, value: Any, holders: list[tuple[Any, Any]], chance: random.Random) -> Any:
        match chance.randrange(8):
            case 0:
                holder, key = chance.choice(holders)
                return holder[key]
            case 1:
                return [value] * chance.choice((1, 2, 3, 33, 300))
            case 2:
                return {"type": chance.choice(("ChainedScheduler", "SequentialLR")), "schedulers": [value, value]}
            case 3:
                return {"type": chance.choice(("Scale", "Shift", "WarmUp", "Clamp")), "schedule": value}
            case 4:
                return chance.choice(self._schedules)
            case 5 if isinstance(value, dict):
                return value | {chance.choice(self._names): chance.choice(ODD)}
            case 6:
                return chance.choice((chance.randrange(100), chance.random(), chance.choice(EXPRESSIONS)))
            case _:
                return chance.choice(ODD)

    def _holders(self, whole: list[Any]) -> list[tuple[Any, Any]]:
        found, waiting = [], [whole]
        while waiting and len(found) < NODES:
            holder: Any = waiting.pop()
            for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder))[:NODES]:
                found.append((holder, key))
                if isinstance(value, dict | list):
                    waiting.append(value)
        return found


class Count:
    """The inputs, and how many of them were accepted."""

    def __init__(self, target: str, file: Path) -> None:
        self._target, self._file = targets.TARGETS[target], file
        self.runs = self.accepted = 0
        for data in seeds(target):  # what is built when it is first needed is no input's doing
            self._target(data)

    def __call__(self, data: bytes) -> None:
        """One input. Raises what must not come out."""
        self.accepted += targets.judged(self._target, data)
        self.runs += 1
        if self.runs % 100 == 0:
            self._file.write_text(f"{self.runs} {self.accepted}")


def main() -> None:
    """Fuzz until the number of runs is reached or something breaks."""
    parser = argparse.ArgumentParser(prog="python -m tests.security.fuzz", description=__doc__)
    parser.add_argument("target", choices=targets.TARGETS)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = arguments.corpus
    folder.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(seeds(arguments.target)):
        (folder / f"seed-{i}").write_bytes(data)
    dictionary = folder.with_suffix(".dict")
    dictionary.write_text("".join(f"{json.dumps(word)}\n" for word in words(arguments.target)))
    targets.bound()
    options = {"runs": arguments.runs, "seed": arguments.seed, "max_len": MAX_BYTES, "mutate_depth": 2}
    options |= {"dict": dictionary, "artifact_prefix": f"{folder.parent}/", "timeout": 20}
    options["rss_limit_mb"] = 0  # it would count what the process that started this one has had
    flags = [f"-{name}={value}" for name, value in options.items()]
    count = Count(arguments.target, folder.with_suffix(".count"))
    atheris.Setup([sys.argv[0], *flags, str(folder)], count, custom_mutator=Mutator(arguments.target))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
