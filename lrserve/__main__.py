"""The `lrserve` command as a module: python -m lrserve."""

from __future__ import annotations

from lrserve.main import app

if __name__ == "__main__":
    app(prog_name="lrserve")
