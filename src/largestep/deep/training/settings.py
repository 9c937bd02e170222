"""What fixes a training run, but for the data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np

from largestep import _checks
from largestep.deep import models
from largestep.deep.control.base import MakeController
from largestep.deep.data.dataset import Examples, Sequences
from largestep.deep.training import optimizers
from largestep.schedules import Schedule

__all__ = ["Training", "check_suits", "configuration"]


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
    optimizer : a class of `torch.optim`, by name.
    optimizer_settings : keywords for it, but for its step size.
    augment : random crops (padding 4) and flips; or "crops" alone, padded by an eighth of the
        image, for what a flip would change. Images only.
    label_noise : probability with which a label is redrawn uniformly, anew in every step; of
        sequences, every token's.
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
    step_size: Schedule | float | MakeController
    epochs: int
    batch_size: int
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "SGD"
    optimizer_settings: Mapping[str, Any] = field(default_factory=dict)
    augment: bool | Literal["crops"] = False
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
            _checks.number_of(self, "step_size", at_least=0.0)
        for name in ("epochs", "batch_size", "evaluations", "examples", "max_units"):
            _checks.integer_of(self, name, at_least=1)
        _checks.integer_of(self, "seed", at_least=0)
        for name in ("model_settings", "optimizer_settings"):
            given = _checks.mapping(name, getattr(self, name))
            # NumPy's numbers are none to JSON.
            plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in given.items()}
            object.__setattr__(self, name, plain)
        if self.augment not in (False, True, "crops"):
            raise ValueError(f"augment must be False, True or crops, got {self.augment!r}")
        optimizers.check(self.optimizer, self.optimizer_settings)
        _checks.number_of(self, "label_noise", at_least=0.0, at_most=1.0)
        if self.averaging is not None:
            _checks.number_of(self, "averaging", above=0.0, below=1.0)
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


def check_suits(settings: Training, data: Examples) -> None:
    """Refuse a model that is not for such data, and augmentation of what is no image.

    Raises
    ------
    ValueError
        The error names the setting.
    """
    tokens = isinstance(data, Sequences)
    if tokens != (settings.model in models.OF_TOKENS):
        fitting = [name for name in models.NAMES if (name in models.OF_TOKENS) == tokens]
        raise ValueError(
            f"model must be one of {', '.join(fitting)} for {data.name}, which are "
            f"{'sequences of tokens' if tokens else 'images'}, got {settings.model!r}"
        )
    if tokens and settings.augment:
        raise ValueError(
            f"augment must be False for {data.name}, which are sequences of tokens, "
            f"got {settings.augment!r}"
        )


def configuration(settings: Training, data: Examples) -> dict[str, Any]:
    """Return what fixes a run's numbers, as JSON has it."""
    listed = {f.name: getattr(settings, f.name) for f in fields(settings)}
    listed["step_size"] = repr(settings.step_size)
    described = {
        "name": data.name,
        "training examples": len(data.x_train),
        "test examples": len(data.x_test),
        **data.size,
        "classes": data.classes,
        "digest": data.digest(),
    }
    return json.loads(json.dumps({"settings": listed, "data": described}))
