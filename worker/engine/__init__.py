"""The training loop. Knows tensors and callbacks; nothing of Celery, Redis or HTTP.

from lrserve.worker.engine import train
result = train(TrainingSpec.model_validate(...), data_root=Path("data"), folder=Path("run"))
"""

from __future__ import annotations

import os

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic jobs need it before CUDA's first use

from .context import pick_device
from .footprint import OutOfMemory
from .hooks import Diverged, Hooks, Interrupted, Result
from .training import train

__all__ = ["Diverged", "Hooks", "Interrupted", "OutOfMemory", "Result", "pick_device", "train"]
