"""A two-layer ReLU classifier of digits in NumPy, its gradient, and its Hessian as a product.

For networks of some thousand parameters PyTorch takes twenty times as long for a product with the
Hessian, nearly all of it for calls: that would be minutes where whole spectra are followed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.linalg import LinearOperator
from scipy.special import logsumexp

from largestep.experiments.digits import drawn
from largestep.networks.initialization import FanInUniform

__all__ = ["Classifier", "Labelled", "descend", "digits"]


@dataclass(frozen=True)
class Labelled:
    """Inputs and their classes, for training and testing."""

    x: Float[np.ndarray, "n d"]
    y: Int[np.ndarray, " n"]
    x_test: Float[np.ndarray, "m d"]
    y_test: Int[np.ndarray, " m"]


def digits(seed: int, n: int, classes: int = 10) -> Labelled:
    """Return n of scikit-learn's images of the first digits, drawn by the seed; the rest for tests.

    Pixels lie in [0, 1].

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is missing.
    """
    x, y = drawn(seed, range(classes))
    return Labelled(x[:n], y[:n], x[n:], y[n:])


@dataclass(frozen=True)
class Classifier:
    """x ↦ W_2 σ(W_1 x + b_1) + b_2 with the mean cross-entropy; θ lists W_1, b_1, W_2, b_2.

    A ReLU counts as having no second derivative.

    Attributes
    ----------
    inputs, hidden, classes : the layers' widths.
    """

    inputs: int
    hidden: int
    classes: int

    @property
    def parameters(self) -> int:
        """The number of parameters, p."""
        return (self.inputs + 1) * self.hidden + (self.hidden + 1) * self.classes

    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Return θ as PyTorch starts it."""
        draw = FanInUniform()
        first = ((self.hidden, self.inputs), (self.hidden,))
        last = ((self.classes, self.hidden), (self.classes,))
        drawn = [draw(rng, shape, self.inputs) for shape in first]
        drawn += [draw(rng, shape, self.hidden) for shape in last]
        return np.concatenate([part.ravel() for part in drawn])

    def features(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n m"]:
        """Return the hidden layer's activations."""
        w, b, _, _ = self._split(theta)
        return np.maximum(x @ w.T + b, 0.0)

    def outputs(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n c"]:
        """Return a number for each class, the largest for the one that is predicted."""
        _, _, w, b = self._split(theta)
        return self.features(theta, x) @ w.T + b

    def loss(
        self,
        theta: Float[np.ndarray, " p"],
        x: Float[np.ndarray, "n d"],
        y: Int[np.ndarray, " n"],
    ) -> float:
        """Return the mean cross-entropy."""
        outputs = self.outputs(theta, x)
        return float(np.mean(logsumexp(outputs, axis=1) - outputs[np.arange(len(y)), y]))

    def error(
        self,
        theta: Float[np.ndarray, " p"],
        x: Float[np.ndarray, "n d"],
        y: Int[np.ndarray, " n"],
    ) -> float:
        """Return the share of inputs classified wrongly; NaN if an output is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = self.outputs(theta, x)
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(np.mean(outputs.argmax(axis=1) != y))

    def gradient(
        self,
        theta: Float[np.ndarray, " p"],
        x: Float[np.ndarray, "n d"],
        y: Int[np.ndarray, " n"],
    ) -> Float[np.ndarray, " p"]:
        """Return the gradient of the mean cross-entropy."""
        _, _, w, _ = self._split(theta)
        h = self.features(theta, x)
        slope = self._slope(h, theta, y)[1]
        below = slope @ w * (h > 0)
        return _flat(below.T @ x, below.sum(axis=0), slope.T @ h, slope.sum(axis=0))

    def hessian(
        self,
        theta: Float[np.ndarray, " p"],
        x: Float[np.ndarray, "n d"],
        y: Int[np.ndarray, " n"],
    ) -> LinearOperator:
        """Return the Hessian of the mean cross-entropy, as its product with a vector [1].

        References
        ----------
        1. B. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.
        """
        _, _, w, _ = self._split(theta)
        h = self.features(theta, x)
        shares, slope = self._slope(h, theta, y)
        active = h > 0

        def multiply(vector: np.ndarray) -> np.ndarray:
            dw, db, dw2, db2 = self._split(vector.ravel())
            dh = active * (x @ dw.T + db)
            do = dh @ w.T + h @ dw2.T + db2
            dslope = shares * (do - np.sum(shares * do, axis=1, keepdims=True)) / len(x)
            dbelow = active * (dslope @ w + slope @ dw2)
            return _flat(
                dbelow.T @ x, dbelow.sum(axis=0), dslope.T @ h + slope.T @ dh, dslope.sum(axis=0)
            )

        shape = (self.parameters, self.parameters)
        return LinearOperator(shape, matvec=multiply, dtype=np.float64)  # type: ignore[call-arg,misc,no-untyped-call]

    def _slope(
        self, h: np.ndarray, theta: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes' shares, and the slope of the mean loss in the outputs."""
        _, _, w, b = self._split(theta)
        outputs = h @ w.T + b
        shares = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        slope = shares.copy()
        slope[np.arange(len(y)), y] -= 1.0
        return shares, slope / len(y)

    def _split(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        d, m, c = self.inputs, self.hidden, self.classes
        # np.split takes longer than the products of a small batch.
        first, last = theta[: m * (d + 1)], theta[m * (d + 1) :]
        w, w2 = first[: m * d].reshape(m, d), last[: c * m].reshape(c, m)
        return w, first[m * d :], w2, last[c * m :]


def descend(
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray],
    theta: Float[np.ndarray, " p"],
    step_sizes: Iterable[float],
    rng: np.random.Generator,
    *,
    n: int,
    batch: int,
) -> Iterator[Float[np.ndarray, " p"]]:
    """Yield θ after every step of SGD, or of GD where the batch is all n examples.

    Every epoch visits the examples in another order; those that do not fill a last batch are left
    out of it.

    Parameters
    ----------
    gradient : (θ, indices of the batch's examples) ↦ the direction that a step goes against.
    """
    batches = n // batch
    for step, step_size in enumerate(step_sizes):
        at = step % batches
        if at == 0:
            order = rng.permutation(n)
        # What diverges stays not finite, which is for the caller to see.
        with np.errstate(over="ignore", invalid="ignore"):
            theta = theta - step_size * gradient(theta, order[at * batch : (at + 1) * batch])
        yield theta


def _flat(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([part.ravel() for part in parts])
