"""Write docs/settings.md from the settings: python -m lrserve.api.settings_reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lrcore.service.settings import Settings

from .settings import ApiSettings

HEAD = """\
# Settings

Environment variables. `lrserve doctor` checks those that are set. Lists are JSON, such as `["https://lab.example"]`.
This page is made from the code by `make docs`.
"""
SHARED = "For all processes:"
OF_THE_API = "For the API alone:"


def page() -> str:
    """Return the whole page as Markdown."""
    shared = Settings.model_fields
    own = {name: field for name, field in ApiSettings.model_fields.items() if name not in shared}
    return "\n".join([HEAD, *_table(SHARED, shared), "", *_table(OF_THE_API, own), ""])


def _table(title: str, fields: dict[str, Any]) -> Iterator[str]:
    prefix = Settings.model_config["env_prefix"]
    yield from (title, "", "| variable | default | |", "|---|---|---|")
    for name, field in fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{prefix}{name.upper()}` | {_default(field.default)} | {meaning} |"


def _default(value: Any) -> str:
    if value in (None, ""):
        return ""
    if isinstance(value, bool | tuple):
        return f"`{json.dumps(value)}`"
    return f"{value:,g}" if isinstance(value, int | float) and value < 2**20 else f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
