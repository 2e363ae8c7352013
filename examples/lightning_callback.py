"""A Lightning callback that sets the rate of every step from a spec, whatever optimizer the module has.

    pip install 'lrserve[examples]'
    python examples/lightning_callback.py [--url http://localhost:8000]

With --url the rates come from a server, so that lrcore need not be installed where you train.
"""

import logging
import warnings
from typing import Any

import lightning as L
import torch
from common import BASE_LR, BATCH, SPEC, check, digits, rates, server
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class SpecCallback(L.Callback):
    """Sets the rates of a schedule, in all parameter groups, over all steps of the run."""

    def __init__(self, spec: dict[str, Any], url: str | None = None) -> None:
        self.spec, self.url = spec, url

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        steps = int(trainer.estimated_stepping_batches)
        self.lr = rates(self.spec, trainer.optimizers[0].defaults["lr"], steps, self.url)

    def on_before_optimizer_step(
        self, trainer: L.Trainer, module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = float(self.lr[trainer.global_step])


class Digits(L.LightningModule):
    """Any module: it knows nothing of schedules."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.used: list[float] = []  # the rate of each of the optimizer's steps, for the check below

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(self.parameters(), lr=BASE_LR, momentum=0.9)
        optimizer.register_step_post_hook(lambda *_: self.used.append(optimizer.param_groups[0]["lr"]))
        return optimizer


url = server(__doc__)
warnings.filterwarnings("ignore")  # Lightning's advice about loaders and loggers
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
L.seed_everything(0, verbose=False)
images, labels = map(torch.from_numpy, digits())
loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, shuffle=True)
module, callback = Digits(), SpecCallback(SPEC, url)

trainer = L.Trainer(
    max_epochs=8, accelerator="cpu", callbacks=[callback], logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
)  # fmt: skip
trainer.fit(module, loader)

accuracy = (module.net(images).argmax(1) == labels).float().mean().item()
print(f"accuracy {accuracy:.3f}")
assert accuracy > 0.9
check(module.used, rates(SPEC, BASE_LR, len(module.used), url))
