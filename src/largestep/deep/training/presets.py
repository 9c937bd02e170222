"""The settings of the deep experiments: networks, data and schedules, in one place.

The schedules of large steps have three phases: large until a fraction of training, its end value
divided by 10 after that, and by 100 from 90 % on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn

from largestep import _checks
from largestep.deep.control.base import Controller
from largestep.deep.control.hold_edge import HoldEdge
from largestep.deep.control.loss_stabilization import LossStabilization
from largestep.deep.training.settings import Training
from largestep.schedules import Schedule, as_schedule, constant, exponential, piecewise

__all__ = ["PRESETS", "SCHEDULES", "SETTINGS", "Edge", "Hold", "Preset", "large", "training"]

SCHEDULES = ("small", "large", "late", "hold", "edge")
"""Constant small steps, the three phases of large ones, the last two alone, or a controller: of the
loss, or of the curvature of the steps."""
SETTINGS = ("plain", "sota")
"""The bare optimizer, or the state of the art: for SGD momentum, weight decay and augmentation."""


@dataclass(frozen=True)
class StepSizes:
    """The step sizes of one setting.

    Attributes
    ----------
    small : constant.
    large : at the start.
    growth : factor by which the large one grows in the course of a whole training.
    late : after the phase, and its tenth from 90 % on; None for a tenth of the large one's last.
    """

    small: float
    large: float
    growth: float = 1.0
    late: float | None = None


@dataclass(frozen=True)
class Preset:
    """An experiment's network, data and budget.

    Attributes
    ----------
    model, model_settings, epochs, batch_size : as in `Training`.
    datasets : those it is for, the default first.
    step_sizes : by setting.
    augment : what the state of the art does to its images, as in `Training`.
    optimizer : whose step sizes these are, as in `Training`.
    regularised : the optimizer's settings in the state of the art.
    train : so many training examples, the same ones always; None for all.
    """

    model: str
    datasets: tuple[str, ...]
    epochs: int
    batch_size: int
    step_sizes: Mapping[str, StepSizes]
    augment: bool | Literal["crops"] = True
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "SGD"
    regularised: Mapping[str, Any] = field(
        default_factory=lambda: {"momentum": 0.9, "weight_decay": 5e-4}
    )
    train: int | None = None


# 0.75·1.05^(100 t) without regularisation, 0.05 with it.
_PAPER = {
    "plain": StepSizes(small=0.01, large=0.75, growth=1.05**100),
    "sota": StepSizes(small=0.002, large=0.05),
}

_RESNET18 = Preset(
    "resnet18", ("cifar10", "cifar100"), epochs=100, batch_size=256, step_sizes=_PAPER
)
_DENSENET100 = replace(
    _RESNET18, model="densenet100", datasets=("cifar10", "cifar100", "tiny-imagenet")
)
# A letter that is flipped is another letter, or none: crops alone.
_GLYPHS = Preset(
    "small_resnet",
    ("glyphs",),
    epochs=20,
    batch_size=32,
    step_sizes={
        "plain": StepSizes(small=0.1, large=1.0, growth=16.0, late=0.2),
        "sota": StepSizes(small=0.01, large=0.1),
    },
    augment="crops",
    model_settings={"widths": (8, 16, 32)},
)
_GLYPHS_DARK = "glyphs:distortion=0.3,distractors=0,noise=0.1,lighter_ink=0.0"
_GLYPHS_32 = "glyphs:images=50000,test_images=10000,classes=60,size=32,channels=3"

PRESETS = {
    # A digit that is flipped is another digit, or none.
    "digits": Preset(
        "small_resnet",
        ("digits",),
        epochs=40,
        batch_size=32,
        step_sizes={
            "plain": StepSizes(small=0.1, large=2.0),
            "sota": StepSizes(small=0.01, large=0.1),
        },
        augment=False,
        train=500,
    ),
    "glyphs": _GLYPHS,
    "glyphs-no-norm": replace(
        _GLYPHS,
        datasets=(_GLYPHS_DARK,),
        model_settings={**_GLYPHS.model_settings, "norm": "none"},
        step_sizes={
            "plain": StepSizes(small=0.03, large=0.3),
            "sota": StepSizes(small=0.003, large=0.03),
        },
    ),
    "glyphs-densenet": replace(_GLYPHS, model="small_densenet", model_settings={}),
    "resnet18": _RESNET18,
    "densenet100": _DENSENET100,
    "resnet18-glyphs": replace(_RESNET18, datasets=(_GLYPHS_32,), augment="crops"),
    "densenet100-glyphs": replace(_DENSENET100, datasets=(_GLYPHS_32,), augment="crops"),
    "transformer": Preset(
        "transformer",
        ("text",),
        epochs=1,
        batch_size=16,
        step_sizes=dict.fromkeys(SETTINGS, StepSizes(small=3e-4, large=3e-3)),
        augment=False,
        optimizer="AdamW",
        regularised={"betas": (0.9, 0.95), "weight_decay": 0.1},
    ),
}
"""What `largestep train` knows by name."""


def large(before: Schedule | float, phase: float, late: float | None = None) -> Schedule:
    """Follow `before` until `phase`, then take late steps, and a tenth of them from 90 % on.

    Late steps are a tenth of what comes before them, if not given.

    >>> large(0.5, 0.3)
    from 0%: 0.5; from 30%: 0.05; from 90%: 0.005
    """
    phase = _checks.number("phase", phase, above=0.0, at_most=0.9)
    late = float(as_schedule(before)(phase)[0]) / 10 if late is None else late
    return piecewise({0.0: before, phase: late, 0.9: late / 10})


@dataclass(frozen=True)
class Hold:
    """Makes a `LossStabilization`, which holds the training loss and so finds its step size.

    Parameters
    ----------
    phase : fraction of training spent holding.

    Raises
    ------
    TypeError, ValueError
        If the phase is not in (0, 1].
    """

    phase: float = 0.5

    def __post_init__(self) -> None:
        _checks.number("phase", self.phase, above=0.0, at_most=1.0)

    def __call__(self, optimizer: torch.optim.Optimizer, steps: int) -> Controller:
        """Return the controller of an optimizer for so many steps."""
        return LossStabilization(optimizer, steps, hold=self.phase)


@dataclass(frozen=True)
class Edge:
    """Makes a `HoldEdge`, which holds the curvature of the steps, for any optimizer.

    Parameters
    ----------
    kappa : the curvature to hold.
    phase : fraction of training spent holding.

    Raises
    ------
    TypeError, ValueError
        If kappa is not positive, or the phase not in (0, 1].
    """

    kappa: float = 1.0
    phase: float = 0.5

    def __post_init__(self) -> None:
        _checks.number("kappa", self.kappa, above=0.0)
        _checks.number("phase", self.phase, above=0.0, at_most=1.0)

    def __call__(
        self, optimizer: torch.optim.Optimizer, steps: int, model: nn.Module | None = None
    ) -> Controller:
        """Return the controller of an optimizer of a model for so many steps."""
        for group in optimizer.param_groups:
            group["lr"] = _FIRST_STEP  # it finds its way from any
        return HoldEdge(optimizer, steps, model=model, kappa=self.kappa, hold=self.phase)


_FIRST_STEP = 1e-4


def training(
    preset: str,
    schedule: str = "large",
    *,
    setting: str = "plain",
    phase: float = 0.5,
    step_size: float | None = None,
    **changes: Any,
) -> Training:
    """Return the settings of a preset.

    Parameters
    ----------
    preset : one of `PRESETS`.
    schedule : one of `SCHEDULES`.
    setting : one of `SETTINGS`.
    phase : fraction of training with large steps, or spent holding.
    step_size : in place of the preset's, which are those of its optimizer; of large steps the
        first.
    **changes : of any of `Training`'s parameters.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown (the error lists those there are), or a setting is out of its range.

    Examples
    --------
    >>> training("resnet18", "large", setting="sota", phase=0.3).step_size
    from 0%: 0.05; from 30%: 0.005; from 90%: 0.0005
    """
    for name, value, known in (
        ("preset", preset, PRESETS),
        ("schedule", schedule, SCHEDULES),
        ("setting", setting, SETTINGS),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    chosen = PRESETS[preset]
    optimizer = changes.get("optimizer", chosen.optimizer)
    uncontrolled = schedule in ("small", "large")
    if uncontrolled and step_size is None and optimizer != chosen.optimizer:
        raise ValueError(
            f"step_size must be given for {optimizer}: the preset's are those of {chosen.optimizer}"
        )
    sizes = chosen.step_sizes[setting]
    if schedule == "small":
        given: Schedule | Hold | Edge = constant(sizes.small if step_size is None else step_size)
    elif schedule == "large":
        start = _checks.number(
            "step_size", sizes.large if step_size is None else step_size, above=0
        )
        peak = start * sizes.growth ** _checks.number("phase", phase, above=0.0, at_most=0.9)
        growing = start if peak == start else exponential(start, peak, until=phase)
        given = large(growing, phase, sizes.late)
    elif schedule == "late":
        first = _checks.number(
            "step_size", sizes.late or sizes.large / 10 if step_size is None else step_size, above=0
        )
        given = piecewise({0.0: first, 0.9: first / 10})
    elif step_size is not None:
        raise ValueError("step_size must be left out where a controller sets it")
    else:
        given = Hold(phase) if schedule == "hold" else Edge(phase=phase)
    settings: dict[str, Any] = {
        "model": chosen.model,
        "step_size": given,
        "epochs": chosen.epochs,
        "batch_size": chosen.batch_size,
        "model_settings": chosen.model_settings,
        "optimizer": chosen.optimizer,
    }
    if setting == "sota":
        settings |= {"optimizer_settings": dict(chosen.regularised), "augment": chosen.augment}
    return Training(**{**settings, **changes})
