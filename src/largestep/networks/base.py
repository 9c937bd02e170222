"""The contract between a network and a dynamics: prediction and gradient at one input.

To add a network, write one compiled function and one class:

>>> import numpy as np
>>> from largestep.networks import Network, compiled
>>> @compiled
... def exponential(theta, x, layout, workspace, gradient):
...     h = np.exp(theta[0] * x[0])
...     gradient[0] = x[0] * h
...     return h
>>> class Exponential(Network):
...     inputs, parameters, prediction_and_gradient = 1, 1, exponential
...     def initialize(self, rng):
...         return np.zeros(1)
>>> Exponential().jacobian(np.array([2.0]), np.array([[0.0], [0.5]]))
array([[0.        ],
       [1.35914091]])

Every dynamics, measure and experiment then takes it as it takes the built-in ones. The compiled
function reaches the dynamics as a pointer, so that no dynamics is compiled anew for it.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from jaxtyping import Float
from numba import types
from numba.core.dispatcher import Dispatcher

__all__ = ["CONTRACT", "HoldsCompiled", "Network", "compile_cached", "compiled"]

_VECTOR = types.float64[::1]
_LAYOUT = types.int64[::1]
CONTRACT = types.float64(_VECTOR, _VECTOR, _LAYOUT, _VECTOR, _VECTOR)

# Sums may be reordered into SIMD lanes, but NaN and infinity keep their meaning: with full
# fast-math the compiler deletes the very checks that find a diverged trajectory.
_FAST_BUT_HONEST = {"reassoc", "contract", "nsz", "arcp"}


def compile_cached(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile for one signature at once, keep the machine code on disk, release the GIL."""

    def decorate(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {
            "nogil": True,
            "fastmath": _FAST_BUT_HONEST,
            "error_model": "numpy",
        }
        # Machine code kept for a module that nobody can import could not be read back.
        kept = function.__module__ in sys.modules
        try:
            return numba.njit(signature, cache=kept, **options)(function)
        except RuntimeError as error:
            # A function typed at a prompt, or installed where nobody may write, has no place
            # to be cached.
            if "cannot cache" not in str(error):
                raise
            return numba.njit(signature, **options)(function)

    return decorate


compiled = compile_cached(CONTRACT)
"""Decorator that compiles `f(theta, x, layout, workspace, gradient) -> h` for the dynamics.

theta : (p,) parameters; x : (d,) one input; layout : the network's `layout`; workspace : scratch
of the network's `workspace` size; gradient : (p,) to be overwritten, every entry, with ∇_θ h(x).
All are float64 and contiguous, layout is int64. Returns h_θ(x). Theta and x must not be written.
"""


class HoldsCompiled:
    """A class that holds compiled functions among its attributes."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # A compiled function would bind as a method; it takes no self.
        for name, value in list(vars(cls).items()):
            if isinstance(value, Dispatcher):
                setattr(cls, name, staticmethod(value))


class Network(HoldsCompiled, ABC):
    """A network h_θ(x) with scalar output and parameters θ ∈ R^p.

    A subclass gives the attributes below and `initialize`; it may replace `predict` and
    `jacobian` by faster vectorised forms, which the tests then hold against the compiled one.

    Attributes
    ----------
    prediction_and_gradient : the function made by `networks.compiled`.
    """

    prediction_and_gradient: Callable[..., float]

    @property
    @abstractmethod
    def inputs(self) -> int:
        """The dimension of an input, d."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """The number of parameters, p."""

    @property
    def layout(self) -> tuple[int, ...]:
        """Integers that the compiled function needs to find its way in theta."""
        return ()

    @property
    def workspace(self) -> int:
        """Number of float64 that the compiled function needs as scratch."""
        return 0

    @abstractmethod
    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Draw the parameters at the start of training."""

    def predict(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return h_θ at every row of x, for every θ of a stack."""
        stack = [self._evaluate(one, x)[0] for one in theta.reshape(-1, self.parameters)]
        return np.reshape(stack, (*theta.shape[:-1], len(x)))

    def jacobian(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n p"]:
        """Return φ_θ(x), whose row i is the gradient ∇_θ h_θ(x_i)."""
        return self._evaluate(theta, x)[1]

    def jacobian_core(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "a b"]:
        """Return a matrix, as small as can be had, with the Jacobian's non-zero singular values."""
        return self.jacobian(theta, x)

    def _evaluate(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        predictions = np.empty(len(x))
        jacobian = np.empty((len(x), self.parameters))
        _evaluate(
            self.prediction_and_gradient,
            np.array(theta, dtype=np.float64),
            np.array(x, dtype=np.float64, order="C"),
            *self.scratch(),
            predictions,
            jacobian,
        )
        return predictions, jacobian

    def scratch(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the layout as an array and a fresh workspace, as the compiled function takes."""
        return np.array(self.layout, dtype=np.int64), np.zeros(self.workspace)


@compile_cached(
    types.void(
        types.FunctionType(CONTRACT),
        _VECTOR,
        types.float64[:, ::1],
        _LAYOUT,
        _VECTOR,
        _VECTOR,
        types.float64[:, ::1],
    )
)
def _evaluate(function, theta, x, layout, workspace, predictions, jacobian):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        predictions[i] = function(theta, x[i], layout, workspace, jacobian[i])
