"""Check the plug-ins that LRSERVE_PLUGINS names, in a process of its own: they are other people's code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping

from lrcore.plugins import named
from lrserve.checks import Finding, ok, problem

SECONDS = 60.0
PROBE = """
import json
from lrcore import families
from lrcore.plugins import PluginError
try:
    found = families.load()
except PluginError as error:
    found = str(error)
print("\\n" + json.dumps(found))
"""


def check() -> Iterator[Finding]:
    """Yield what each plug-in adds, or the first error."""
    names = named()
    if not names:
        yield ok("plug-ins", "LRSERVE_PLUGINS names none")
        return
    found = _probed()
    if isinstance(found, str):
        yield problem(
            "plug-ins", found, "correct LRSERVE_PLUGINS or the plug-in; API and workers do not start until then"
        )
        return
    for plugin, members in found.items():
        added = "; ".join(f"{kind}: {', '.join(own)}" for kind, own in members.items())
        yield ok("plug-ins", f"{plugin} adds {added}")


def _probed() -> str | Mapping[str, Mapping[str, list[str]]]:
    """Return what families.load returns, or what went wrong."""
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=SECONDS)
        found: str | Mapping[str, Mapping[str, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return f"{', '.join(named())} did not load within {SECONDS:g} s"
    except (IndexError, ValueError):
        return f"loading {', '.join(named())} ended its process with {done.returncode}: {done.stderr.strip()[-300:]}"
    return found
