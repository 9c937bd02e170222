"""Train a deep network by SGD: one loop, to be read from top to bottom.

All that is random is a pure function of the seed and the step: the order of the examples, their
augmentation, the noise on their labels. A checkpoint therefore needs no random state, and a run
that is taken up again visits what it would have visited.
"""

import copy
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from safetensors.torch import load_file, save_file
from torch import distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

import largestep
from largestep import checks, runs
from largestep.deep import checkpoints, models
from largestep.deep.data import Dataset, augment, permutation
from largestep.deep.evaluation import Evaluations
from largestep.progress import track
from largestep.schedules import Schedule, as_schedule

__all__ = ["LOSS_BOUND", "Controller", "Stopped", "Trained", "Training", "train"]

LOSS_BOUND = 1e6
"""A run whose mini-batch loss goes beyond this, or is not finite, has diverged."""


class Controller(Protocol):
    """What sets the optimizer's step size from the losses, as `LossStabilization` does."""

    def step(self, loss: torch.Tensor) -> None:
        """Take notice of a mini-batch's loss, after the optimizer's step."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


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
            checks.number("step_size", self.step_size, at_least=0.0)
        for name in ("epochs", "batch_size", "evaluations", "examples", "max_units"):
            checks.integer(name, getattr(self, name), at_least=1)
        checks.integer("seed", self.seed, at_least=0)
        checks.number("momentum", self.momentum, at_least=0.0, at_most=1.0)
        checks.number("weight_decay", self.weight_decay, at_least=0.0)
        checks.number("label_noise", self.label_noise, at_least=0.0, at_most=1.0)
        if self.averaging is not None:
            checks.number("averaging", self.averaging, above=0.0, at_most=1.0)
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


class Stopped(Exception):  # noqa: N818  (it is no error)
    """A signal stopped the training after its current step, and a checkpoint was saved.

    Attributes
    ----------
    signal : the signal's number.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


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
    checks.number("checkpoint_seconds", checkpoint_seconds, at_least=0.0)
    if out is None and (resume or tensorboard):
        raise ValueError("out must be given for resume and tensorboard")
    with ExitStack() as stack:
        place = stack.enter_context(_processes(device))
        writes = out is not None and place.rank == 0
        if out is not None and writes:
            stack.enter_context(checkpoints.exclusive(runs.prepare_folder(out)))
        run = _Run(settings, data, place)
        config = _configuration(settings, data)
        if out is not None:
            for rank in range(place.world):  # one after the other: loading may repair the folder
                if rank == place.rank:
                    finished = _take_up(run, out, config, resume)
                place.wait()
            if finished:
                return finished
        stop = stack.enter_context(checkpoints.stopping() if writes else nullcontext(checkpoints.Stop()))
        board = stack.enter_context(_board(out, run.step)) if writes and tensorboard else None
        advance = stack.enter_context(track(progress if place.rank == 0 else None, run.steps - run.step))

        def save() -> None:
            if out is not None and writes:
                checkpoints.save(out, run.tensors(), {**run.state(), "configuration": config})

        save()
        saved = time.monotonic()
        while True:
            if place.agree(stop.signal is not None, run.step):
                save()
                raise Stopped(f"stopped after step {run.step} of {run.steps}; {out} holds a checkpoint", int(stop.signal or 15))
            if time.monotonic() - saved > checkpoint_seconds:
                save()
                saved = time.monotonic()
            if run.step in run.evaluations.steps:
                run.evaluate(board)
            if run.step == run.steps or run.diverged:
                break
            run.take_step()
            advance()
        trained = run.finish()
        if out is not None and writes:
            _store(out, trained, config)
    return trained
