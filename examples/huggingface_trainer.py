"""Hugging Face's Trainer with the rates of a spec: SpecLR goes where the Trainer takes an optimizer and its scheduler.

    pip install 'lrserve[examples]'
    python examples/huggingface_trainer.py [--url http://localhost:8000]

A server, where one is named, only has to agree.
"""

import tempfile

import torch
from common import BASE_LR, BATCH, SPEC, STEPS, check, digits, rates, server
from torch import nn
from transformers import Trainer, TrainingArguments

from lrserve import SpecLR


class Digits(nn.Module):
    """A model as the Trainer wants it: it returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(pixels)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


url = server(__doc__)
torch.manual_seed(0)
images, labels = digits()
data = [{"pixels": torch.from_numpy(image), "labels": int(label)} for image, label in zip(images, labels, strict=True)]
model = Digits()
optimizer = torch.optim.SGD(model.parameters(), lr=BASE_LR, momentum=0.9)
scheduler = SpecLR(optimizer, SPEC, total_steps=STEPS)

# What the optimizer itself sees at each of its steps, for the check below
used: list[float] = []
optimizer.register_step_pre_hook(lambda *_: used.append(optimizer.param_groups[0]["lr"]))

with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder, max_steps=STEPS, per_device_train_batch_size=BATCH, use_cpu=True, seed=0,
        report_to="none", save_strategy="no", disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=data, optimizers=(optimizer, scheduler)).train()

accuracy = (model.net(torch.from_numpy(images)).argmax(1).numpy() == labels).mean()
print(f"accuracy {accuracy:.3f}")
assert accuracy > 0.9
check(used, rates(SPEC, BASE_LR, STEPS, url))
