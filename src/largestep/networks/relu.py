"""Fully connected ReLU networks of any depth, with scalar output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from jaxtyping import Float

from largestep import _checks
from largestep.networks.base import Network, compiled
from largestep.networks.initialization import FanInUniform, Initialization

__all__ = ["ReLU"]

_CACHED = 1 << 17
"""Activations of a layer that are computed together: of more, each waits for memory."""


# Called with a number in the place of fan_in, these are compiled for it: the loop over the units,
# not that over their few inputs, then fills the processor's vectors.


@numba.njit(inline="always")
def _weigh(weights, biases, inputs, sums, fan_in):  # type: ignore[no-untyped-def]
    for j in range(sums.shape[0]):
        z = biases[j] if biases.shape[0] > 0 else 0.0
        for i in range(fan_in):
            z += weights[j * fan_in + i] * inputs[i]
        sums[j] = z


@numba.njit(inline="always")
def _outer(derivatives, inputs, slopes, fan_in):  # type: ignore[no-untyped-def]
    for j in range(derivatives.shape[0]):
        derivative = derivatives[j]
        for i in range(fan_in):
            slopes[j * fan_in + i] = derivative * inputs[i]


@compiled
def _relu(theta, x, layout, workspace, gradient):  # type: ignore[no-untyped-def]
    # layout: number of layers, their widths from the input's to the output's, then for each
    # layer whether it has biases. workspace: the activations of all hidden layers, then two
    # vectors of derivatives with respect to a layer's pre-activations.
    layers = layout[0]
    widths = layout[1 : layers + 2]
    biased = layout[layers + 2 :]

    parameters = 0
    hidden = 0
    inputs = x
    for layer in range(layers):
        fan_in = widths[layer]
        width = widths[layer + 1]
        weights = theta[parameters : parameters + width * fan_in]
        parameters += width * fan_in
        biases = theta[parameters : parameters + width * biased[layer]]
        parameters += width * biased[layer]
        activations = workspace[hidden : hidden + width]
        if fan_in == 1:
            _weigh(weights, biases, inputs, activations, 1)
        elif fan_in == 2:
            _weigh(weights, biases, inputs, activations, 2)
        else:
            _weigh(weights, biases, inputs, activations, fan_in)
        if layer < layers - 1:
            for j in range(width):
                activations[j] = activations[j] if activations[j] > 0.0 else 0.0
            inputs = activations
            hidden += width
    output = workspace[hidden]

    scratch = (workspace.shape[0] - hidden) // 2
    above = workspace[hidden : hidden + scratch]
    below = workspace[hidden + scratch :]
    above[0] = 1.0
    for layer in range(layers - 1, -1, -1):
        fan_in = widths[layer]
        width = widths[layer + 1]
        derivatives = above[:width]
        if biased[layer]:
            parameters -= width
            for j in range(width):
                gradient[parameters + j] = derivatives[j]
        parameters -= width * fan_in
        weights = theta[parameters : parameters + width * fan_in]
        slopes = gradient[parameters : parameters + width * fan_in]
        if layer > 0:
            hidden -= fan_in
            inputs = workspace[hidden : hidden + fan_in]
        else:
            inputs = x
        if fan_in == 1:
            _outer(derivatives, inputs, slopes, 1)
        elif fan_in == 2:
            _outer(derivatives, inputs, slopes, 2)
        else:
            _outer(derivatives, inputs, slopes, fan_in)
        if layer > 0:
            for i in range(fan_in):
                below[i] = 0.0
            for j in range(width):
                derivative = derivatives[j]
                if derivative != 0.0:
                    for i in range(fan_in):
                        below[i] += derivative * weights[j * fan_in + i]
            for i in range(fan_in):
                above[i] = below[i] if inputs[i] > 0.0 else 0.0
    return output


@dataclass(frozen=True)
class ReLU(Network):
    """A fully connected network x ↦ W_L σ(… σ(W_1 x + b_1) …) + b_L with σ = max(·, 0).

    The derivative of σ at 0 is taken to be 0. θ lists, layer after layer, the weights row by row
    (a row for each unit) and then the biases, if the layer has them.

    Parameters
    ----------
    widths : (d, m_1, …, m_K): the inputs and the hidden layers; the output is one unit more.
    biases : whether the layers have biases: one for all, or one for each of the K + 1 layers.
    weights_from, biases_from : how weights and biases start: one for all layers, or one for each;
        by default as PyTorch starts them.

    Raises
    ------
    TypeError, ValueError
        If a width is not a positive integer, or there are not as many settings as layers.
    """

    widths: tuple[int, ...]
    biases: bool | tuple[bool, ...] = True
    weights_from: Initialization | tuple[Initialization, ...] = FanInUniform()
    biases_from: Initialization | tuple[Initialization, ...] = FanInUniform()

    prediction_and_gradient = _relu

    def __post_init__(self) -> None:
        if not isinstance(self.widths, tuple | list) or len(self.widths) < 2:
            raise ValueError(
                "widths must be the inputs and at least one hidden layer, got "
                f"{_checks.shown(self.widths)}"
            )
        widths = tuple(_checks.integer("widths", width, at_least=1) for width in self.widths)
        object.__setattr__(self, "widths", widths)
        biases = self.biases if isinstance(self.biases, tuple) else (self.biases,)
        for name, values, kind, right in (
            ("biases", biases, bool, "True or False"),
            ("weights_from", self.weights_from, Callable, "an Initialization"),
            ("biases_from", self.biases_from, Callable, "an Initialization"),
        ):
            for value in values if isinstance(values, tuple) else (values,):
                if not isinstance(value, kind):  # type: ignore[arg-type]
                    raise TypeError(f"{name} must be {right}, got {_checks.shown(value)}")
        for name in ("biases", "weights_from", "biases_from"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.layers:
                raise ValueError(
                    f"{name} must be one for all or a tuple of {self.layers}, "
                    f"one for each layer, got {len(value)}"
                )

    @property
    def layers(self) -> int:
        """Number of layers, the output's included."""
        return len(self.widths)

    @property
    def inputs(self) -> int:
        """The dimension of an input, d."""
        return self.widths[0]

    @property
    def parameters(self) -> int:
        """The number of parameters, p."""
        return sum(
            width * fan_in + width * biased
            for (fan_in, width), biased in zip(self._shapes, self._biased, strict=True)
        )

    @property
    def layout(self) -> tuple[int, ...]:
        """Layers, widths and biases, as the compiled function reads them."""
        return (self.layers, *self.widths, 1, *self._biased)

    @property
    def workspace(self) -> int:
        """Room for the activations and for two vectors of derivatives."""
        return sum(self.widths[1:]) + 2 * max(self.widths)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        return list(pairwise((*self.widths, 1)))

    @property
    def _biased(self) -> tuple[bool, ...]:
        return self.biases if isinstance(self.biases, tuple) else (self.biases,) * self.layers

    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Draw the parameters at the start of training."""
        weights_from = _for_each(self.weights_from, self.layers)
        biases_from = _for_each(self.biases_from, self.layers)
        drawn = []
        for layer, (fan_in, width) in enumerate(self._shapes):
            drawn.append(weights_from[layer](rng, (width, fan_in), fan_in).ravel())
            if self._biased[layer]:
                drawn.append(biases_from[layer](rng, (width,), fan_in))
        return np.concatenate(drawn)

    def unpack(
        self, theta: Float[np.ndarray, "*k p"]
    ) -> list[tuple[Float[np.ndarray, "*k m f"], Float[np.ndarray, "*k m"] | None]]:
        """Return the weights (…, width, fan_in) and biases (…, width) or None of every layer."""
        theta = _checks.view("theta", theta, shape=(..., self.parameters))
        result = []
        position = 0
        for (fan_in, width), biased in zip(self._shapes, self._biased, strict=True):
            weights = theta[..., position : position + width * fan_in]
            position += width * fan_in
            biases = theta[..., position : position + width] if biased else None
            position += width * biased
            result.append((weights.reshape(*theta.shape[:-1], width, fan_in), biases))
        return result

    def features(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> list[Float[np.ndarray, "*k n m"]]:
        """Return the activations of every hidden layer at every row of x."""
        return self._forward(theta, x)[:-1]

    def predict(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return h_θ at every row of x, for every θ of a stack."""
        theta, x = self.checked(theta, x)
        stack = theta.reshape(-1, self.parameters)
        predictions = np.empty((len(stack), len(x)))
        together = max(1, _CACHED // max(1, len(x) * max(self.widths)))
        for first in range(0, len(stack), together):
            rows = slice(first, first + together)
            predictions[rows] = self._forward(stack[rows], x)[-1][..., 0]
        return predictions.reshape(*theta.shape[:-1], len(x))

    def _forward(self, theta: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
        theta, current = self.checked(theta, x)
        outputs: list[np.ndarray] = []
        for weights, biases in self.unpack(theta):
            current = current @ np.swapaxes(weights, -1, -2)
            if biases is not None:
                current += biases[..., np.newaxis, :]
            if len(outputs) < self.layers - 1:
                np.maximum(current, 0.0, out=current)
            outputs.append(current)
        return outputs


def _for_each(
    setting: Initialization | tuple[Initialization, ...], layers: int
) -> Sequence[Initialization]:
    return setting if isinstance(setting, tuple) else (setting,) * layers
