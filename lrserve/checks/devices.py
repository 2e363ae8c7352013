"""Torch and what it runs on, looked at by a process of its own: a driver may hang, or crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from lrcore.service.settings import Settings
from lrserve.checks import Finding, ok, problem, size, warning
from lrserve.supervisor import gpus

SECONDS = 180.0
PROBE = """
import json, warnings
report = {}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    try:
        import torch
        report["torch"], report["cuda"] = torch.__version__, torch.version.cuda
        report["available"] = torch.cuda.is_available()
        report["cards"] = []
        for i in range(torch.cuda.device_count() if report["available"] else 0):
            free, total = torch.cuda.mem_get_info(i)
            ones = torch.ones(64, 64, device=f"cuda:{i}")
            assert float((ones @ ones).sum()) == 64.0**3
            report["cards"].append([torch.cuda.get_device_name(i), free, total])
    except BaseException as error:
        report["torch_error"] = f"{type(error).__name__}: {error}"
    try:
        from lrcore.datasets._torchvision import torchvision_datasets
        torchvision_datasets()
    except BaseException as error:
        report["data_error"] = f"{type(error).__name__}: {error}"
    try:
        import torch, torchvision
        report["torchvision"] = torchvision.__version__
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        assert torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist() == [0]
    except BaseException as error:
        report["torchvision_error"] = f"{type(error).__name__}: {error}"
report["said"] = [str(each.message) for each in said if "CUDA" in str(each.message)]
print("\\n" + json.dumps(report))
"""
MATCHING = "install torch and torchvision of one release: https://pytorch.org/get-started/locally"


def check(settings: Settings) -> Iterator[Finding]:
    """Torch, its operators, and the GPUs."""
    if find_spec("torch") is None:
        yield ok("torch", "not installed: this is an API, or a client; pip install 'lrserve[worker]' makes it a worker")
        return
    report = _probed()
    if "torch_error" in report:
        yield problem("torch", report["torch_error"], MATCHING)
    else:
        build = f"CUDA {report['cuda']}" if report["cuda"] else "the CPU build"
        yield ok("torch", f"{report['torch']}, {build}")
    if "data_error" in report:
        yield problem("torchvision", report["data_error"], MATCHING)
    elif "torchvision_error" in report:
        # what follows the first sentence is torchvision's advice
        error = report["torchvision_error"].partition(". ")[0].rstrip(".")
        yield warning("torchvision", f"{error}; lrserve does without its operators", MATCHING)
    elif "torchvision" in report:
        yield ok("torchvision", f"{report['torchvision']}, its operators load")
    if "torch" in report:
        yield from _cards(report, settings)


def _cards(report: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    there, cards = gpus(), report.get("cards", [])
    for name, free, total in cards:
        if free < total / 10:
            yield warning("gpu", f"{name}: {size(free)} of {size(total)} free", "see with nvidia-smi who uses it")
        else:
            yield ok("gpu", f"{name}: {size(free)} of {size(total)} free")
    if cards:
        return
    if not there:
        yield no_card(settings)
    elif not report["cuda"]:
        yield problem(
            "gpu", f"nvidia-smi sees {len(there)}, but torch is the CPU build", "install a CUDA build of torch"
        )
    else:
        said = "; ".join(report["said"]) or "torch.cuda.is_available() is false"
        yield problem(
            "gpu",
            f"nvidia-smi sees {len(there)} with driver {_driver()}, but torch for CUDA {report['cuda']} "
            f"cannot use it: {said}",
            "install a newer driver, or torch for an older CUDA; in a container, give it the GPU (--gpus all)",
        )


def no_card(settings: Settings) -> Finding:
    """What it means that this machine has none: whether one was asked for."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    also = f"; CUDA_VISIBLE_DEVICES is {visible!r}" if visible is not None else ""
    labels = [label for label in (settings.hardware or "").split(",") if label.partition(".")[0] == "gpu"]
    if labels:
        return problem(
            "gpu",
            f"none, but LRSERVE_HARDWARE says {', '.join(labels)}: jobs for a GPU would be trained on the CPU{also}",
            "install the driver; in a container, give it the GPU (--gpus all); or unset LRSERVE_HARDWARE",
        )
    if visible and visible != "-1":
        return warning(
            "gpu",
            f"CUDA_VISIBLE_DEVICES asks for {visible}, but there is none: workers here train on the CPU",
            "install the driver; in a container, give it the GPU (--gpus all); or unset CUDA_VISIBLE_DEVICES",
        )
    return ok("gpu", f"none: workers here train on the CPU{also}")


def _probed() -> dict[str, Any]:
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=SECONDS)
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"torch_error": f"it did not load within {SECONDS:g} s"}
    except (IndexError, ValueError):
        return {"torch_error": f"it ended its process with {done.returncode}: {done.stderr.strip()[-300:]}"}
    return report


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return listing.splitlines()[0] if listing else "unknown"
