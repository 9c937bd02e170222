"""Train a deep network by SGD: one loop, to be read from top to bottom.

All that is random is a pure function of the seed and the step: the order of the examples, their
augmentation, the noise on their labels. A checkpoint therefore needs no random state, and a run
that is taken up again visits what it would have visited.
"""

import copy
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import xarray as xr
from safetensors.torch import save as to_bytes
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

import largestep
from largestep import _checks, _files, store
from largestep._progress import track
from largestep.deep import models
from largestep.deep.data import Dataset, augment, permutation
from largestep.deep.loading import read_weights
from largestep.deep.training import checkpoints, processes
from largestep.deep.training.evaluation import Evaluations, autocast
from largestep.deep.training.processes import Place, memory_format
from largestep.schedules import Schedule, as_schedule

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["LOSS_BOUND", "Controller", "Run", "Stopped", "Trained", "Training", "train"]

LOSS_BOUND = 1e6
"""A run whose mini-batch loss goes beyond this, or is not finite, has diverged."""
_PURPOSES = ("augmentation", "labels")


class Controller(Protocol):
    """What sets the optimizer's step size from the losses, as `LossStabilization` does."""

    def step(self, loss: torch.Tensor) -> None:
        """Take notice of a mini-batch's loss, after the optimizer's step."""

    def state_dict(self) -> dict[str, Any]:
        """Return its state, as JSON can hold it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""


@dataclass(frozen=True)
class Training:
    """All that fixes a training run, but for the data.

    Parameters
    ----------
    model : name, as `models.build` knows it.
    step_size : a schedule or a number; or what makes a controller from the optimizer and the
        number of steps. Its `repr` stands for it in the configuration.
    epochs : passes over the training examples; of each, the examples that do not fill a last
        batch are left out.
    batch_size : examples in a step, over all processes.
    model_settings : keywords for `models.build`.
    momentum, weight_decay : of `torch.optim.SGD`; the decay is part of the gradient and acts on
        all parameters.
    augment : random crops (padding 4) and flips.
    label_noise : probability with which a label is redrawn uniformly, anew in every step.
    averaging : decay per step of an exponential moving average of the parameters, which is then
        evaluated too, with batch statistics of its own; None for no average.
    precision : "fp32", or "bf16" for autocast to bfloat16.
    compile : whether to compile the network with `torch.compile`.
    evaluations : how many, evenly spaced, after the one at the start.
    examples : the most training examples to evaluate on.
    max_units : the most units of a stage to measure feature sparsity on.
    seed : of initialisation, order, augmentation and label noise.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.
    """

    model: str
    step_size: "Schedule | float | Callable[[torch.optim.Optimizer, int], Controller]"
    epochs: int
    batch_size: int
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    momentum: float = 0.0
    weight_decay: float = 0.0
    augment: bool = False
    label_noise: float = 0.0
    averaging: float | None = None
    precision: str = "fp32"
    compile: bool = False
    evaluations: int = 40
    examples: int = 10_000
    max_units: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in models.NAMES:
            raise ValueError(f"model must be one of {', '.join(models.NAMES)}, got {self.model!r}")
        if not isinstance(self.step_size, Schedule) and not callable(self.step_size):
            _checks.number("step_size", self.step_size, at_least=0.0)
        for name in ("epochs", "batch_size", "evaluations", "examples", "max_units"):
            _checks.integer(name, getattr(self, name), at_least=1)
        _checks.integer("seed", self.seed, at_least=0)
        _checks.number("momentum", self.momentum, at_least=0.0, below=1.0)
        _checks.number("weight_decay", self.weight_decay, at_least=0.0)
        _checks.number("label_noise", self.label_noise, at_least=0.0, at_most=1.0)
        if self.averaging is not None:
            _checks.number("averaging", self.averaging, above=0.0, below=1.0)
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, got {self.precision!r}")

    def steps(self, examples: int) -> int:
        """Return the number of steps on so many training examples."""
        if examples < self.batch_size:
            raise ValueError(
                f"batch_size must be at most the number of training examples, {examples}, "
                f"got {self.batch_size}"
            )
        return self.epochs * (examples // self.batch_size)


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives.

    Attributes
    ----------
    model : the network after the last step, in evaluation mode, on the training device.
    averaged : the one with averaged weights, where that was asked for.
    results : dataset with dimensions `step` (evaluations) and `layer` (stages), as
        `Evaluations` fills it, and two scalars, NaN where it did not happen: `diverged_at`, the
        steps completed before the mini-batch whose loss was not finite or beyond `LOSS_BOUND`,
        which ended the run; and `collapsed_at`, the first evaluation from which on all outputs
        were the same for all inputs, as when every unit of the last stage is dead.
    """

    model: nn.Module
    averaged: nn.Module | None
    results: xr.Dataset


class Stopped(KeyboardInterrupt):
    """A signal has stopped the training after its current step, and a checkpoint was saved.

    Attributes
    ----------
    signal : which one.
    """

    def __init__(self, message: str, signal: signal.Signals) -> None:
        super().__init__(message)
        self.signal = signal


def train(
    settings: Training,
    data: Dataset,
    *,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: str | None = None,
    tensorboard: bool = False,
    checkpoint_seconds: float = 60.0,
) -> Trained:
    """Train a network, and measure it on the way.

    On the CPU a result is fixed bit for bit by settings, data and the number of threads, however
    often the run was killed and taken up again. On a GPU, where cuDNN picks its algorithms by
    their speed, it is not.

    Launched by torchrun, processes share every batch: gradients are those of a single process,
    but for rounding, and on the CPU for batch norm, whose statistics are then each process's own.

    Parameters
    ----------
    settings : what to train and how.
    data : what to train on and to test on.
    out : folder for `checkpoint.safetensors`, and at the end for `results.nc`,
        `model.safetensors`, `averaged.safetensors` and `config.json`; nothing is saved without.
    resume : go on from what `out` holds, if it holds anything; without it a folder that holds a
        run is refused. A finished run is returned as it is.
    device : "auto" (a GPU if there is one), or as PyTorch names it.
    progress : a description shows progress on standard error; None is silent.
    tensorboard : also log to `out`/tensorboard.
    checkpoint_seconds : time between checkpoints. There is also one at the start, and on SIGTERM
        or SIGINT.

    Raises
    ------
    Stopped
        After SIGTERM or SIGINT; with `resume` the same call goes on.
    TypeError, ValueError
        If a setting is not what is said above, the folder holds the run of other settings (the
        error names them), or only damaged checkpoints.
    OSError
        If the folder can't be written to, or another process is training in it.
    """
    _checks.number("checkpoint_seconds", checkpoint_seconds, at_least=0.0)
    if out is None and (resume or tensorboard):
        raise ValueError("out must name a folder for resume and tensorboard, got None")
    with ExitStack() as stack:
        place = stack.enter_context(processes.place(device))
        first = place.rank == 0
        run = Run(settings, data, place)
        stop = checkpoints.Stop()
        if out is not None:
            if first:
                stack.enter_context(checkpoints.exclusive(_files.prepare_folder(out)))
            for rank in range(place.processes):  # one by one: loading may repair the folder
                if rank == place.rank:
                    finished = _taken_up(run, out, resume)
                place.wait()
            if finished is not None:
                return finished
            stop = stack.enter_context(checkpoints.stopping())
        board = None
        if tensorboard and first and out is not None:
            board = stack.enter_context(_board(out / "tensorboard", run.step))
        advance = stack.enter_context(track(progress if first else None, run.steps - run.step))

        def save() -> float:
            if out is not None and first:
                checkpoints.save(out, run.tensors(), run.state())
            return time.monotonic()

        saved = save()
        while True:
            if place.agree(stop.signal is not None, run.step):
                save()
                raise Stopped(
                    f"stopped at step {run.step} of {run.steps}; {out} holds a checkpoint",
                    stop.signal or signal.SIGTERM,
                )
            if time.monotonic() - saved > checkpoint_seconds:
                saved = save()
            if run.evaluations.due(run.step):
                run.evaluate(board)
            if run.step == run.steps or not math.isnan(run.diverged_at):
                break
            run.take_step()
            advance()
        trained = run.trained()
        if out is not None and first:
            _store(out, trained, run)
    return trained


class Run:
    """A run at one of its steps: all that changes, and how a step changes it."""

    def __init__(self, settings: Training, data: Dataset, place: Place) -> None:
        self.settings, self.place = settings, place
        self.steps = settings.steps(len(data.x_train))
        if settings.batch_size % place.processes:
            raise ValueError(
                f"batch_size must be a multiple of the number of processes, {place.processes}, "
                f"got {settings.batch_size}"
            )
        self.configuration = _configuration(settings, data)
        self.data = data.to(place.device)
        model = models.build(
            settings.model,
            data.classes,
            settings.seed,
            channels=data.x_train.shape[1],
            **settings.model_settings,
        )
        self.model = place.settle(model)
        self.memory_format = memory_format(model, place.device)
        self.averaged = copy.deepcopy(self.model) if settings.averaging else None
        self._average = get_ema_multi_avg_fn(settings.averaging or 0.0)  # type: ignore[no-untyped-call]
        self.forward = place.parallel(self.model)
        if settings.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=0.1,  # until the schedule or the controller sets it
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.controller: Controller | None = None
        if isinstance(settings.step_size, Schedule | int | float):
            schedule = as_schedule(settings.step_size)
            self.step_sizes = schedule(np.arange(self.steps) / self.steps)
            self.step_size = float(self.step_sizes[0])
        else:
            self.controller = settings.step_size(self.optimizer, self.steps)
        self.evaluations = Evaluations(
            settings, self.data, self.model, self.steps, self.memory_format
        )
        self.step = 0
        self.losses = torch.full((self.steps,), torch.nan, device=place.device)
        self.diverged_at = self.collapsed_at = math.nan
        self._seen = 0
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._generator = torch.Generator(place.device)

    @property
    def step_size(self) -> float:
        """The optimizer's step size."""
        return float(self.optimizer.param_groups[0]["lr"])

    @step_size.setter
    def step_size(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def take_step(self) -> None:
        """Take one step of SGD."""
        if self.controller is None:
            self.step_size = float(self.step_sizes[self.step])
        images, labels = self._batch()
        with autocast(self.settings.precision, self.place.device):
            loss = functional.cross_entropy(self.forward(images), labels)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        loss = self.place.mean(loss.detach())
        if self.controller is not None:
            self.controller.step(loss)
        if self.averaged is not None:
            parameters = list(self.averaged.parameters()), list(self.model.parameters())
            self._average(*parameters, None)
        self.losses[self.step] = loss
        self.step += 1
        # To look at a loss is to wait for the GPU.
        if self.place.device.type == "cpu" or self.step % 50 == 0:
            self._look()

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return this process's share of the step's batch. All of it is drawn by every process."""
        settings, data = self.settings, self.data
        epoch, number = divmod(self.step, self.steps // settings.epochs)
        if epoch != self._epoch:
            order = permutation(len(data.x_train), settings.seed, epoch)
            self._epoch, self._order = epoch, order.to(self.place.device)
        chosen = self._order[number * settings.batch_size : (number + 1) * settings.batch_size]
        images, labels = data.x_train[chosen], data.y_train[chosen]
        if settings.augment:
            images = augment(images, self._stream("augmentation"))
        if settings.label_noise:
            labels = redraw(labels, settings.label_noise, data.classes, self._stream("labels"))
        images, labels = self.place.share(images), self.place.share(labels)
        return data.normalise(images).contiguous(memory_format=self.memory_format), labels

    def _stream(self, purpose: str) -> torch.Generator:
        """Return the generator for one purpose in this step."""
        key = (_PURPOSES.index(purpose), self.step)
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=key)
        return self._generator.manual_seed(int(sequence.generate_state(1)[0]))

    def _look(self) -> None:
        """See whether the run has diverged."""
        bad = ~(self.losses[self._seen : self.step].abs() <= LOSS_BOUND)
        if math.isnan(self.diverged_at) and bad.any():
            self.diverged_at = float(self._seen + bad.int().argmax())
        self._seen = self.step

    def evaluate(self, board: "SummaryWriter | None") -> None:
        """Record the row of this step, unless the run has diverged."""
        self._look()
        finite = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if not finite and math.isnan(self.diverged_at):
            self.diverged_at = float(self.step)
        if not math.isnan(self.diverged_at):
            return
        collapsed = self.evaluations.record(
            self.step, self.model, self.averaged, self.step_size, self.losses
        )
        if not collapsed or self.step == 0:
            self.collapsed_at = math.nan
        elif math.isnan(self.collapsed_at):
            self.collapsed_at = float(self.step)
        if board is not None:
            for name, value in self.evaluations.scalars(self.step).items():
                board.add_scalar(name, value, self.step)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of a checkpoint."""
        tensors = _prefixed("model", self.model.state_dict())
        if self.averaged is not None:
            tensors |= _prefixed("averaged", self.averaged.state_dict())
        tensors |= _prefixed("momentum", self._momenta())
        tensors |= _prefixed("rows", self.evaluations.rows)
        return {**tensors, "losses": self.losses}

    def state(self) -> dict[str, Any]:
        """Return the rest of a checkpoint."""
        return {
            "configuration": self.configuration,
            "environment": _environment(self.place),
            "step": self.step,
            "step_size": self.step_size,
            "controller": None if self.controller is None else self.controller.state_dict(),
            "diverged_at": self.diverged_at,
            "collapsed_at": self.collapsed_at,
        }

    def restore(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Become the run that a checkpoint holds."""
        self.model.load_state_dict(_below("model", tensors))
        if self.averaged is not None:
            self.averaged.load_state_dict(_below("averaged", tensors))
        momenta = _below("momentum", tensors)
        for name, parameter in self.model.named_parameters():
            if name in momenta:
                # In the parameter's memory format, for the same bits in the same order.
                buffer = torch.empty_like(parameter).copy_(momenta[name])
                self.optimizer.state[parameter]["momentum_buffer"] = buffer.detach()
        self.evaluations.rows |= _below("rows", tensors)
        self.losses.copy_(tensors["losses"])
        self.step, self.step_size = state["step"], state["step_size"]
        if self.controller is not None:
            self.controller.load_state_dict(state["controller"])
        self.diverged_at, self.collapsed_at = state["diverged_at"], state["collapsed_at"]

    def _momenta(self) -> dict[str, torch.Tensor]:
        found = {}
        for name, parameter in self.model.named_parameters():
            buffer = self.optimizer.state[parameter].get("momentum_buffer")
            if buffer is not None:
                found[name] = buffer
        return found

    def trained(self) -> Trained:
        """Return what the run has given."""
        results = self.evaluations.dataset()
        for name, text in (
            ("diverged_at", "steps completed before the divergence"),
            ("collapsed_at", "steps completed at the first evaluation of a collapsed network"),
        ):
            attributes = {"long_name": text, "units": "steps"}
            results[name] = xr.DataArray(getattr(self, name), attrs=attributes)
        results.attrs.update(
            settings=json.dumps(self.configuration["settings"], ensure_ascii=False),
            data=json.dumps(self.configuration["data"], ensure_ascii=False),
            steps=self.steps,
            largestep=largestep.__version__,
        )
        averaged = None if self.averaged is None else self.averaged.eval()
        return Trained(self.model.eval(), averaged, results)


def redraw(
    labels: torch.Tensor, probability: float, classes: int, generator: torch.Generator
) -> torch.Tensor:
    """Return the labels, each redrawn uniformly over the classes with the probability."""
    chance = torch.rand(labels.shape, generator=generator, device=labels.device)
    drawn = torch.randint(classes, labels.shape, generator=generator, device=labels.device)
    return torch.where(chance < probability, drawn, labels)


def _taken_up(run: Run, out: Path, resume: bool) -> Trained | None:
    """Bring the run to where the folder has it; return what it gave if it is finished."""
    finished, found = None, None
    if (out / "results.nc").exists():
        finished, state = store.load(out / "results.nc")
    elif (found := checkpoints.load(out)) is not None:
        state = found[1]
    else:
        return None
    if not resume:
        raise ValueError(f"{out} holds a run: resume it, or name another folder")
    _check_same(state["configuration"], run.configuration, out)
    if finished is not None:
        checkpoints.delete(out)
        run.model.load_state_dict(read_weights(out / "model.safetensors"))
        if run.averaged is not None:
            run.averaged.load_state_dict(read_weights(out / "averaged.safetensors"))
        return replace(run.trained(), results=finished["training"])
    if found is not None:
        run.restore(*found)
    environment = _environment(run.place)
    if state["environment"] != environment and run.place.rank == 0:
        before = ", ".join(f"{k} {v}" for k, v in state["environment"].items())
        print(f"The run was begun with {before}: its bits may differ from here", file=sys.stderr)
    return None


def _store(out: Path, trained: Trained, run: Run) -> None:
    """Save what was trained; the run is finished once `results.nc` is there."""
    config = {"configuration": run.configuration, "environment": _environment(run.place)}
    _files.write_json(out / "config.json", config)
    for name, model in (("model", trained.model), ("averaged", trained.averaged)):
        if model is not None:
            weights = to_bytes({k: v.cpu().contiguous() for k, v in model.state_dict().items()})
            _files.atomically(out / f"{name}.safetensors", partial(Path.write_bytes, data=weights))
    store.save(out / "results.nc", {"training": trained.results}, config)
    checkpoints.delete(out)


def _configuration(settings: Training, data: Dataset) -> dict[str, Any]:
    """Return what fixes a run's numbers, as JSON has it."""
    listed = {f.name: getattr(settings, f.name) for f in fields(settings)}
    listed["step_size"] = repr(settings.step_size)
    digest = hashlib.blake2b(digest_size=8)
    for tensor in (data.x_train, data.y_train, data.x_test, data.y_test):
        digest.update(tensor.cpu().contiguous().numpy().data)
    described = {
        "name": data.name,
        "training examples": len(data.x_train),
        "test examples": len(data.x_test),
        "channels": data.x_train.shape[1],
        "classes": data.classes,
        "digest": digest.hexdigest(),
    }
    return json.loads(json.dumps({"settings": listed, "data": described}))


def _check_same(stored: Mapping[str, Any], asked: Mapping[str, Any], out: Path) -> None:
    differ = [
        f"{name} was {before!r} and is now {asked[group].get(name)!r}"
        for group in ("settings", "data")
        for name, before in stored[group].items()
        if asked[group].get(name) != before
    ]
    if differ:
        raise ValueError(f"{out} holds the run of other settings: {'; '.join(differ)}")


def _environment(place: Place) -> dict[str, Any]:
    """Return what may change a run's bits, but not what it is."""
    return {
        "PyTorch": torch.__version__,
        "device": place.device.type,
        "processes": place.processes,
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _board(folder: Path, step: int) -> Iterator["SummaryWriter"]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step) as board:
        yield board


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
