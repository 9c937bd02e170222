"""The optimizer's step size, and the curvature at which it is too large."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from largestep import _checks
from largestep.deep.measures.base import Measure, Quantity, Subject, Values

__all__ = ["StepSize"]


@dataclass
class StepSize(Measure):
    """The largest step size of an optimizer's groups, and the edge of stability that it sets.

    Quantities: step_size, η; and edge, the curvature beyond which steps along a direction grow on
    a quadratic loss: 2/η for SGD, 2(1 + β)/η with momentum β, 2(1 + β)/((1 + 2β)η) with Nesterov's;
    η counts (1 − dampening) fold. Sharpness and batch sharpness are held against it. NaN for
    optimizers that scale each coordinate, as Adam does, where no one number is the edge; and
    infinite for a step size of zero.

    Parameters
    ----------
    optimizer : that trains the model.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError
        If it is no optimizer: it needs param_groups with "lr".
    """

    optimizer: torch.optim.Optimizer
    every: int | None = None

    quantities = MappingProxyType(
        {
            "step_size": Quantity("step size"),
            "edge": Quantity("curvature at the edge of stability", logged=False),
        }
    )
    cost = "nothing"

    def __post_init__(self) -> None:
        groups = getattr(self.optimizer, "param_groups", None)
        if not groups or any("lr" not in group for group in groups):
            raise TypeError(
                "optimizer must have param_groups with a step size, got "
                f"{_checks.shown(self.optimizer)}"
            )

    def measure(self, subject: Subject) -> Values:
        """Return step size and edge."""
        group = max(self.optimizer.param_groups, key=lambda group: float(group["lr"]))
        return {"step_size": float(group["lr"]), "edge": self._edge(group)}

    def _edge(self, group: dict[str, object]) -> float:
        inner = getattr(self.optimizer, "optimizer", self.optimizer)  # accelerate wraps
        if not isinstance(inner, torch.optim.SGD):
            return np.nan
        momentum = float(group["momentum"])  # type: ignore[arg-type]
        step = float(group["lr"]) * (1.0 - float(group["dampening"]))  # type: ignore[arg-type]
        if group["nesterov"]:
            return 2.0 * (1.0 + momentum) / ((1.0 + 2.0 * momentum) * step) if step else np.inf
        return 2.0 * (1.0 + momentum) / step if step else np.inf
