"""How noisy the gradient is from batch to batch, and whether batches agree."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from largestep import _checks
from largestep.deep.batches import count_inputs, cut, take
from largestep.deep.curvature.hessian import loss_gradients
from largestep.deep.measures.base import Measure, Quantity, Subject, Values
from largestep.metrics.edge import coherence

__all__ = ["GradientNoise"]

_PIECES = 16


@dataclass
class GradientNoise(Measure):
    """The scale of the gradient's noise: the batch beyond which a larger one gains little.

    Let Σ be the covariance of the gradients of single examples and G their mean. The simple noise
    scale tr Σ/‖G‖² is the batch size at which noise and gradient weigh the same (McCandlish et
    al., 2018). From the gradients g_k of K pieces of b examples each, of mean ḡ, both are estimated
    without bias,

        tr Σ = b/(K − 1) Σ_k ‖g_k − ḡ‖²,   ‖G‖² = ‖ḡ‖² − tr Σ/(K b),

    which is their estimator from two batch sizes, b and K b. In the model's own mode: batch norm
    in training mode sees the statistics of each piece, and dropout adds its own noise. Quantities:

    - noise_scale : infinite where the estimate of ‖G‖² is not positive: noise is all there is.
    - gradient_noise, gradient_norm : √tr Σ and ‖G‖.
    - coherence : `metrics.coherence` of the g_k over K: 1 if all pieces have one gradient, 1/K if
      their gradients are orthogonal.
    - batch_size : examples of the probe's largest batch, which the noise scale is held against.

    Parameters
    ----------
    inputs : how many to take the gradients at, the first ones; K × p numbers are held.
    batch_size : b; None for that which gives 16 pieces, or that of the probe's smallest batch if it
        is less.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, or there are not two pieces.

    References
    ----------
    S. McCandlish, J. Kaplan, D. Amodei and the OpenAI Dota team, "An empirical model of large-batch
    training", 2018, appendix A.
    """

    inputs: int = 256
    batch_size: int | None = None
    every: int | None = None

    quantities = MappingProxyType(
        {
            "noise_scale": Quantity("noise scale: examples"),
            "gradient_noise": Quantity("standard deviation of an example's gradient"),
            "gradient_norm": Quantity("norm of the gradient"),
            "coherence": Quantity("coherence of the batches' gradients"),
            "batch_size": Quantity("examples of a batch", logged=False),
        }
    )
    needs = frozenset({"loss"})
    cost = "a gradient of its inputs"

    def __post_init__(self) -> None:
        self.inputs = _checks.integer("inputs", self.inputs, at_least=2)
        if self.batch_size is not None:
            self.batch_size = _checks.integer("batch_size", self.batch_size, at_least=1)

    def measure(self, subject: Subject) -> Values:
        """Return the noise scale, what it is made of, and the coherence."""
        batches = take(subject.batches, self.inputs)
        sizes = [count_inputs(batch) for batch in batches]
        size = self.batch_size or max(1, min(*sizes, sum(sizes) // _PIECES, sum(sizes)))
        parts = cut(batches, size)
        if len(parts) < 2:
            raise ValueError(
                f"GradientNoise needs two pieces of {size} inputs or more, got {len(parts)} in "
                f"batches of {', '.join(map(str, sizes))}: give fewer as batch_size"
            )
        assert subject.loss_function is not None  # a probe asks for it first
        rows = loss_gradients(subject.model, subject.loss_function, parts)
        found = {"batch_size": float(max(map(count_inputs, subject.batches)))}
        if not np.isfinite(rows).all():
            return found | dict.fromkeys(set(self.quantities) - set(found), np.nan)
        mean = rows.mean(axis=0)
        trace = size * float(np.sum((rows - mean) ** 2)) / (len(parts) - 1)
        square = float(mean @ mean) - trace / (len(parts) * size)
        return found | {
            "noise_scale": trace / square if square > 0.0 else np.inf if trace > 0.0 else np.nan,
            "gradient_noise": trace**0.5,
            "gradient_norm": max(square, 0.0) ** 0.5,
            "coherence": coherence(rows) / len(parts),
        }
