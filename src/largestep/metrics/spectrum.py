"""The spectrum of a symmetric operator, never stored: eigenvalues, trace, norm and density."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator, eigsh
from scipy.special import stdtrit

from largestep import _checks

__all__ = [
    "Eigenvalues",
    "Estimate",
    "SpectralDensity",
    "SpectralMoments",
    "gradient_share",
    "largest_eigenvalues",
    "spectral_density",
    "spectral_moments",
]
Multiply = Callable[[np.ndarray], np.ndarray]

_TOGETHER = 4
"""Vectors multiplied in one pass over the data: they share its gradient."""
_RESTARTS = 100
"""Of the Lanczos method, of some twenty products each, before it is given up."""


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """The largest eigenvalues of a symmetric operator, largest first.

    Attributes
    ----------
    values : (k,); NaN for those that did not converge, or if the operator is not finite.
    vectors : (p, k) eigenvectors of unit length.
    residuals : (k,) norms ‖Hv − λv‖: an eigenvalue lies within each of them of its value.
    products : products of the operator with a vector that it took.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    products: int


def largest_eigenvalues(
    operator: Any, k: int = 1, *, tolerance: float = 1e-4, seed: int = 0
) -> Eigenvalues:
    """Find the k algebraically largest eigenvalues by the implicitly restarted Lanczos method.

    It is ARPACK's, through `scipy.sparse.linalg.eigsh`, from a start drawn by the seed. Of
    eigenvalues that are exactly equal it may miss copies. The default tolerance is above the
    rounding of a model in float32.

    Parameters
    ----------
    operator : symmetric (p, p) linear operator or matrix.
    k : how many.
    tolerance : of an eigenvalue's residual, relative to its size.
    seed : fixes the start.

    Raises
    ------
    ValueError
        If k exceeds p, or the operator is not square.
    """
    multiply, p = _multiplication(operator)
    k = _checks.integer("k", k, at_least=1)
    tolerance = _checks.number("tolerance", tolerance, above=0.0)
    rng = np.random.default_rng(_checks.integer("seed", seed, at_least=0))
    if k > p:
        raise ValueError(f"k must be at most {p}, the size of the operator, got {k}")
    products = 0

    def counted(matrix: np.ndarray) -> np.ndarray:
        nonlocal products
        result = multiply(matrix.reshape(p, -1))
        products += result.shape[1]
        if not np.isfinite(result).all():
            raise FloatingPointError
        return result

    values, vectors, residuals = np.full(k, np.nan), np.full((p, k), np.nan), np.full(k, np.nan)
    try:
        found, directions = _eigenpairs(counted, p, k, tolerance, rng)
        order = np.argsort(found)[::-1]
        values[: len(order)], vectors[:, : len(order)] = found[order], directions[:, order]
        rest = counted(vectors[:, : len(order)]) - vectors[:, : len(order)] * values[: len(order)]
        residuals[: len(order)] = np.linalg.norm(rest, axis=0)
    except FloatingPointError:
        values[:] = np.nan
    return Eigenvalues(values, vectors, residuals, products)


def _eigenpairs(
    multiply: Multiply, p: int, k: int, tolerance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return up to k eigenvalues and their vectors, in any order."""
    if p <= max(2 * k, 20):
        # ARPACK would build a basis of the whole space.
        dense = multiply(np.eye(p))
        values, vectors = np.linalg.eigh((dense + dense.T) / 2)
        return values[-k:], vectors[:, -k:]
    start = rng.standard_normal(p)
    if not multiply(start).any():
        # A random vector is in the kernel: the operator is zero, for which ARPACK fails.
        return np.zeros(k), np.eye(p, k)
    operator: Any = LinearOperator((p, p), matvec=multiply, dtype=np.float64)  # type: ignore[call-arg,misc,no-untyped-call]
    try:
        # rng draws new directions where the Krylov space closes early.
        found: tuple[np.ndarray, np.ndarray] = eigsh(  # type: ignore[no-untyped-call]
            operator, k, which="LA", v0=start, tol=tolerance, maxiter=_RESTARTS, rng=rng
        )
        return found
    except ArpackNoConvergence as stopped:
        return stopped.eigenvalues, stopped.eigenvectors


@dataclass(frozen=True)
class Estimate:
    """A value estimated from samples, with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SpectralMoments:
    """Trace Σ λ and Frobenius norm √(Σ λ²) of an operator, each with a confidence interval."""

    trace: Estimate
    frobenius_norm: Estimate


def spectral_moments(
    operator: Any, *, samples: int = 30, confidence: float = 0.95, seed: int = 0
) -> SpectralMoments:
    """Estimate the trace and the Frobenius norm from the same products with random vectors.

    With independent signs v, E[vᵀHv] = tr H (Hutchinson, 1990) and E‖Hv‖² = ‖H‖_F², as
    E[v vᵀ] = I. The variance of the first is 2(‖H‖_F² − Σ_i H_ii²). The intervals are Student's
    over the samples, of the squared norm for the second; where a few eigenvalues dominate, the
    samples are skewed, and thirty of them cover somewhat less often than stated.

    Parameters
    ----------
    operator : symmetric (p, p) linear operator or matrix.
    samples : random vectors, one product each; at least two.
    confidence : of the intervals, below 1.
    seed : fixes the vectors.

    Returns
    -------
    SpectralMoments; NaN if the operator is not finite.

    Examples
    --------
    Signs find the trace of a diagonal matrix without error.

    >>> import numpy as np
    >>> spectral_moments(np.diag([3.0, 4.0])).trace.value
    7.0
    """
    multiply, p = _multiplication(operator)
    samples = _checks.integer("samples", samples, at_least=2)
    confidence = _checks.number("confidence", confidence, above=0.0)
    if confidence >= 1.0:
        raise ValueError(f"confidence must be below 1, got {confidence:g}")
    rng = np.random.default_rng(_checks.integer("seed", seed, at_least=0))
    firsts, seconds = [], []
    for start in range(0, samples, _TOGETHER):
        vectors = _signs(rng, p, min(_TOGETHER, samples - start))
        products = multiply(vectors)
        firsts.extend(np.sum(vectors * products, axis=0))
        seconds.extend(np.sum(products**2, axis=0))
    quantile = float(stdtrit(samples - 1, (1 + confidence) / 2))
    trace, squared = (_interval(np.array(drawn), quantile) for drawn in (firsts, seconds))
    norm = Estimate(
        *(np.sqrt(max(x, 0.0)).item() for x in (squared.value, squared.low, squared.high))
    )
    return SpectralMoments(trace, norm)


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """The density of an operator's eigenvalues.

    Attributes
    ----------
    eigenvalues, density : the density on an even grid, of integral 1 by the trapezoidal rule.
    standard_error : of the density at each point, over the starts; NaN for a single start.
    nodes, weights : the discrete measure, of sum 1, that it smooths.
    start : the start, from 0, that each node is of.
    """

    eigenvalues: np.ndarray
    density: np.ndarray
    standard_error: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray
    start: np.ndarray

    def shares(self, edges: Float[np.ndarray, " k"]) -> tuple[np.ndarray, np.ndarray]:
        """Return the share of the eigenvalues between successive edges, and its standard error.

        Both from the discrete measure, unsmoothed: (k − 1,), the upper edge of the last interval
        belongs to it. The error is over the starts, NaN for a single one.

        Parameters
        ----------
        edges : increasing; −∞ and ∞ may be among them.
        """
        edges = np.asarray(edges, dtype=np.float64)
        starts = int(self.start.max()) + 1
        if not np.isfinite(self.nodes).all():
            nothing = np.full(len(edges) - 1, np.nan)
            return nothing, nothing
        of_start = np.stack(
            [
                np.histogram(self.nodes[mine], edges, weights=starts * self.weights[mine])[0]
                for mine in (self.start == number for number in range(starts))
            ]
        )
        return of_start.mean(axis=0), _standard_error(of_start)


def spectral_density(
    operator: Any,
    *,
    steps: int = 60,
    starts: int = 5,
    width: float = 0.01,
    points: int = 1001,
    seed: int = 0,
) -> SpectralDensity:
    """Estimate the density of the eigenvalues by stochastic Lanczos quadrature.

    From each random start v of unit length, `steps` steps of Lanczos with full
    reorthogonalisation give nodes θ_j, the eigenvalues of the tridiagonal matrix, and weights, the
    squared first entries of its eigenvectors: a Gauss quadrature of vᵀ f(H) v, exact for
    polynomials of degree 2·steps − 1. Its mean over the starts estimates (1/p) Σ_i f(λ_i) [1].
    Each node is then widened to a Gaussian [2].

    Parameters
    ----------
    operator : symmetric (p, p) linear operator or matrix.
    steps : products for each start; steps × p numbers are held.
    starts : random vectors, of which the estimate is the mean.
    width : standard deviation of the Gaussians, as a share of the range of the nodes.
    points : of the grid, which reaches five widths beyond the nodes.
    seed : fixes the starts.

    Returns
    -------
    SpectralDensity; NaN if the operator is not finite.

    References
    ----------
    1. S. Ubaru, J. Chen and Y. Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos
       quadrature", SIAM Journal on Matrix Analysis and Applications 38 (2017).
    2. B. Ghorbani, S. Krishnan and Y. Xiao, "An investigation into neural net optimization via
       Hessian eigenvalue density", ICML 2019.
    """
    multiply, p = _multiplication(operator)
    steps = min(_checks.integer("steps", steps, at_least=1), p)
    starts = _checks.integer("starts", starts, at_least=1)
    width = _checks.number("width", width, above=0.0, at_most=1.0)
    points = _checks.integer("points", points, at_least=2)
    rng = np.random.default_rng(_checks.integer("seed", seed, at_least=0))
    found = [_quadrature(multiply, _signs(rng, p, 1)[:, 0], steps) for _ in range(starts)]
    nodes = np.concatenate([nodes for nodes, _ in found])
    weights = np.concatenate([weights for _, weights in found]) / starts
    start = np.repeat(np.arange(starts), [len(nodes) for nodes, _ in found])
    if not np.isfinite(nodes).all():
        nothing = np.full(points, np.nan)
        return SpectralDensity(nothing, nothing, nothing, nodes, weights, start)
    # An operator that is a multiple of the identity has one node.
    spread = np.ptp(nodes) if np.ptp(nodes) > 0 else max(np.abs(nodes).max(), 1.0)
    deviation = width * spread
    grid = np.linspace(nodes.min() - 5 * deviation, nodes.max() + 5 * deviation, points)
    widened = np.exp(-(((grid[:, None] - nodes) / deviation) ** 2) / 2) * weights
    of_start = starts * np.stack([widened[:, start == s].sum(axis=1) for s in range(starts)])
    density = of_start.mean(axis=0)
    area = np.trapezoid(density, grid)
    error = _standard_error(of_start) / area
    return SpectralDensity(grid, density / area, error, nodes, weights, start)


def _standard_error(samples: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis; NaN for a single sample."""
    if len(samples) < 2:
        return np.full(samples.shape[1:], np.nan)
    error: np.ndarray = samples.std(axis=0, ddof=1) / len(samples) ** 0.5
    return error


def _quadrature(multiply: Multiply, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Lanczos's quadrature from a start."""
    basis = np.empty((steps, len(start)))
    diagonal, beside = [], []
    vector = start / np.linalg.norm(start)
    for step in range(steps):
        basis[step] = vector
        product = multiply(vector[:, None])[:, 0]
        if not np.isfinite(product).all():
            return np.array([np.nan]), np.array([1.0])
        diagonal.append(float(vector @ product))
        size = float(np.linalg.norm(product))
        for _ in range(2):
            product = product - basis[: step + 1].T @ (basis[: step + 1] @ product)
        rest = float(np.linalg.norm(product))
        # What is left of a closed Krylov space is rounding.
        if rest <= 1e-12 * size:
            break
        beside.append(rest)
        vector = product / rest
    nodes, vectors = eigh_tridiagonal(diagonal, beside[: len(diagonal) - 1])
    return nodes, vectors[0] ** 2


def gradient_share(gradient: Float[np.ndarray, " p"], vectors: Float[np.ndarray, "p k"]) -> float:
    """Return the share ‖Vᵀg‖²/‖g‖² of the gradient in the span of orthonormal vectors.

    For the top eigenvectors of the Hessian it tells whether "gradient descent happens in a tiny
    subspace" (Gur-Ari, Roberts and Dyer, 2018).

    Parameters
    ----------
    gradient : such as `Hessian.gradient`; NaN if it is zero.
    vectors : such as `Eigenvalues.vectors`.
    """
    total = float(gradient @ gradient)
    return float(np.sum((vectors.T @ gradient) ** 2)) / total if total != 0.0 else float("nan")


def _multiplication(operator: Any) -> tuple[Multiply, int]:
    """Return the product with a matrix (p, k), and p."""
    linear: Any = aslinearoperator(operator)  # type: ignore[no-untyped-call]
    if linear.shape[0] != linear.shape[1]:
        raise ValueError(f"operator must be square, got shape {linear.shape}")
    return linear.matmat, linear.shape[0]


def _signs(rng: np.random.Generator, p: int, count: int) -> np.ndarray:
    return rng.integers(0, 2, size=(p, count)) * 2.0 - 1.0


def _interval(samples: np.ndarray, quantile: float) -> Estimate:
    mean = float(samples.mean())
    margin = quantile * float(samples.std(ddof=1)) / len(samples) ** 0.5
    return Estimate(mean, mean - margin, mean + margin)
