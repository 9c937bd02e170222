"""Where the eigenvalues of the loss's Hessian lie: the bulk and the outliers."""

from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from largestep import _checks
from largestep.deep.batches import take
from largestep.deep.measures.base import Measure, Quantity, Subject, Values
from largestep.metrics.spectrum import spectral_density

__all__ = ["SpectralDensity"]

_LEVELS = 10.0 ** (np.arange(-6, 7) / 2)
_EDGES = np.concatenate([[-np.inf], -_LEVELS[::-1], _LEVELS, [np.inf]])
_BINS = tuple(f"{low:.1g} to {high:.1g}" for low, high in pairwise(_EDGES))
"""Half decades of either sign from a thousandth to a thousand, and what is smaller and larger."""
_OUTLIERS = 0.1
"""An eigenvalue above this share of the largest is an outlier; the rest is the bulk."""


@dataclass
class SpectralDensity(Measure):
    """The spectrum of the loss's Hessian by stochastic Lanczos quadrature, its Hessian never made.

    A few outliers, about as many as classes, stand above a bulk near zero (Sagun et al., 2017;
    Ghorbani, Krishnan and Xiao, 2019). In the model's own mode. Quantities:

    - spectrum : share of the eigenvalues by half decades of either sign, along eigenvalue, and
      spectrum_error, its standard error over the starts.
    - outliers : how many eigenvalues exceed a tenth of the largest, and outliers_error.
    - bulk : root mean square of the others.

    `metrics.spectrum.spectral_density` gives the smooth density of one moment.

    Parameters
    ----------
    inputs : how many to take it at, the first ones.
    steps : Lanczos steps from each start; steps × p numbers are held.
    starts : random vectors; the error needs two.
    every : steps between measurements; None for the probe's.
    seed : fixes the starts.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.
    """

    inputs: int = 128
    steps: int = 30
    starts: int = 4
    every: int | None = None
    seed: int = 0

    quantities = MappingProxyType(
        {
            "spectrum": Quantity("share of the Hessian's eigenvalues", "eigenvalue", logged=False),
            "spectrum_error": Quantity(
                "standard error of the share of eigenvalues", "eigenvalue", logged=False
            ),
            "outliers": Quantity("outliers of the Hessian's spectrum"),
            "outliers_error": Quantity("standard error of the number of outliers", logged=False),
            "bulk": Quantity("width of the Hessian's bulk"),
        }
    )
    needs = frozenset({"loss"})
    cost = "some 240 gradients of its inputs"

    def __post_init__(self) -> None:
        for name, least in (("inputs", 1), ("steps", 1), ("starts", 1), ("seed", 0)):
            setattr(self, name, _checks.integer(name, getattr(self, name), at_least=least))

    def measure(self, subject: Subject) -> Values:
        """Return the spectrum, and what stands out of it."""
        hessian = subject.hessian(take(subject.batches, self.inputs))
        found = spectral_density(hessian, steps=self.steps, starts=self.starts, seed=self.seed)
        shares, errors = found.shares(_EDGES)
        above = _OUTLIERS * found.nodes.max()
        counts, uncertain = found.shares(np.array([-np.inf, above, np.inf]))
        rest = found.nodes < above
        size = hessian.shape[0]
        square = (
            np.sum(found.weights[rest] * found.nodes[rest] ** 2) / counts[0] if rest.any() else 0
        )
        return {
            "spectrum": dict(zip(_BINS, shares, strict=True)),
            "spectrum_error": dict(zip(_BINS, errors, strict=True)),
            "outliers": size * counts[1],
            "outliers_error": size * uncertain[1],
            "bulk": float(np.sqrt(square)) if np.isfinite(above) else np.nan,
        }
