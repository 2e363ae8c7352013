"""Lightning: torch's scheduler in a LightningModule's `configure_optimizers`."""

from __future__ import annotations

from lrcore.dialects import torch
from lrcore.dialects._base import Code, Translation, literal, written
from lrcore.schedules import Schedule

METHOD = "put configure_optimizers into your LightningModule, with your optimizer in it"
STEPS = 'interval "step" counts optimizer steps: write "epoch" for a schedule in epochs'
MONITOR = "val_loss stands for the metric that you log; the scheduler steps once per epoch"


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `configure_optimizers(self)`."""
    torch.refuse_groups(schedule, "Lightning's code")
    found = torch.translate(schedule, base_lr)
    momentum = {"momentum": 0.9} if schedule.cycles_momentum else {}
    optimizer = written("torch.optim.SGD", Code("self.parameters()"), lr=float(base_lr), **momentum)
    if schedule.metric_driven:
        when, note = {"monitor": "val_loss", "interval": "epoch"}, MONITOR
    else:
        when, note = {"interval": "step"}, STEPS
    configuration = literal({"scheduler": Code("make_scheduler(optimizer)")} | when)
    method = [
        "def configure_optimizers(self):",
        f"    optimizer = {optimizer}",
        f'    return {{"optimizer": optimizer, "lr_scheduler": {configuration}}}',
    ]
    code = found.code + "\n\n" + "\n".join(method) + "\n"
    return Translation(code, found.exact, (*found.notes, METHOD, note))
