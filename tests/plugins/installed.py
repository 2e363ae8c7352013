"""Distributions that are installed by hand: a folder for PYTHONPATH with their metadata and their code."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugin"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
SCHEDULE = '''
    from typing import Literal
    from lrcore.plugin import Extent, Grid, Rates, Schedule, constant
    class {name}(Schedule):
        """lr(t) = base_lr."""
        summary, formula, origin = "the same rate", "base_lr", "a test"
        example = {{"type": "{vendor}:{name}"}}
        type: Literal["{vendor}:{name}"]
        def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
            return constant(out, base_lr)
'''


def install(
    folder: Path, name: str, version: str, entries: Mapping[str, Mapping[str, str]], **modules: str
) -> Mapping[str, str]:
    """Put a distribution into a folder.

    Args:
        entries: entry points by group.
        modules: source text of each module.

    Returns:
        The environment of a process that has it, and does not load it yet.
    """
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in entries.items())
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(text))
    return os.environ | {"PYTHONPATH": str(folder)}


def install_example(folder: Path, version: str = PROJECT["version"]) -> Mapping[str, str]:
    """Put the package of examples/plugin into a folder. Returns what `install` does."""
    environment = install(folder, PROJECT["name"], version, PROJECT["entry-points"])
    return {**environment, "PYTHONPATH": f"{folder}{os.pathsep}{EXAMPLE}"}


def python(code: str, environment: Mapping[str, str], status: int = 0) -> str:
    """What a fresh interpreter prints; on standard error if it is to end with another status than 0."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    return done.stderr if status else done.stdout
