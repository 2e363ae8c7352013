"""The HTTP reference as pages, one a tag, from the OpenAPI document that the service itself gives out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from lrserve.api.app import create_app

Json = dict[str, Any]
FAMILIES = {
    "schedule": "[a schedule](../schedules.md)",
    "model": "[a model](../training.md)",
    "dataset": "[a data set](../training.md)",
    "optimizer": "[an optimizer](../training.md)",
}
ALWAYS = {"401", "403", "429", "408", "413", "415"}  # said once, on the first page


class Reference:
    """Pages of one OpenAPI document."""

    def __init__(self) -> None:
        self.document = create_app().openapi()
        self._schemas: dict[str, Json] = self.document["components"]["schemas"]
        self._by_tag: dict[str, list[tuple[str, str, Json]]] = defaultdict(list)
        for path, operations in self.document["paths"].items():
            for method, operation in operations.items():
                self._by_tag[operation.get("tags", ["other"])[0]].append((method.upper(), path, operation))

    @property
    def tags(self) -> list[str]:
        """Those that have operations, in the order of the document."""
        return list(self._by_tag)

    def pages(self) -> dict[str, str]:
        """Markdown by address."""
        pages = {"http/index.md": self._overview()}
        for tag in self.tags:
            pages[address(tag)] = self._page(tag)
        return pages

    def _overview(self) -> str:
        lines = [
            f"# HTTP reference\n\nVersion {self.document['info']['version']}, from the service's own OpenAPI document: "
            "`/openapi.json`, and to try out at `/docs` of a running service.\n",
            "Every error is `application/problem+json`, as [concepts](../concepts.md#errors) says. Whatever the "
            "operation, 400 is a body that is no JSON, 408 one that came too slowly, 413 one that is too large, 415 "
            "one of another type; where keys are asked for, 401 is a key that is missing or unknown, 403 one whose "
            "role is not enough, 429 a limit of the tenant. 503 says that Redis does not answer; curves go on.\n",
            "| | |\n|---|---|",
        ]
        for tag in self.tags:
            lines.append(f"| **[{tag}]({address(tag).removeprefix('http/')})** | |")
            lines += [
                f"| `{method} {path}` | {operation['summary']} |" for method, path, operation in self._by_tag[tag]
            ]
        return "\n".join(lines) + "\n"

    def _page(self, tag: str) -> str:
        named: list[str] = []
        lines = [f"# {tag[0].upper()}{tag[1:]}\n"]
        for method, path, operation in self._by_tag[tag]:
            lines += [f"## {operation['summary']}\n", f"```http\n{method} {path}\n```\n"]
            lines += [_plain(operation["description"]) + "\n"] if operation.get("description") else []
            lines += self._parameters(operation)
            lines += self._body(operation, named)
            lines += self._answers(operation, named)
        lines += self._objects(named)
        return "\n".join(lines)

    def _parameters(self, operation: Json) -> Iterator[str]:
        given = operation.get("parameters", [])
        if not given:
            return
        yield "| parameter | in | type | default | |\n|---|---|---|---|---|"
        for each in given:
            schema = each.get("schema", {})
            default = "required" if each.get("required") else _default(schema)
            said = each.get("description", "")
            yield f"| `{each['name']}` | {each['in']} | {self.type_of(schema, [])} | {default} | {_cell(said)} |"
        yield ""

    def _body(self, operation: Json, named: list[str]) -> Iterator[str]:
        content = operation.get("requestBody", {}).get("content", {})
        for kind, body in content.items():
            yield f"The body, `{kind}`: {self.type_of(body.get('schema', {}), named)}.\n"

    def _answers(self, operation: Json, named: list[str]) -> Iterator[str]:
        yield "| answer | | |\n|---|---|---|"
        for status, answer in sorted(operation["responses"].items()):
            if status in ALWAYS:
                continue
            kinds = []
            for kind, content in answer.get("content", {}).items():
                what = self.type_of(content["schema"], named if status < "300" else []) if content.get("schema") else ""
                kinds.append(f"`{kind}`" + (f" {what}" if what and status < "300" else ""))
            yield f"| {status} | {_cell(answer['description'])} | {', '.join(kinds)} |"
        yield ""

    def _objects(self, named: list[str]) -> Iterator[str]:
        """The objects that the page names, and those that they name."""
        if named:
            yield "## Objects\n"
        for name in named:  # grows
            schema = self._schemas[name]
            yield f"### {name}\n"
            if schema.get("description"):
                yield _plain(schema["description"]) + "\n"
            if "enum" in schema:
                yield ", ".join(f"`{value}`" for value in schema["enum"]) + "\n"
            if "properties" not in schema:
                continue
            yield "| field | type | default | |\n|---|---|---|---|"
            for field, value in schema["properties"].items():
                default = "required" if field in schema.get("required", ()) else _default(value)
                kind = self.type_of(value, named)
                yield f"| `{field}` | {kind} | {default} | {_cell(value.get('description', ''))} |"
            yield ""

    def type_of(self, schema: Json, named: list[str]) -> str:
        """A type in a few words; objects that are met are added to `named`."""
        if "$ref" in schema:
            return self._object(schema["$ref"].rpartition("/")[2], named)
        if "oneOf" in schema:
            return FAMILIES.get(self._family(schema), "one of several")
        if "anyOf" in schema or "allOf" in schema:
            options = schema.get("anyOf", schema.get("allOf"))
            return " or ".join(dict.fromkeys(self.type_of(option, named) for option in options))
        if "enum" in schema or "const" in schema:
            return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        if schema.get("type") == "array":
            return f"list of {self.type_of(schema.get('items', {}), named)}"
        bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        said = [f"{sign} {schema[name]:g}" for name, sign in bounds.items() if name in schema]
        return " ".join([str(schema.get("type", "anything")), *said])

    def _object(self, name: str, named: list[str]) -> str:
        if name not in named:
            named.append(name)
        return f"[{name}](#{name.lower()})"

    def _family(self, schema: Json) -> str:
        """Which family the members are of that `schema` chooses from."""
        members = {option["$ref"] for option in schema["oneOf"] if "$ref" in option}
        telling = {"schedule": "StepLR", "model": "LeNet", "dataset": "Digits", "optimizer": "SGD"}
        return next((f for f, name in telling.items() if any(ref.endswith(f"/{name}") for ref in members)), "")


def address(tag: str) -> str:
    """Of a tag's page."""
    return f"http/{tag.replace(' ', '-')}.md"


def _default(schema: Json) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _plain(text: str) -> str:
    """Text in which angle brackets are just these, but in code."""
    parts = text.split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


def _cell(text: str) -> str:
    return " ".join(_plain(text).replace("|", "\\|").split())
