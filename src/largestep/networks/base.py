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
from contextlib import suppress
from functools import cache, cached_property
from typing import Any

import numba
import numpy as np
from jaxtyping import Float
from numba import types
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher

from largestep import _checks

__all__ = [
    "COMBINATION",
    "CONTRACT",
    "PREDICTIONS",
    "STRIDE",
    "HoldsCompiled",
    "Network",
    "aligned",
    "check_compiled",
    "compile_cached",
    "compiled",
]

_VECTOR = types.float64[::1]
_MATRIX = types.float64[:, ::1]
_LAYOUT = types.int64[::1]
CONTRACT = types.float64(_VECTOR, _VECTOR, _LAYOUT, _VECTOR, _VECTOR)

# What a network may offer beside it; `Network` says what they do.
STRIDE = types.UniTuple(types.float64, 2)(
    _VECTOR, _MATRIX, types.int64, types.float64, types.int64, types.boolean, _LAYOUT, _VECTOR
)
PREDICTIONS = types.void(_VECTOR, _MATRIX, _LAYOUT, _VECTOR, _VECTOR)
COMBINATION = types.void(_VECTOR, _MATRIX, _VECTOR, _LAYOUT, _VECTOR, _VECTOR)

# Sums may be reordered into SIMD lanes, but NaN and infinity keep their meaning: with full
# fast-math the compiler deletes the very checks that find a diverged trajectory.
_FAST_BUT_HONEST = {"reassoc", "contract", "nsz", "arcp"}


def compile_cached(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile for one signature at once, keep the machine code on disk, release the GIL."""

    def decorate(function: Callable[..., Any]) -> Any:
        return _found_once(_compile(function), signature)

    def _compile(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {
            "nogil": True,
            "fastmath": _FAST_BUT_HONEST,
            "error_model": "numpy",
        }
        # Machine code kept for a module that nobody can import could not be read back.
        kept = function.__module__ in sys.modules
        for _ in range(2):
            try:
                return numba.njit(signature, cache=kept, **options)(function)
            except NumbaError:  # the source's own
                raise
            except Exception as error:
                # A function typed at a prompt, or installed where nobody may write, has no place
                # to be cached.
                if "cannot cache" in str(error):
                    break
                # A damaged cache raises nearly anything. An empty one is filled anew.
                with suppress(Exception):
                    FunctionCache(function).flush()
        return numba.njit(signature, **options)(function)

    return decorate


def _found_once(dispatcher: Any, signature: Any) -> Any:
    """Look up the machine code once: Numba does so anew whenever a function is handed over."""
    code = dispatcher.overloads[signature.args]
    dispatcher.__class__ = _Typed
    dispatcher.get_compile_result = lambda signature: code
    code.library.get_pointer_to_function = cache(code.library.get_pointer_to_function)
    return dispatcher


class _Typed(CPUDispatcher):
    """A compiled function that makes its Numba type once."""

    @cached_property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self)


compiled = compile_cached(CONTRACT)
"""Decorator that compiles `f(theta, x, layout, workspace, gradient) -> h` for the dynamics.

theta : (p,) parameters; x : (d,) one input; layout : the network's `layout`; workspace : scratch
of the network's `workspace` size; gradient : (p,) to be overwritten, every entry, with ∇_θ h(x).
All are float64 and contiguous, layout is int64. Returns h_θ(x). Theta and x must not be written.
"""


_CACHE_LINE = 64
"""Bytes."""


def aligned(array: np.ndarray) -> np.ndarray:
    """Return a copy, contiguous and writeable, that begins with a cache line if it has several.

    A vector that lies across two lines is loaded twice, which costs a kernel up to a fifth.
    """
    if array.nbytes < 8 * _CACHE_LINE:
        return np.array(array, order="C")
    raw = np.empty(array.nbytes + _CACHE_LINE, np.uint8)
    start = -raw.__array_interface__["data"][0] % _CACHE_LINE
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


_ROOM = 64
"""Entries beside an array, in which a rehearsal sees what goes beyond its end."""


_KEEP_IN: set[Any] = set()
"""Functions with the sizes at which they have been seen to keep in their arrays."""


def check_compiled(name: str, function: Any, signature: Any) -> None:
    """Raise TypeError, naming a function, if it is not compiled for a signature."""
    if not isinstance(function, Dispatcher) or signature.args not in function.overloads:
        raise TypeError(
            f"{name} must be compiled for {signature}, by the decorator `compiled`, got "
            f"{_checks.shown(function)}"
        )


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
    stride : None, or a shortcut that dynamics take where it fits,
        ``f(theta, x, i, c, following, measured, layout, workspace) -> (h, square)``, compiled for
        `STRIDE`: moves theta by c ∇h_θ(x_i), in place, and returns h of the new θ at the input
        whose index follows, and ‖∇h‖² there if that is to be measured, else any number. It pays
        where a gradient needs no pass over θ before it.
    predictions, combination : None, or shortcuts for all examples at once,
        ``f(theta, x, layout, workspace, h)`` and ``f(theta, x, c, layout, workspace, total)``,
        compiled for `PREDICTIONS` and `COMBINATION`, both or neither: they overwrite h with the
        h_θ(x_i), and total with Σ_i c_i ∇h_θ(x_i).
    linear_in_inputs : whether h_θ(x) is linear in x: the Jacobian is then x times a matrix, and
        has the same singular values at any inputs with the same Gram matrix.

    A subclass that replaces `prediction_and_gradient` has no shortcuts but its own.
    """

    prediction_and_gradient: Callable[..., float]
    stride: Callable[..., tuple[float, float]] | None = None
    predictions: Callable[..., None] | None = None
    combination: Callable[..., None] | None = None
    linear_in_inputs: bool = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "prediction_and_gradient" in vars(cls):
            for name in {"stride", "predictions", "combination"} - vars(cls).keys():
                setattr(cls, name, None)
            if "linear_in_inputs" not in vars(cls):
                cls.linear_in_inputs = False

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
        """Return h_θ at every row of x, for every θ of a stack.

        Raises
        ------
        TypeError, ValueError
            If theta or x are not arrays of real numbers of the network's shapes.
        """
        theta, x = self.checked(theta, x)
        stack = [self._evaluate(one, x)[0] for one in theta.reshape(-1, self.parameters)]
        return np.reshape(stack, (*theta.shape[:-1], len(x)))

    def jacobian(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n p"]:
        """Return φ_θ(x), whose row i is the gradient ∇_θ h_θ(x_i); NaN if θ or x_i is not finite.

        Raises
        ------
        TypeError, ValueError
            If theta or x are not arrays of real numbers of the network's shapes, or its compiled
            function does not keep in its arrays.
        """
        theta, x = self.checked(theta, x, stacked=False)
        jacobian = self._evaluate(theta, x)[1]
        # A unit that is not a number counts as dead in compiled code: nothing would show.
        jacobian[~(np.isfinite(x).all(axis=1) & np.isfinite(theta).all())] = np.nan
        return jacobian

    def jacobian_core(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "a b"]:
        """Return a matrix, as small as can be had, with the Jacobian's non-zero singular values."""
        return self.jacobian(theta, x)

    def checked(
        self, theta: Any, x: Any, *, stacked: bool = True
    ) -> tuple[Float[np.ndarray, "*k p"], Float[np.ndarray, "n d"]]:
        """Return both as float64 arrays of the network's shapes: the border of its methods.

        Raises
        ------
        TypeError, ValueError
            If they are not arrays of real numbers of these shapes.
        """
        _checks.integer("the network's inputs", self.inputs, at_least=1)
        _checks.integer("the network's parameters", self.parameters, at_least=1)
        leading = (...,) if stacked else ()
        return (
            _checks.view("theta", theta, shape=(*leading, self.parameters)),
            _checks.view("x", x, shape=(None, self.inputs)),
        )

    def rehearse(self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, " d"]) -> None:
        """Call each compiled function with room beside its arrays, and see that it keeps in.

        Compiled code sees no ends of arrays: what goes beyond them reads and writes what belongs
        to others.

        Raises
        ------
        TypeError
            If `prediction_and_gradient` is not made by `networks.compiled`, a shortcut is not
            compiled for its signature, or `workspace` is not an integer.
        ValueError
            If one reads or writes beyond an array, changes an array that it is only to read, or
            leaves a part of one that it is to overwrite as it was; or if the network is not as
            linear in its inputs as it says.
        """
        functions = self.prediction_and_gradient, self.stride, self.predictions, self.combination
        identity = (
            *functions,
            self.linear_in_inputs,
            len(theta),
            len(x),
            self.layout,
            self.workspace,
        )
        if identity in _KEEP_IN:
            return
        if (self.predictions is None) != (self.combination is None):
            raise TypeError(
                f"{type(self).__name__} must have predictions and combination, both or neither"
            )
        workspace = np.zeros(_checks.integer("workspace", self.workspace, at_least=0))
        rest = {"layout": np.array([int(i) for i in self.layout], np.int64), "workspace": workspace}
        made, h, c = np.empty(len(theta)), np.empty(3), np.ones(3)
        one = {"theta": theta, "x": x}
        every = {"theta": theta, "x": np.tile(x, (3, 1))}
        found = [
            self._rehearse("prediction_and_gradient", CONTRACT, one | rest | {"gradient": made}),
            *(
                self._rehearse(
                    "stride",
                    STRIDE,
                    every | {"i": 0, "c": 0.5, "following": 2, "measured": measured} | rest,
                )
                for measured in (True, False)
            ),
            self._rehearse("predictions", PREDICTIONS, every | rest | {"h": h}),
            self._rehearse("combination", COMBINATION, every | {"c": c} | rest | {"total": made}),
        ]
        if self.linear_in_inputs:
            self._check_linear(one | rest | {"gradient": made})
        if all(np.isfinite(values).all() for values in found):  # else it may be lost what was read
            _KEEP_IN.add(identity)

    def _check_linear(self, arguments: dict[str, Any]) -> None:
        """Raise ValueError if h and ∇h are not linear in x, away from where θ starts too."""
        theta, x = arguments["theta"], arguments["x"]
        moved = theta + np.cos(np.arange(1.0, len(theta) + 1.0))
        with np.errstate(over="ignore", invalid="ignore"):
            other = np.cos(np.arange(2.0, len(x) + 2.0)) * (1.0 + np.abs(x).max())
            here, there, both = (
                self._rehearse(
                    "prediction_and_gradient", CONTRACT, arguments | {"theta": moved, "x": inputs}
                )
                for inputs in (x, other, other - 2.0 * x)
            )
            size = np.abs(here).max() + np.abs(there).max()
            off = np.abs(both - (there - 2.0 * here)).max()
        # What is not finite tells nothing.
        if np.isfinite([size, off]).all() and off > 1e-9 * size:
            raise ValueError(
                f"{type(self).__name__} has linear_in_inputs, and is not linear in its inputs"
            )

    def _rehearse(self, role: str, signature: Any, arguments: dict[str, Any]) -> np.ndarray:
        """Call a compiled function twice, with other things beside its arrays.

        Parameters
        ----------
        role : its attribute.
        arguments : what it takes, in order. The last is to be overwritten, if it isn't scratch;
            if it is, theta is to be moved.

        Returns
        -------
        What it has made, and returned; nothing of a shortcut that there is not.
        """
        function = getattr(self, role)
        if function is None and signature is not CONTRACT:
            return np.empty(0)
        name = f"{role} of {type(self).__name__}"
        check_compiled(name, function, signature)
        made = list(arguments)[-1]
        changed = "theta" if made == "workspace" else made
        found = []
        for beside in (0.5, -2.0):
            rooms, given = {}, dict(arguments)
            for key, value in arguments.items():
                if key == "layout" or not isinstance(value, np.ndarray):
                    continue
                rooms[key] = np.full(value.size + _ROOM, beside)
                given[key] = rooms[key][: value.size].reshape(value.shape)
                given[key][...] = 7.0 * beside if key == made != "workspace" else value
            h = function(*given.values())
            for key, room in rooms.items():
                size = arguments[key].size
                if (room[size:] != beside).any():
                    raise ValueError(f"{name} writes beyond the {size} entries of {key}")
                if key not in (changed, "workspace") and not np.array_equal(
                    given[key], arguments[key], equal_nan=True
                ):
                    raise ValueError(f"{name} must not write to {key}")
            found.append(np.append(given[changed], 0.0 if h is None else h))
        first, second = found
        if not np.array_equal(first, second, equal_nan=True):
            unwritten = np.flatnonzero((first == 3.5) & (second == -14.0))
            if unwritten.size:
                raise ValueError(f"{name} must overwrite {made}[{unwritten[0]}], and does not")
            raise ValueError(f"{name} reads beyond the arrays that it is given")
        return first

    def _evaluate(self, theta: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(x):
            self.rehearse(np.asarray(theta, np.float64), x[0])
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
        return np.array(self.layout, dtype=np.int64), aligned(np.zeros(self.workspace))


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
