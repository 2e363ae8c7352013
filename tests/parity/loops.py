"""Real loops around a scheduler, run as `python -m tests.parity.loops LOOP MAKER SPEC FOLDER`.

Each trains to the end, and once more half-way, from its checkpoint and to the end. Printed as JSON: the rates that the
optimizer used in the whole run, and those after the checkpoint.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import SGD

from lrcore.datasets._torchvision import torchvision_datasets
from tests.parity.torch_harness import MAKERS, Scheduler

STEPS, HALF = 10, 5

Make = Callable[[SGD], Scheduler]


def watched(model: nn.Module, used: list[float]) -> SGD:
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.register_step_pre_hook(lambda *_: used.append(float(optimizer.param_groups[0]["lr"])))
    return optimizer


def accelerate_loop(make: Make, folder: Path, steps: int, resume: bool) -> list[float]:
    """As accelerate's documentation has it: each process steps the scheduler once per process."""
    from accelerate import Accelerator

    used: list[float] = []
    accelerator = Accelerator(cpu=True)
    model = nn.Linear(2, 1)
    optimizer = watched(model, used)
    prepared: Any = accelerator.prepare(model, optimizer, make(optimizer))
    model, wrapped, scheduler = prepared
    if resume:
        accelerator.load_state(str(folder))
    for _ in range(steps):
        accelerator.backward(model(torch.ones(4, 2)).square().mean())
        wrapped.step()
        scheduler.step()
        wrapped.zero_grad()
    accelerator.save_state(str(folder))
    return used


class Model(nn.Module):
    """A model as the Trainer wants it: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.layer(x).square().mean()}


def trainer_loop(make: Make, folder: Path, steps: int, resume: bool) -> list[float]:
    from transformers import Trainer, TrainingArguments

    used: list[float] = []
    model = Model()
    optimizer = watched(model, used)
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps + HALF * resume, per_device_train_batch_size=4, use_cpu=True, seed=0,
        report_to="none", save_strategy="steps", save_steps=HALF, disable_tqdm=True, logging_steps=1,
        dataloader_pin_memory=False,
    )  # fmt: skip
    schedulers: Any = (optimizer, make(optimizer))
    data: Any = [{"x": torch.ones(2)}] * 40
    trainer = Trainer(model, arguments, train_dataset=data, optimizers=schedulers)
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{HALF}") if resume else None)
    return used


def lightning_loop(make: Make, folder: Path, steps: int, resume: bool) -> list[float]:
    import lightning as L

    used: list[float] = []

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            return self.layer(batch).square().mean()  # type: ignore[no-any-return]

        def configure_optimizers(self) -> Any:
            optimizer = watched(self, used)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make(optimizer), "interval": "step"}}

    trainer = L.Trainer(
        max_steps=steps + HALF * resume, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data: Any = torch.ones(40, 2)
    loader: Any = torch.utils.data.DataLoader(data, batch_size=4)
    trainer.fit(Module(), loader, ckpt_path=str(folder / "half.ckpt") if resume else None)
    trainer.save_checkpoint(folder / "half.ckpt")
    return used


LOOPS = {"accelerate": accelerate_loop, "trainer": trainer_loop, "lightning": lightning_loop}


def main(loop: str, maker: str, spec: str, folder: Path) -> None:
    warnings.filterwarnings("ignore")  # the frameworks' advice
    torchvision_datasets()  # which other packages import; it needs help beside some torches
    fields = json.loads(spec)
    name = fields.pop("type")

    def make(optimizer: SGD) -> Scheduler:
        return MAKERS[maker](optimizer, name, **fields)

    run = LOOPS[loop]
    whole = run(make, folder / "whole", STEPS, False)
    run(make, folder / "halves", HALF, False)
    resumed = run(make, folder / "halves", HALF, True)
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps({"whole": whole, "resumed": resumed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
