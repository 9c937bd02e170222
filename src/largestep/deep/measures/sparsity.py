"""How sparse the features of each layer are."""

import warnings
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from largestep import _checks
from largestep.deep.features import Layer
from largestep.deep.measures.base import Measure, Quantity, Subject, Values
from largestep.metrics.sparsity import FeatureSparsity, feature_sparsity

__all__ = ["Sparsity"]


@dataclass
class Sparsity(Measure):
    """The feature sparsity coefficient of each layer, and how its units end.

    Quantities along layer: raw, distinct, dead, merged (see `metrics.FeatureSparsity`) and units,
    how many were measured. Of a layer whose activations are not finite they are NaN; a warning
    says so once.

    Parameters
    ----------
    correlation_threshold : of `metrics.feature_sparsity`.
    smooth_threshold : units of GELU and its like are nowhere exactly zero; they count as active
        above this share of the layer's root mean square. It is a rule of thumb, not a definition.
        0 counts what is positive.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.
    """

    correlation_threshold: float = 0.95
    smooth_threshold: float = 0.0
    every: int | None = None
    _warned: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    quantities = MappingProxyType(
        {
            "raw": Quantity("share of active units", "layer"),
            "distinct": Quantity("feature sparsity", "layer"),
            "dead": Quantity("dead units", "layer"),
            "merged": Quantity("merged units", "layer"),
            "units": Quantity("units measured", "layer", logged=False),
        }
    )
    needs = frozenset({"features"})
    cost = "a forward pass, and the correlations of the units"

    def __post_init__(self) -> None:
        self.correlation_threshold = _checks.number(
            "correlation_threshold", self.correlation_threshold, above=0.0, at_most=1.0
        )
        self.smooth_threshold = _checks.number(
            "smooth_threshold", self.smooth_threshold, at_least=0.0
        )

    def of(self, layer: Layer) -> FeatureSparsity:
        """Return the sparsity of one layer's features.

        Raises
        ------
        ValueError
            If an activation is not finite.
        """
        above = active_above(layer, self.smooth_threshold)
        return feature_sparsity(layer.features, self.correlation_threshold, active_above=above)

    def measure(self, subject: Subject) -> Values:
        """Return the quantities of every layer."""
        found: dict[str, dict[str, float]] = {name: {} for name in self.quantities}
        for name, layer in subject.features().items():
            try:
                sparsity = self.of(layer)
            except ValueError as error:
                if bool(layer.features.isfinite().all()):
                    raise
                if name not in self._warned:
                    warnings.warn(f"layer {name!r}: {error}", RuntimeWarning, stacklevel=5)
                self._warned.add(name)
            else:
                for quantity in found:
                    found[quantity][name] = float(getattr(sparsity, quantity))
                continue
            for quantity in found:
                found[quantity][name] = np.nan
        return found


def active_above(layer: Layer, smooth_threshold: float) -> float:
    """Return above what a unit counts as active: 0, or of smooth units a share of the layer's."""
    if smooth_threshold == 0 or layer.rectified:
        return 0.0
    return smooth_threshold * float(layer.features.double().square().mean().sqrt())
