"""What a job leaves behind: written into its local folder first, then copied to the artifact root."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch.utils.tensorboard import SummaryWriter

from lrcore.errors import MissingPackage
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.range_test import RangeTestResult, RangeTestSpec
from lrcore.jobs.range_test import as_csv as curve_as_csv
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.pictures.figure import encoded
from lrcore.reports.figure import range_test_figure, run_figure, title
from lrcore.reports.metrics import as_csv
from lrcore.service.artifacts import Artifacts

from .engine.trainer import BEST, LAST

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVENTS = "events.out.tfevents.lrserve"  # always the same, or a job that is run twice would leave two
ONNX = "model.onnx"
PUBLISHED = (
    "spec.json",
    "metrics.csv",
    "metrics.json",
    "curve.csv",
    "result.json",
    "plot.png",
    "plot.svg",
    EVENTS,
    BEST,
    LAST,
    ONNX,
    f"{ONNX}.data",  # where torch puts weights that are too large for an ONNX file
)
EXPORTERS = {"onnx": ("onnx", "onnxscript")}


def check(spec: TrainingSpec) -> None:
    """Find out before the training what could not be written after it.

    Raises:
        MissingPackage: a package for one of the formats is not installed.
    """
    for form in spec.export:
        missing = [package for package in EXPORTERS[form] if find_spec(package) is None]
        if missing:
            raise MissingPackage(
                f"export to {form} needs {' and '.join(missing)}, which this worker has not: "
                f"pip install 'lrserve[{form}]'"
            )


def write(folder: Path, spec: TrainingSpec, epochs: Sequence[Epoch], best: Best) -> None:
    """Write everything but the weights, which the engine has put there, into the job's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = spec.model_dump(mode="json")
    _write_json(folder / "spec.json", plain)
    rows = [epoch.model_dump(mode="json") for epoch in epochs]
    _write_json(folder / "metrics.json", {"best": best.model_dump(mode="json"), "epochs": rows})
    (folder / "metrics.csv").write_text(as_csv(epochs), "utf-8")
    _write_pictures(folder, run_figure(epochs, title(plain)))
    _write_events(folder, epochs)
    if "onnx" in spec.export:
        _write_onnx(folder, spec)


def write_range_test(folder: Path, spec: RangeTestSpec, result: RangeTestResult) -> None:
    """Write all that a range test leaves behind into the job's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = spec.model_dump(mode="json")
    _write_json(folder / "spec.json", plain)
    _write_json(folder / "result.json", result.model_dump(mode="json"))
    (folder / "curve.csv").write_text(curve_as_csv(result), "utf-8")
    _write_pictures(folder, range_test_figure(result, title(plain)))


def publish(folder: Path, root_url: str, job_id: str) -> None:
    """Copy the files, and nothing else that lies in the folder, to the artifact root. Raises ArtifactsUnavailable."""
    artifacts = Artifacts(root_url)
    artifacts.sweep(job_id)
    for file in files(folder):
        artifacts.put(job_id, file)


def files(folder: Path) -> list[Path]:
    """What there is to publish."""
    return [folder / name for name in PUBLISHED if (folder / name).is_file()]


def scalars(epoch: Epoch) -> dict[str, float]:
    """An epoch's figures by the names that experiment trackers group by: loss/train, accuracy/test, lr/group0."""
    found: dict[str, float] = {}
    for quantity in ("loss", "accuracy"):
        for split in ("train", "val", "test"):
            value = getattr(epoch, f"{split}_{quantity}")
            if value is not None:
                found[f"{quantity}/{split}"] = value
    for name, values in (("lr", epoch.lr), ("momentum", epoch.momentum or [])):
        found |= {f"{name}/group{i}": value for i, value in enumerate(values)}
    return found


def ends(epochs: Sequence[Epoch]) -> list[float]:
    """When each epoch ended, in seconds since 1970, as if the last one ended now and nothing came between them."""
    end, found = time.time(), []
    for epoch in reversed(epochs):
        found.append(end)
        end -= epoch.seconds
    return found[::-1]


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _write_pictures(folder: Path, figure: Figure) -> None:
    for form in ("png", "svg"):
        (folder / f"plot.{form}").write_bytes(encoded(figure, form))


def _write_events(folder: Path, epochs: Sequence[Epoch]) -> None:
    own = folder / "events"
    shutil.rmtree(own, ignore_errors=True)
    with SummaryWriter(str(own)) as writer:
        for epoch, end in zip(epochs, ends(epochs), strict=True):
            for tag, value in scalars(epoch).items():
                writer.add_scalar(tag, value, epoch.epoch, walltime=end)
    (file,) = own.iterdir()
    file.replace(folder / EVENTS)
    own.rmdir()


def _write_onnx(folder: Path, spec: TrainingSpec) -> None:
    """The best model, from images as the training saw them, any number at once, to logits.

    In float32 whatever the job's precision: ONNX runtimes have no convolution of float64.
    """
    with torch.random.fork_rng(devices=[]):
        model = spec.model.build(spec.dataset.image_shape, spec.dataset.num_classes)
    model.load_state_dict(load_file(folder / BEST))
    model.eval()
    images = torch.zeros(2, *spec.dataset.image_shape)  # of one image, the exporter would keep the 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's about its own inner parts
        program = torch.onnx.export(
            model,
            (images,),
            input_names=["images"],
            output_names=["logits"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.save(folder / ONNX)
