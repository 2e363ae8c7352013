"""Schedules as a library: a curve as numpy, and a schedule in a plain torch loop. No server, no queue, no Redis.

    pip install 'lrserve[worker]'
    python examples/library.py [--url http://localhost:8000]

A server, where one is named, only has to agree.
"""

import torch
from common import BASE_LR, BATCH, SPEC, STEPS, check, digits, rates, server
from torch import nn

from lrserve import SpecLR

url = server(__doc__)

# The curve, without torch: an array that can be looked at before anything is trained
curve = rates(SPEC, BASE_LR, STEPS, url)
print(f"from {curve[0]:g} up to {curve.max():g} at step {curve.argmax()}, down to {curve[-1]:g}")

# The same schedule as a torch LRScheduler
torch.manual_seed(0)
images, labels = map(torch.from_numpy, digits())
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=BASE_LR, momentum=0.9)
scheduler = SpecLR(optimizer, SPEC, total_steps=STEPS)
used = []
for _ in range(STEPS):
    batch = torch.randint(len(images), (BATCH,))
    loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    used.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
    scheduler.step()

accuracy = (model(images).argmax(1) == labels).float().mean().item()
print(f"accuracy {accuracy:.3f}")
assert accuracy > 0.9
check(used, curve)
