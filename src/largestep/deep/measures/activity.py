"""How often the units of each layer are active, and how strongly."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from largestep import _checks
from largestep.deep.features import Layer
from largestep.deep.measures.base import Measure, Quantity, Subject, Values
from largestep.deep.measures.sparsity import active_above

__all__ = ["Activity"]


@dataclass
class Activity(Measure):
    """How the share of inputs at which a unit is active is spread over the units of each layer.

    `Sparsity` gives its mean. Few of a transformer's neurons are active at a token, though each is
    at some ("the lazy neuron phenomenon", Li et al., 2023): the spread tells that from dead units;
    take ``units="channel"`` there, so that each token is a row. Quantities along layer:

    - activity_low, activity_median, activity_high : first, fifth and ninth decile over the units.
    - always_active : share of the units that are active at every row: these are linear.
    - activation_size : root mean square of the layer, which tells where a signal explodes or
      vanishes.

    NaN for a layer whose activations are not finite; its size is infinite or NaN then.

    Parameters
    ----------
    smooth_threshold : as in `Sparsity`.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError, ValueError
        If the threshold is negative.
    """

    smooth_threshold: float = 0.0
    every: int | None = None

    quantities = MappingProxyType(
        {
            "activity_low": Quantity("share of inputs that a unit is active at", "layer"),
            "activity_median": Quantity("share of inputs that a unit is active at", "layer"),
            "activity_high": Quantity("share of inputs that a unit is active at", "layer"),
            "always_active": Quantity("share of units that are always active", "layer"),
            "activation_size": Quantity("root mean square of the activations", "layer"),
        }
    )
    needs = frozenset({"features"})
    cost = "a forward pass"

    def __post_init__(self) -> None:
        self.smooth_threshold = _checks.number(
            "smooth_threshold", self.smooth_threshold, at_least=0.0
        )

    def measure(self, subject: Subject) -> Values:
        """Return the quantities of every layer."""
        found: dict[str, dict[str, float]] = {name: {} for name in self.quantities}
        for name, layer in subject.features().items():
            for quantity, value in self._of(layer).items():
                found[quantity][name] = value
        return found

    def _of(self, layer: Layer) -> dict[str, float]:
        size = float(torch.linalg.vector_norm(layer.features, dtype=torch.float64))
        size /= max(layer.features.numel(), 1) ** 0.5
        if not bool(layer.features.isfinite().all()):
            return dict.fromkeys(self.quantities, np.nan) | {"activation_size": size}
        above = active_above(layer, self.smooth_threshold)
        shares = (layer.features > above).double().mean(dim=0).cpu().numpy()
        low, median, high = np.quantile(shares, [0.1, 0.5, 0.9])
        return {
            "activity_low": float(low),
            "activity_median": float(median),
            "activity_high": float(high),
            "always_active": float(np.mean(shares == 1.0)),
            "activation_size": size,
        }
