"""How far a model has moved since initialisation: parameters, activation patterns, kernel."""

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from largestep import _checks
from largestep.deep._untouched import unwrapped
from largestep.deep.curvature.jacobian import Reduction, tangent_kernel
from largestep.deep.features import Layers, gather

__all__ = ["Movement"]

_BATCH = 128

_QUANTITIES = {
    "distance": "relative distance from initialisation",
    "patterns_changed": "share of activation patterns changed",
    "kernel_distance": "kernel distance to initialisation",
}
_BY_LAYER = {"distance_by_layer": "layer", "patterns_changed_by_layer": "activation"}


class Movement:
    """Tells lazy training from feature learning: what has changed since initialisation.

    Made at initialisation, it keeps a copy of the parameters, and the activation patterns and the
    tangent kernel at the inputs. In lazy training none of the three moves although the loss falls
    (Chizat, Oyallon and Bach, 2019). The model is measured in evaluation mode; it and all random
    states stay as they are.

    Parameters
    ----------
    model : any module that maps inputs (n, …) to a tensor.
    inputs : (n, …) a fixed set of inputs; some hundred do. A measurement takes one gradient for
        each.
    layers : whose patterns to watch: "auto" takes every rectifier, names and patterns as
        `layers.gather` explains; an empty tuple none.
    max_units : the most units of a layer whose patterns are watched; beyond them a random subset.
    reduction : of several outputs to the scalar whose kernel is taken; see `jacobian.Reduction`.
    seed : fixes the subset and the projection.

    Raises
    ------
    TypeError, ValueError
        If the inputs are no tensor or none, a layer matches nothing, or the model has no gradient
        of a single example; see `jacobian.jacobian`.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> movement = Movement(model, torch.randn(10, 3))
    >>> with torch.no_grad():
    ...     _ = [p.mul_(1.5) for p in model.parameters()]
    >>> round(movement.measure()["distance"], 6)
    0.5
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        layers: Layers = "auto",
        *,
        max_units: int = 1000,
        reduction: Reduction = "projection",
        seed: int = 0,
    ) -> None:
        self.model = unwrapped(model)
        self.layers = layers
        self.max_units = _checks.integer("max_units", max_units, at_least=1)
        self.reduction: Reduction = reduction
        self.seed = _checks.integer("seed", seed, at_least=0)
        self._records: dict[int, dict[str, Any]] = {}
        self._kernel_at_start = tangent_kernel(model, inputs, reduction=reduction, seed=seed)
        self.inputs = inputs.detach().clone()
        self._start = {name: p.detach().clone() for name, p in self._parameters()}
        self._patterns_at_start = self._patterns()

    def measure(self) -> dict[str, Any]:
        """Return how far the model is from where it started.

        Returns
        -------
        A dictionary of

        - distance : ‖θ − θ_0‖/‖θ_0‖ over all trainable parameters, and distance_by_layer : the
          same for each module's own. Infinite where a module started at zero and moved.
        - patterns_changed : share of the pairs of inputs and units whose activation switched
          between zero and positive, over all units watched, and patterns_changed_by_layer. NaN
          if none is watched.
        - kernel_distance : 1 − ⟨K, K_0⟩/(‖K‖ ‖K_0‖) of the tangent kernels (Fort et al., 2020);
          in [0, 1], and 0 also if the kernel was only rescaled. NaN if one of them is zero.

        In a model that has diverged, what is not finite is NaN.
        """
        squares: dict[str, tuple[float, float]] = {}
        for name, parameter in self._parameters():
            start, module = self._start[name], name.rpartition(".")[0]
            moved, size = squares.get(module, (0.0, 0.0))
            moved += _squared_norm(parameter.detach() - start)
            squares[module] = moved, size + _squared_norm(start)
        switched = {
            name: (now - self._patterns_at_start[name]).abs().mean(dim=0, dtype=torch.float64)
            for name, now in self._patterns().items()
        }
        everywhere = torch.cat([torch.empty(0), *(share.cpu() for share in switched.values())])
        return {
            "distance": _ratio(*np.sum(list(squares.values()), axis=0)),
            "distance_by_layer": {name: _ratio(*pair) for name, pair in squares.items()},
            "patterns_changed": float(everywhere.mean()),
            "patterns_changed_by_layer": {
                name: float(share.mean()) for name, share in switched.items()
            },
            "kernel_distance": self._kernel_distance(),
        }

    def record(self, step: int) -> dict[str, Any]:
        """Measure, keep the result for the dataset, and return it."""
        step = _checks.integer("step", step, at_least=0)
        self._records[step] = self.measure()
        return self._records[step]

    def dataset(self) -> xr.Dataset:
        """Return what was recorded.

        Returns
        -------
        Dataset along step: distance, patterns_changed, kernel_distance; distance_by_layer also
        along layer, patterns_changed_by_layer along activation. See `measure`.

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        records = list(self._records.values())
        if not records:
            raise ValueError("nothing was recorded: call record(step) during training")
        data: dict[str, Any] = {
            name: ("step", [record[name] for record in records], {"long_name": long_name})
            for name, long_name in _QUANTITIES.items()
        }
        coordinates: dict[str, Any] = {"step": list(self._records)}
        for name, along in _BY_LAYER.items():
            coordinates[along] = np.array(list(records[0][name]), dtype=object)
            values = [list(record[name].values()) for record in records]
            long_name = _QUANTITIES[name.removesuffix("_by_layer")]
            data[name] = (("step", along), values, {"long_name": long_name})
        return xr.Dataset(data, coords=coordinates)

    def _parameters(self) -> list[tuple[str, Tensor]]:
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    def _patterns(self) -> dict[str, Tensor]:
        """Return for each layer 1 where a unit is active, 0 where not, NaN where not finite."""
        if not self.layers:
            return {}
        found = gather(
            self.model,
            torch.split(self.inputs, _BATCH),
            self.layers,
            max_units=self.max_units,
            seed=self.seed,
        )
        return {
            name: (layer.features > 0).where(layer.features.isfinite(), torch.nan)
            for name, layer in found.items()
            if layer.rectified or self.layers != "auto"
        }

    def _kernel_distance(self) -> float:
        start = self._kernel_at_start
        now = tangent_kernel(self.model, self.inputs, reduction=self.reduction, seed=self.seed)
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
