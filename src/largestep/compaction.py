"""Smaller networks that compute the same function on the data: what large steps leave over."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from largestep import _checks
from largestep.metrics.redundancy import Moments, redundancy
from largestep.networks import DiagonalLinear, Network, ReLU

__all__ = ["Compacted", "compact"]


@dataclass(frozen=True, eq=False)
class Compacted:
    """A smaller network with its parameters.

    Attributes
    ----------
    network, theta : the smaller network.
    inputs : the coordinates of an input that it reads, in its own order.
    """

    network: Network
    theta: Float[np.ndarray, " p"]
    inputs: Int[np.ndarray, " d"]

    def predict(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return the predictions at rows of x that have all coordinates, the unread ones too."""
        return self.network.predict(self.theta, np.asarray(x)[:, self.inputs])


def compact(
    network: Network, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
) -> Compacted:
    """Return a smaller network with the same predictions at every row of x, up to rounding.

    - `ReLU`: units that are dead at all rows of x go, constant ones go into the next layer's
      bias, which gets one if it has none, and of units that are multiples of each other, up to a
      shift, one stays, with the weights of all; then what nothing reads any more goes. Every
      layer keeps one unit at least.
    - `DiagonalLinear`: coordinates with u_j v_j = 0, and those whose part in every prediction is
      below rounding.

    Elsewhere than at x the predictions may differ: a unit that is dead there can fire.

    Parameters
    ----------
    network : a `ReLU` or a `DiagonalLinear`.
    theta : its parameters.
    x : the inputs at which the function is to stay.

    Raises
    ------
    TypeError
        If the network is of another kind.
    ValueError
        If theta or x do not fit the network, or are not finite.

    Examples
    --------
    >>> network = DiagonalLinear(d=3)
    >>> smaller = compact(network, np.array([2.0, 1.0, 0.0, 0.5, 0.0, 3.0]), np.ones((4, 3)))
    >>> smaller.network.d, smaller.inputs.tolist(), smaller.theta.tolist()
    (1, [0], [2.0, 0.5])
    """
    _checks.kind("network", network, Network)
    theta = _checks.array("theta", theta, dimensions=1)
    x = _checks.array("x", x, dimensions=2)
    if len(x) == 0:
        raise ValueError("x must have at least one row, got none")
    if len(theta) != network.parameters:
        raise ValueError(f"theta must have {network.parameters} entries, got {len(theta)}")
    if x.shape[1] != network.inputs:
        raise ValueError(f"x must have {network.inputs} columns, got {x.shape[1]}")
    if isinstance(network, ReLU):
        return _relu(network, theta, x)
    if isinstance(network, DiagonalLinear):
        return _diagonal(network, theta, x)
    raise TypeError(f"ReLU and DiagonalLinear can be compacted, got {type(network).__name__}")


def _diagonal(network: DiagonalLinear, theta: np.ndarray, x: np.ndarray) -> Compacted:
    parts = np.abs(network.coefficients(theta) * x).max(axis=0)
    order = np.argsort(parts, kind="stable")
    negligible = np.cumsum(parts[order]) <= np.finfo(np.float64).eps * parts.max()
    negligible[-1] = False
    kept = np.sort(order[~negligible])
    smaller = replace(network, d=len(kept))
    return Compacted(smaller, np.concatenate([theta[kept], theta[network.d + kept]]), kept)


def _relu(network: ReLU, theta: np.ndarray, x: np.ndarray) -> Compacted:
    layers = network.unpack(theta)
    weights = [layer[0] for layer in layers]
    biases = [layer[1] for layer in layers]
    for hidden, features in enumerate(network.features(theta, x)):
        found = redundancy(Moments.of(features), constants=True)
        found = found.confirmed(found.errors(features, found.removable), near=False)
        matrix, shift = found.substitution(found.removable)
        reader = hidden + 1
        constant = weights[reader] @ shift
        if constant.any():
            bias = biases[reader]
            biases[reader] = constant if bias is None else bias + constant
        weights[reader] = weights[reader] @ matrix
    # From the output down: a unit goes when all that it feeds has gone.
    for hidden in reversed(range(network.layers - 1)):
        read = (weights[hidden + 1] != 0).any(axis=0)
        read[0] |= not read.any()
        weights[hidden + 1] = weights[hidden + 1][:, read]
        weights[hidden] = weights[hidden][read]
        bias = biases[hidden]
        biases[hidden] = None if bias is None else bias[read]
    smaller = replace(
        network,
        widths=(network.inputs, *(len(layer) for layer in weights[:-1])),
        biases=tuple(bias is not None for bias in biases),
    )
    drawn = [
        part.ravel()
        for layer in zip(weights, biases, strict=True)
        for part in layer
        if part is not None
    ]
    return Compacted(smaller, np.concatenate(drawn), np.arange(network.inputs))
