"""How far a model has moved since initialisation: parameters, activation patterns, kernel."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from largestep import _checks
from largestep.deep.batches import flattened, take
from largestep.deep.curvature.jacobian import Reduction, tangent_kernel
from largestep.deep.measures.base import Measure, Quantity, Subject, Values

__all__ = ["Movement"]


class Movement(Measure):
    """Tells lazy training from feature learning: what has changed since initialisation.

    In lazy training none of the three moves although the loss falls (Chizat, Oyallon and Bach,
    2019). The start is where the model is when its probe is made, and goes with the probe's
    checkpoints. Quantities, all zero at the start:

    - distance : ‖θ − θ_0‖/‖θ_0‖ over all trainable parameters, and distance_by_module : the same
      for each module's own. Infinite where a module started at zero and moved.
    - patterns_changed : share of the pairs of inputs and units whose activation switched between
      zero and positive, over all rectified units of the probe's layers, and
      patterns_changed_by_layer. NaN if there are none.
    - kernel_distance : 1 − ⟨K, K_0⟩/(‖K‖ ‖K_0‖) of the tangent kernels (Fort et al., 2020); in
      [0, 1], and 0 also if the kernel was only rescaled. NaN if one of them is zero.

    In a model that has diverged, what is not finite is NaN.

    Parameters
    ----------
    inputs : how many to take the kernel at, the first ones; some hundred do.
    reduction : of several outputs to the scalar whose kernel is taken; see `jacobian.Reduction`.
    every : steps between measurements; None for the probe's.
    seed : fixes the projection.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, inputs are no tensors, or the model has no gradient of a
        single example; see `jacobian.jacobian`.

    Examples
    --------
    >>> import torch
    >>> from largestep.deep import Probe
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> probe = Probe(model, torch.randn(10, 3), measures=[Movement()], every=1)
    >>> with torch.no_grad():
    ...     _ = [p.mul_(1.5) for p in model.parameters()]
    >>> round(probe.step()["distance"], 6)
    0.5
    """

    quantities = MappingProxyType(
        {
            "distance": Quantity("relative distance from initialisation"),
            "distance_by_module": Quantity("relative distance from initialisation", "module"),
            "patterns_changed": Quantity("share of activation patterns changed"),
            "patterns_changed_by_layer": Quantity("share of activation patterns changed", "layer"),
            "kernel_distance": Quantity("kernel distance to initialisation"),
        }
    )
    needs = frozenset({"features"})
    cost = "a gradient for each of its inputs, and a forward pass"

    def __init__(
        self,
        inputs: int = 100,
        *,
        reduction: Reduction = "projection",
        every: int | None = None,
        seed: int = 0,
    ) -> None:
        self.inputs = _checks.integer("inputs", inputs, at_least=1)
        self.reduction: Reduction = reduction
        self.every = every
        self.seed = _checks.integer("seed", seed, at_least=0)

    def start(self, subject: Subject) -> None:
        """Keep the parameters, the activation patterns and the kernel of the start."""
        self._start = {name: p.detach().clone() for name, p in _trainable(subject.model)}
        self._patterns_at_start = _patterns(subject)
        self._kernel_at_start = self._kernel(subject)

    def measure(self, subject: Subject) -> Values:
        """Return how far the model is from where it started."""
        squares: dict[str, tuple[float, float]] = {}
        for name, parameter in _trainable(subject.model):
            start, module = self._start[name], name.rpartition(".")[0]
            moved, size = squares.get(module, (0.0, 0.0))
            moved += _squared_norm(parameter.detach() - start.to(parameter.device))
            squares[module] = moved, size + _squared_norm(start)
        switched = {
            name: (now - self._patterns_at_start[name].to(now.device))
            .abs()
            .mean(dim=0, dtype=torch.float64)
            for name, now in _patterns(subject).items()
        }
        everywhere = torch.cat([torch.empty(0), *(share.cpu() for share in switched.values())])
        return {
            "distance": _ratio(*np.sum(list(squares.values()), axis=0)),
            "distance_by_module": {name: _ratio(*pair) for name, pair in squares.items()},
            "patterns_changed": float(everywhere.mean()),
            "patterns_changed_by_layer": {
                name: float(share.mean()) for name, share in switched.items()
            },
            "kernel_distance": _distance(self._kernel(subject), self._kernel_at_start),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the start, as tensors."""
        return {
            "start": self._start,
            "patterns": self._patterns_at_start,
            "kernel": torch.from_numpy(self._kernel_at_start),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a start."""
        self._start, self._patterns_at_start = dict(state["start"]), dict(state["patterns"])
        self._kernel_at_start = state["kernel"].numpy()

    def _kernel(self, subject: Subject) -> np.ndarray:
        inputs = []
        for batch in take(subject.batches, self.inputs):
            first = next(flattened(batch))
            if not isinstance(first, Tensor) or isinstance(batch, Mapping):
                raise TypeError(
                    "Movement needs batches that are tensors or begin with one, got "
                    f"{type(batch).__name__}"
                )
            inputs.append(first)
        return tangent_kernel(
            subject.model, torch.cat(inputs), reduction=self.reduction, seed=self.seed
        )


def _trainable(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def _patterns(subject: Subject) -> dict[str, Tensor]:
    """Return for each layer 1 where a unit is active, 0 where not, NaN where not finite."""
    return {
        name: (layer.features > 0).where(layer.features.isfinite(), torch.nan)
        for name, layer in subject.features().items()
        if layer.rectified
    }


def _distance(now: np.ndarray, start: np.ndarray) -> float:
    if not now.any() or not start.any() or not np.isfinite(now).all():
        return float("nan")
    # Divided by their largest entries first, so that no square overflows or vanishes.
    now, start = now / np.abs(now).max(), start / np.abs(start).max()
    cosine = np.sum(now * start) / (np.linalg.norm(now) * np.linalg.norm(start))
    return max(0.0, 1.0 - float(cosine))


def _squared_norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def _ratio(moved: float, size: float) -> float:
    if size == 0.0:
        return 0.0 if moved == 0.0 else float("inf" if moved > 0.0 else "nan")
    ratio = float((moved / size) ** 0.5)
    return ratio if np.isfinite(ratio) else float("nan")
