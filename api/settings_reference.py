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
REDIS_URL = """\
## The URL of Redis

| `LRSERVE_REDIS_URL` | for |
|---|---|
| `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` | one server |
| `rediss://…` | the same with TLS |
| `unix://[[USER]:PASSWORD@]/PATH[?db=DATABASE]` | one server on this machine, by its socket |
| `redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/SERVICE[/DATABASE]` | a primary that Sentinels name |
| `rediss+sentinel://…` | the same with TLS, to Sentinels and servers |

Ports are 6379 for a server and 26379 for a Sentinel if not given, and the database is 0. `USER` and `PASSWORD` are the
server's. `SERVICE` is the name after `sentinel monitor` in the Sentinels' configuration. In a user or password write
`/` as `%2F`, `?` as `%3F`, `#` as `%23`, `@` as `%40` and `%` as `%25`. Options follow after `?`, joined by `&`:

| option | |
|---|---|
| `sentinel_username`, `sentinel_password` | those of the Sentinels, if they ask for them |
| `ssl_ca_certs` | file with the authorities that vouch for the certificates; the system's if not given |
| `ssl_certfile`, `ssl_keyfile` | files with the certificate and key of this client, if Redis asks for one |
| `ssl_cert_reqs` | `required` (default), `optional` or `none` |
| `ssl_check_hostname` | `true` (default) or `false` |

A URL of one server takes redis-py's other options, too. A wrong URL stops the process at its start, with the part that
is wrong. [Failover](operations.md#failover) says how to set up Sentinels.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    shared = Settings.model_fields
    own = {name: field for name, field in ApiSettings.model_fields.items() if name not in shared}
    return "\n".join([HEAD, *_table(SHARED, shared), "", *_table(OF_THE_API, own), "", REDIS_URL]).rstrip("\n") + "\n"


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
