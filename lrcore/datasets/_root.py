"""Where data sets live on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """LRSERVE_DATA_ROOT, or else `datasets` in LRSERVE_HOME, or else in ~/.lrserve; absolute, and perhaps not there.

    The same folder that the settings of API and worker make of these variables.
    """
    home = Path(os.environ.get("LRSERVE_HOME", "~/.lrserve"))
    return Path(os.environ.get("LRSERVE_DATA_ROOT", home / "datasets")).expanduser().resolve()
