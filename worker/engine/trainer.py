"""Train one job: rates from the closed form, data on the device, a report after each epoch."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrcore.errors import SpecError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.optimizers import Optimizer

from . import checkpoint as checkpoints
from .checkpoint import Position
from .data import DTYPES, Data, Plan, Split, load, permutation
from .footprint import check_fits
from .graph import GraphedStep, can_capture
from .optim import Average, Scheduled, freeze, parameter_groups
from .record import finish_epoch, out_of_patience, replay_reports
from .saver import Saver

log = logging.getLogger("lrserve.engine")

RUNNING = 50  # steps that the running loss and accuracy are taken over
AHEAD = 64  # steps that may wait in a GPU's queue, so that a stop and the progress are no further away

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
LAST = "last.safetensors"


AnyTrainer = TypeVar("AnyTrainer", bound="Trainer")
T = TypeVar("T")


class Interrupted(Exception):
    """The run was asked to stop between two steps."""


@dataclass(frozen=True)
class Hooks:
    """Callbacks of the caller. All must return at once.

    Attributes:
        step: called before the first and after each optimizer step with the number of steps done.
        running: called every RUNNING steps with the steps done, and mean loss and accuracy over that many.
        losses: called when an epoch's steps are done, before the test pass, with its number and the loss of each.
        epoch: called after each epoch with its figures and the best epoch so far; for a resumed run,
            also for the epochs before.
        stop: asked before each step and each batch of a test pass; True raises Interrupted. Also asked before a
            checkpoint takes its place, for what it raises: the files may be another process's by now.
        saved: called after each checkpoint that was written.
        preparing: entered while the data are loaded and the model is made, where nobody asks `stop`; may raise
            Interrupted from inside.
        ended: of a run among several, called with what it came to, as soon as that is known.
    """

    step: Callable[[int], None] = lambda step: None
    running: Callable[[int, float, float], None] = lambda step, loss, accuracy: None
    losses: Callable[[int, list[float]], None] = lambda epoch, losses: None
    epoch: Callable[[Epoch, Best], None] = lambda epoch, best: None
    stop: Callable[[], bool] = lambda: False
    saved: Callable[[], None] = lambda: None
    preparing: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    ended: Callable[[object], None] = lambda outcome: None


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        epochs: all of its epochs.
        best: the best of them.
        model: the model after the last epoch; with ema_decay, the averaged one.
        best_weights: its state_dict after the best epoch.
        together: how many runs were trained side by side, this one counted.
        alone: why it was trained alone although there were others.
    """

    epochs: list[Epoch]
    best: Best
    model: nn.Module
    best_weights: dict[str, Tensor]
    together: int = 1
    alone: str | None = None


def train(
    spec: TrainingSpec,
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Hooks | None = None,
    folder: Path | None = None,
    memory: int | None = None,
) -> Result:
    """Train the job, from its checkpoint if there is one.

    Args:
        data_root: folder of the data sets.
        device: where to train; the first GPU, or the CPU, if not given.
        folder: takes the checkpoint, and at the end the best and the last weights. A run that is resumed from a
            checkpoint gives the same figures as one that was never stopped, on the same device; on a GPU if the spec
            says `deterministic`, and not with dropout inside an lstm or gru, of which cuDNN keeps a state of its own.
        memory: bytes of images kept on the device; half of what is free if None.

    Raises:
        DataUnavailable: the data set, or pretrained weights, cannot be loaded.
        SpecError: the job names parameters that the model does not have.
        OutOfMemory: the run needs more memory than the device has free; none of it was taken.
        Interrupted: hooks.stop said so; the steps done so far are in the checkpoint.
        Diverged: a loss is not finite.
    """
    device, hooks = device or pick_device(), hooks or Hooks()

    def make(data: Data) -> Trainer:
        return Trainer(spec, data, device, hooks, folder)

    return run_to_end(make, Trainer.train, spec, data_root, device, hooks, memory)


def run_to_end(
    make: Callable[[Data], AnyTrainer],
    train: Callable[[AnyTrainer], T],
    spec: TrainingSpec,
    data_root: Path,
    device: torch.device,
    hooks: Hooks,
    memory: int | None = None,
) -> T:
    """What `train` returns of the run that `make` makes, under torch's state as the spec needs it.

    The other arguments and the errors are those of `train`, the function.
    """
    with hooks.preparing():
        data = load(spec.dataset, data_root, device, DTYPES[spec.precision], memory)
        check_fits(spec, min(spec.eval_batch_size, data.tested), device)
    with torch_state(spec, device):
        torch.manual_seed(spec.seed)
        run = make(data)
        try:
            return train(run)
        finally:  # a graph and its run hold each other, and the next job needs the memory
            run.graph = None
            if device.type == "cuda":
                del run, data
                gc.collect()
                torch.cuda.empty_cache()


class Trainer:
    """A run between its beginning and its end."""

    def __init__(self, spec: TrainingSpec, data: Data, device: torch.device, hooks: Hooks, folder: Path | None) -> None:
        self.spec, self.data, self.device, self.hooks, self.folder = spec, data, device, hooks, folder
        with hooks.preparing():
            self.model = model = built(spec, device)
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        graphed = can_capture(spec, data.training)
        implementation = implementation_of(spec.optimizer, device, capturable=graphed)
        self.optimizers = spec.optimizer.build(parameter_groups(model, spec.optimizer), **implementation)
        self.scheduled = Scheduled(spec, self.optimizers)
        self.average = spec.ema_decay and Average(model, copied(model), spec.ema_decay)
        self.at = Position(spec=checkpoints.key(spec))
        self.best_weights: dict[str, Tensor] = {}
        steps, dtype = spec.steps_per_epoch, DTYPES[spec.precision]
        self.losses = torch.zeros(steps, dtype=dtype, device=device)  # of each step of the epoch, mean over the batch
        self.hits = torch.zeros(steps, dtype=torch.int64, device=device)
        self.order = torch.zeros(len(data.training), dtype=torch.int64, device=device)
        self.plan: Plan | None = None
        self.sizes = sizes_of(spec)
        self._pieces = [pieces_of(spec, size, step * spec.batch_size) for step, size in enumerate(self.sizes)]
        check_pieces(spec, model, self._pieces)
        self.graph = GraphedStep(self) if graphed else None
        self.live = Live(device, self._tell)
        self._began, self._done = time.perf_counter(), 0  # of the epoch: its clock, its steps
        self._saver = Saver(folder and folder / CHECKPOINT, hooks.stop, hooks.saved)

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged one, if there is one."""
        return self.average.model if self.average else self.model

    def train(self) -> Result:
        """See the run through. Raises Interrupted and Diverged."""
        self._resume()
        for epoch in range(self.at.epoch, self.spec.epochs):
            if out_of_patience(self.spec, self.at):
                break
            self._train_epoch(epoch)
            self._save_if_due()
        best = Best.model_validate(self.at.best)
        self._save()  # the caller may have to come back for what is left to do
        if self.folder:
            checkpoints.save_weights(self.folder / BEST, self.best_weights)
            checkpoints.save_weights(self.folder / LAST, self.evaluated.state_dict())
        epochs = [Epoch.model_validate(row) for row in self.at.epochs]
        return Result(epochs, best, self.evaluated, self.best_weights)

    def _train_epoch(self, epoch: int) -> None:
        """One pass over the training set, from where the run stands, and what it came to."""
        self._began = time.perf_counter() - self.at.seconds
        self.begin(epoch)
        self.train_steps(epoch, self.at.step)
        self._finish_epoch(epoch)

    def train_steps(self, epoch: int, first: int, end: int | None = None) -> None:
        """The epoch's steps from the `first` one on, up to `end` if given. Raises Interrupted."""
        steps = self.spec.steps_per_epoch
        pieces = self._pieces[first:end]
        batches = self.data.training.batches(self.order, [piece for batch in pieces for piece in batch], self.plan)
        for step, batch in enumerate(pieces, first):
            self._stop_if_asked()
            total = epoch * steps + step
            if not (self.graph and self.graph.replay(step)):
                self.scheduled.write(epoch, total)
                self._step(step, batch, batches)
                self.update(first=total == 0)
            self._done = step + 1
            self.after_step(step, total + 1)
            self._save_if_due()

    def after_step(self, step: int, total: int) -> None:
        """Report the epoch's step `step`, which is the last of `total` that are done."""
        self.hooks.step(total)
        self.live.after(step, total, self.losses, self.hits)

    def _stop_if_asked(self) -> None:
        if self.hooks.stop():
            self._save()
            raise Interrupted

    def _tell(self, step: int, done: int, losses: Tensor, hits: Tensor) -> None:
        images = sum(self.sizes[step + 1 - RUNNING : step + 1])
        self.hooks.running(done, float(losses.mean()), float(hits.sum()) / images)

    def begin(self, epoch: int) -> None:
        """Lay out the epoch's order, plan and rates, in the memory that a graph reads."""
        training = self.data.training
        self.order.copy_(torch.from_numpy(permutation(len(training), self.spec.seed, epoch)))
        plan = training.transform.plan(len(training), self.spec.seed, epoch, self.device)
        self.model.train()
        if self.graph:
            self.graph.begin(epoch)
        if self.plan is None or plan is None:
            self.plan = plan
        else:
            for mine, new in zip(vars(self.plan).values(), vars(plan).values(), strict=True):
                mine.copy_(new)

    def _step(self, step: int, pieces: list[slice], batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        """The gradients of one batch, a piece at a time, its loss and its hits."""
        training, size = self.data.training, self.sizes[step]
        self.zero_grad()
        for i, piece in enumerate(pieces):
            images, labels = training.batch(self.order, piece, self.plan) if training.resident else next(batches)
            loss, hits = self.forward_backward(images, labels, len(labels) / size)
            self.losses[step] = loss if i == 0 else self.losses[step] + loss
            self.hits[step] = hits if i == 0 else self.hits[step] + hits

    def forward_backward(self, images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Add a piece's gradients; its loss times its share of the batch, and how many it has right."""
        with autocast(self.spec, self.device):
            logits = self.model(images)
        loss = F.cross_entropy(exact(self.spec, logits), labels, label_smoothing=self.spec.label_smoothing)
        if share != 1:
            loss = loss * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def update(self, *, first: bool) -> None:
        """The optimizers' step with the gradients that are there; the run's first one, or another."""
        if self.spec.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.max_grad_norm, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average:
            self.average.update(first=first)

    def _finish_epoch(self, epoch: int) -> None:
        """Evaluate, report, and remember the best."""
        losses, hits = self.losses.tolist(), self.hits.tolist()  # sync point
        self.live.flush()
        self.hooks.losses(epoch, losses)
        images = sum(self.sizes)
        train_loss = math.fsum(loss * size for loss, size in zip(losses, self.sizes, strict=True)) / images
        test = self.evaluate(self.data.test)
        validation = self.evaluate(self.data.validation) if self.data.validation else None
        figures = (train_loss, sum(hits) / images), validation, test
        seconds = time.perf_counter() - self._began
        self.at, report, best = finish_epoch(self.spec, self.scheduled, self.at, figures, seconds)
        if best.epoch == epoch:
            self.best_weights = {name: t.detach().clone() for name, t in self.evaluated.state_dict().items()}
        self._done = 0
        self.hooks.epoch(report, best)

    @torch.no_grad()
    def evaluate(self, split: Split) -> tuple[float, float]:
        """Mean cross-entropy and accuracy."""
        model = self.evaluated.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        hits = torch.zeros((), dtype=torch.int64, device=self.device)
        size = self.spec.eval_batch_size
        order = torch.arange(len(split), device=self.device)
        for images, labels in split.batches(order, [slice(at, at + size) for at in range(0, len(split), size)], None):
            self._stop_if_asked()
            with autocast(self.spec, self.device):
                logits: Tensor = model(images)
            loss += F.cross_entropy(exact(self.spec, logits), labels, reduction="sum")
            hits += (logits.argmax(1) == labels).sum()
        return loss.item() / len(split), hits.item() / len(split)  # sync point

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.folder:
            checkpoints.remove_unfinished(self.folder)
        if self.folder and (found := checkpoints.load(self.folder / CHECKPOINT, self.at.spec)):
            parts, self.at = found
            self._done = self.at.step
            self.model.load_state_dict(parts["model"])
            checkpoints.load_optimizer_state(self.optimizers, parts.get("optimizer", {}))
            if self.average:
                self.average.model.load_state_dict(parts["average"])
            self.best_weights = {name: tensor.to(self.device) for name, tensor in parts.get("best", {}).items()}
            if self.scheduled.plateau and self.at.plateau:
                self.scheduled.plateau.load(**self.at.plateau)
            self.losses.copy_(parts["epoch"]["losses"])
            self.hits.copy_(parts["epoch"]["hits"])
            torch.set_rng_state(parts["random"]["cpu"])
            if self.device.type == "cuda" and "cuda" in parts["random"]:
                torch.cuda.set_rng_state(parts["random"]["cuda"], self.device)
            replay_reports(self.at, self.hooks.epoch)
            log.info("goes on from epoch %d, step %d", self.at.epoch, self.at.step)
        self.hooks.step(self.at.epoch * self.spec.steps_per_epoch + self.at.step)

    def _save_if_due(self) -> None:
        if self._saver.due:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of where the run stands, if there is to be one."""
        self._saver.save(self._parts, self._position)

    def _position(self) -> Position:
        plateau = self.scheduled.plateau
        self.at = replace(
            self.at,
            step=self._done,
            seconds=time.perf_counter() - self._began if self._done else 0.0,
            plateau=plateau.state() if plateau else None,
        )
        return self.at

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        """What the checkpoint keeps beside the position."""
        parts = {
            "model": self.model.state_dict(),
            "optimizer": checkpoints.optimizer_state(self.optimizers),
            "best": self.best_weights,
            "epoch": {"losses": self.losses, "hits": self.hits},
            "random": {"cpu": torch.get_rng_state()},
        }
        if self.device.type == "cuda":
            parts["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        if self.average:
            parts["average"] = self.average.model.state_dict()
        return parts


class Live:
    """The running figures, and a bound on how far a GPU's queue runs ahead. Waits for nothing else.

    Args:
        tell: takes the epoch's step, the run's steps so far, and the losses and hits of the last RUNNING of them.
    """

    def __init__(self, device: torch.device, tell: Callable[[int, int, Tensor, Tensor], None]) -> None:
        self._on_gpu, self._told = device.type == "cuda", tell
        self._waiting: deque[tuple[int, int, Tensor, Tensor, torch.cuda.Event | None]] = deque()
        self._events: deque[torch.cuda.Event] = deque()

    def after(self, step: int, total: int, losses: Tensor, hits: Tensor) -> None:
        """Look after the epoch's step `step`; `total` steps of the run are done. First dimension of both: steps."""
        if (step + 1) % RUNNING == 0:
            part = slice(step + 1 - RUNNING, step + 1)
            last_losses, last_hits = (values[part].to("cpu", non_blocking=True) for values in (losses, hits))
            self._waiting.append((step, total, last_losses, last_hits, self._mark()))
        if self._on_gpu and (step + 1) % (AHEAD // 2) == 0:
            event = self._mark()
            assert event is not None
            self._events.append(event)
            if len(self._events) > 2:
                self._events.popleft().synchronize()
        while self._waiting and self._over(self._waiting[0][4]):
            self._tell()

    def flush(self) -> None:
        """Tell what is left, once the device has done everything."""
        while self._waiting:
            self._tell()

    def _tell(self) -> None:
        step, total, losses, hits, _ = self._waiting.popleft()
        self._told(step, total, losses, hits)

    @staticmethod
    def _over(event: torch.cuda.Event | None) -> bool:
        return event is None or bool(event.query())  # type: ignore[no-untyped-call]

    def _mark(self) -> torch.cuda.Event | None:
        if not self._on_gpu:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return event


@contextlib.contextmanager
def torch_state(spec: TrainingSpec, device: torch.device) -> Iterator[None]:
    """Torch's global state as the run needs it, and as it was afterwards."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        cudnn.benchmark = device.type == "cuda" and not spec.deterministic
        if spec.deterministic:
            cudnn.deterministic = True
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            cudnn.benchmark, cudnn.deterministic = before[:2]
            torch.use_deterministic_algorithms(before[2])


def autocast(spec: TrainingSpec, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """What the model is called in."""
    if spec.precision != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def exact(spec: TrainingSpec, logits: Tensor) -> Tensor:
    """Logits as the loss is computed from them."""
    return logits.float() if spec.precision == "bfloat16" else logits


def built(spec: TrainingSpec, device: torch.device) -> nn.Module:
    """The job's model as it is trained: on the device, in channels_last. Draws from torch's global generator."""
    model = spec.model.build(spec.dataset.image_shape, spec.dataset.num_classes)
    model.to(device, DTYPES[spec.precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
    freeze(model, spec.model.freeze)
    return model


def sizes_of(spec: TrainingSpec) -> list[int]:
    """Images of each step of an epoch."""
    n, size = spec.dataset.train_size, spec.batch_size
    return [min(size, n - begin) for begin in range(0, spec.steps_per_epoch * size, size)]


def pieces_of(spec: TrainingSpec, size: int, begin: int) -> list[slice]:
    """The places of a batch in the epoch's order, from `begin` on: one slice, or several with micro_batch_size."""
    end, most = begin + size, spec.micro_batch_size or spec.batch_size
    return [slice(at, min(at + most, end)) for at in range(begin, end, most)]


def check_pieces(spec: TrainingSpec, model: nn.Module, pieces: list[list[slice]]) -> None:
    """Refuse a batch of one image for a model that normalizes over the batch, before it comes. Raises SpecError."""
    if not any(piece.stop - piece.start == 1 for batch in pieces for piece in batch):
        return
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        images = next(model.parameters()).new_zeros((1, *spec.dataset.image_shape))
        try:
            with torch.no_grad():
                copied(model).train()(images)
        except ValueError as error:
            last = pieces[-1]
            field = "batch_size" if last[-1].stop - last[0].start == 1 else "micro_batch_size"
            message = f"{field}: a piece of one image cannot be normalized; another size or drop_last would do"
            raise SpecError(f"{message} ({error})") from None


def copied(model: nn.Module) -> nn.Module:
    """A copy with its own weights."""
    copy_of_it = copy.deepcopy(model)
    for module in copy_of_it.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # cuDNN wants them in one piece, which a copy is not
    return copy_of_it


def implementation_of(optimizer: Optimizer, device: torch.device, *, capturable: bool) -> dict[str, bool]:
    """Which of torch's implementations steps: one kernel, or one over all tensors together; as part of a graph."""
    chosen = {"fused": True} if optimizer.fused and device.type == "cuda" else {"foreach": True}
    if capturable and "capturable" in inspect.signature(getattr(torch.optim, optimizer.name())).parameters:
        chosen["capturable"] = True
    return chosen


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
