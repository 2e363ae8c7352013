"""A Keras callback that sets the rate of every step from a spec, on the backends torch and TensorFlow.

    pip install 'lrserve[examples]'
    python examples/keras_callback.py [--url http://localhost:8000]

With --url the rates come from a server, so that lrcore need not be installed where you train. For JAX, whose compiled
steps hold the optimizer's state, take the schedule as code: POST /v1/schedules/translate with "to": "keras".
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from typing import Any

import keras
from common import BASE_LR, BATCH, SPEC, check, digits, rates, server


class SpecCallback(keras.callbacks.Callback):
    """Sets the rates of a schedule over all steps of the run."""

    def __init__(self, spec: dict[str, Any], url: str | None = None) -> None:
        super().__init__()
        self.spec, self.url = spec, url

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        steps, base_lr = self.params["epochs"] * self.params["steps"], float(self.model.optimizer.learning_rate)
        self.lr, self.step = rates(self.spec, base_lr, steps, self.url), 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.optimizer.learning_rate = float(self.lr[self.step])
        self.step += 1


class Watched(keras.optimizers.SGD):
    """SGD that writes down the rate of each step that it makes, for the check below."""

    used: list[float] = []

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        self.used.append(float(self.learning_rate))
        return super().apply(grads, trainable_variables)


url = server(__doc__)
keras.utils.set_random_seed(0)
images, labels = digits()
model = keras.Sequential([keras.layers.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer=Watched(BASE_LR, momentum=0.9), loss=loss, metrics=["accuracy"])
model.fit(images, labels, BATCH, epochs=8, verbose=0, callbacks=[SpecCallback(SPEC, url)])

accuracy = model.evaluate(images, labels, BATCH, verbose=0)[1]
print(f"accuracy {accuracy:.3f}")
assert accuracy > 0.9
check(Watched.used, rates(SPEC, BASE_LR, len(Watched.used), url), within=1e-8)  # Keras keeps its rate as float32
