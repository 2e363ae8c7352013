"""A page for each schedule, from the registry: formula, picture, parameters, and the same in other frameworks."""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlencode

import numpy as np

from lrcore.curve import CurveRequest, sample
from lrcore.dialects import FRAMEWORKS, translate
from lrcore.errors import CurveError
from lrcore.family import home_of
from lrcore.pictures.figure import encoded, new_figure
from lrcore.reference import introduction, table
from lrcore.schedules import SCHEDULES, Schedule
from lrcore.schedules._base import TorchSchedule
from lrserve.api.encoding.pictures import draw_curves

BASE_LR = 0.1
FAR = 2000  # steps that a picture may have
LENGTHS = (20, 40, 60, 100, 200, 500, 1000, FAR)
PLATEAU = [1.0, 0.8, 0.7, *[0.7] * 14, 0.6, *[0.6] * 22]  # losses, for schedules that follow a metric
NAMES = {
    "torch": "torch", "optax": "optax", "keras": "Keras", "transformers": "transformers", "timm": "timm",
    "deepspeed": "DeepSpeed", "mmengine": "MMEngine", "composer": "Composer", "lightning": "Lightning",
}  # fmt: skip
HOMES = NAMES | {"paddle": "Paddle", "d2l": "Dive into Deep Learning"}
AROUND, OTHERS = "Around other schedules", "From papers and libraries"


def home(schedule: type[Schedule]) -> str:
    """Under which heading a schedule is found."""
    module = home_of(schedule)
    if issubclass(schedule, TorchSchedule):
        return NAMES["torch"]
    if any("schedule" in name for name in schedule.model_fields):
        return AROUND
    return HOMES.get(module, OTHERS)


def ordered(homes: Iterable[str]) -> list[str]:
    """Headings as a reader looks for them."""
    return sorted(homes, key=[*HOMES.values(), OTHERS, AROUND].index)


def folder(schedule: type[Schedule]) -> str:
    """Of its page. `Constant` and `constant` are not in the same one, which some file systems could not hold."""
    return home(schedule).lower().replace(" ", "-")


def address(schedule: type[Schedule]) -> str:
    """Of its page, from the folder of all pages."""
    return f"schedules/{folder(schedule)}/{schedule.name()}.md"


def request(schedule: type[Schedule]) -> CurveRequest:
    """The curve that is drawn: the schedule's example, for as long as it takes to see what it does."""
    spec = schedule.model_validate(schedule.example)
    given = {"schedule": schedule.example}
    if spec.own_base_lr is None:
        given["base_lr"] = [BASE_LR] * spec.groups if spec.groups else BASE_LR
    if spec.metric_driven:
        return CurveRequest.model_validate(given | {"steps": len(PLATEAU), "metrics": PLATEAU})
    if spec.length is not None:
        return CurveRequest.model_validate(given | {"steps": spec.length})
    whole = CurveRequest.model_validate(given | {"steps": FAR})
    return CurveRequest.model_validate(given | {"steps": _shown(sample(whole).lr[0])})


def _shown(rates: np.ndarray) -> int:
    """The fewest steps after which nearly all rates have been seen, and half as many again to see how it goes on."""
    wanted = 0.97 * np.ptp(rates)
    enough = next(n for n in LENGTHS if np.ptp(rates[:n]) >= wanted)
    return min(FAR, enough * 3 // 2)


def picture(schedule: type[Schedule]) -> bytes:
    """The SVG that the service draws of the schedule's example."""
    asked = request(schedule)
    return draw_curves([("", sample(asked))], schedule.name(), "svg", "linear")


def thumbnail(schedule: type[Schedule]) -> bytes:
    """The same curve without axes, to be found by its shape."""
    curve, figure = sample(request(schedule)), new_figure([1])
    figure.set_size_inches(2.4, 1.1)
    axes = figure.axes[0]
    axes.set_axis_off()
    for rates in curve.lr:
        axes.plot(curve.steps, rates, drawstyle="steps-post", linewidth=2)
    axes.set_ylim(bottom=0)
    return encoded(figure, "svg")


def page(schedule: type[Schedule]) -> str:
    """Everything about one schedule."""
    asked = request(schedule)
    return "\n".join(
        [
            f"---\ntitle: {schedule.name()}\n---\n# {schedule.name()}\n",
            f"{introduction(schedule)}\n",
            f"```text\nlr(t) = {schedule.formula}\n```\n",
            f"![The curve of the example below]({schedule.name()}.svg){{ .curve }}\n",
            f"{_further(schedule)}\n",
            f"## Parameters\n\n{table(schedule)}\n",
            f"## Example\n\n```json\n{json.dumps(schedule.example)}\n```\n",
            *_curl(asked),
            *_translations(asked),
        ]
    )


def _further(schedule: type[Schedule]) -> str:
    """What its docstring says besides the formula, which the page has above the picture."""
    text = inspect.getdoc(schedule) or ""
    said = re.match(rf"(lr\(t\) = )?{re.escape(schedule.formula)}\.(?!\S)\s*", text)
    return text[said.end() :] if said else text


def _curl(asked: CurveRequest) -> Iterator[str]:
    body = asked.model_dump(mode="json", exclude_unset=True)
    command = f"curl -s localhost:8000/v1/curves -H 'Content-Type: application/json' -d {_quoted(json.dumps(body))}"
    yield f"```sh\n{command}\n```\n"
    parameters = {name: value for name, value in body["schedule"].items() if name != "type"}
    plain = parameters | {name: value for name, value in body.items() if name in ("base_lr", "steps")}
    if all(isinstance(value, int | float | str) for value in plain.values()) and "metrics" not in body:
        address = f"localhost:8000/v1/curves/{quote(asked.schedule.type)}?{urlencode(plain | {'format': 'svg'})}"
        yield f"The same as a picture, for a browser or an `<img>`:\n\n```sh\ncurl -s '{address}' -o curve.svg\n```\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _translations(asked: CurveRequest) -> Iterator[str]:
    """The example as code, by the dialects."""
    yield "## In other frameworks\n"
    yield "Written by `POST /v1/schedules/translate`.\n"
    for framework in FRAMEWORKS:
        yield f'=== "{NAMES.get(framework, framework)}"\n'
        try:
            found = translate(asked.schedule, asked.base_lrs[0], framework)
        except CurveError as refused:
            yield f"    Not to be had: {_line(str(refused))}\n"
            continue
        yield _indented(f"```python\n{found.code.rstrip()}\n```\n")
        yield f"    {'The same rates.' if found.exact else 'Not exact.'}\n"
        yield _indented("\n".join(f"- {_line(note)}" for note in found.notes)) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.split("\n"))


def gallery() -> str:
    """All schedules by their homes, each with its shape."""
    by_home = defaultdict(list)
    for schedule in SCHEDULES.values():
        by_home[home(schedule)].append(schedule)
    lines = []
    for heading in ordered(by_home):
        lines += [f"\n## {heading}\n", '<div class="gallery" markdown>\n']
        for schedule in by_home[heading]:
            name, where = schedule.name(), address(schedule)
            image = f"![]({where.removesuffix('.md')}.thumbnail.svg)"
            lines.append(f"[{image} **{name}** <span>{schedule.summary}</span>]({where})\n")
        lines.append("</div>\n")
    return "\n".join(lines)
