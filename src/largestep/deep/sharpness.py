"""How sharp the loss is: eigenvalues, trace, norm and density of its Hessian, never stored.

Two operators, the Hessian and the Gauss–Newton matrix of the loss on a whole data set, multiply
vectors; what is measured of them takes any symmetric operator or matrix.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, aslinearoperator, eigsh
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from largestep import _checks
from largestep.deep.functional import ModelFunction
from largestep.deep.layers import loader_restored

__all__ = [
    "Eigenvalues",
    "Estimate",
    "GaussNewton",
    "Hessian",
    "SpectralDensity",
    "SpectralMoments",
    "Stability",
    "gradient_share",
    "largest_eigenvalues",
    "spectral_density",
    "spectral_moments",
    "stability",
]

Batches = Iterable[tuple[Tensor, Tensor]]
Multiply = Callable[[np.ndarray], np.ndarray]

_TOGETHER = 4
"""Vectors multiplied in one pass over the data: they share its gradient."""
_RESTARTS = 100
"""Of the Lanczos method, of some twenty products each, before it is given up."""


class _Curvature(LinearOperator):
    """The symmetric matrix of a loss, (1/n) Σ_i of the examples, as a product with vectors."""

    def __init__(
        self, model: nn.Module, loss: Callable[[Any, Tensor], Tensor], batches: Batches
    ) -> None:
        self._function = ModelFunction(model, evaluation=False)
        super().__init__(np.float64, (self._function.size,) * 2)  # type: ignore[no-untyped-call]
        _refuse_other_means(loss)
        _refuse_unrepeatable(batches)
        self._loss, self._batches = loss, batches
        self.examples = 0
        self.examples, self.loss, self.gradient = self._total_gradient(seed=0)
        again = self._total_gradient(seed=1)
        difference = np.linalg.norm(self.gradient - again[2])
        if again[0] != self.examples or difference > 1e-3 * np.linalg.norm(self.gradient):
            raise ValueError(
                "the loss must be the same in every pass over the batches, got gradients that "
                f"differ by {difference:.2g} in two passes: switch dropout off by model.eval(), "
                "and give batches without random order or augmentation"
            )

    def _matvec(self, vector: np.ndarray) -> np.ndarray:
        return self._matmat(vector.reshape(-1, 1))[:, 0]

    def _matmat(self, matrix: np.ndarray) -> np.ndarray:
        function = self._function
        vectors = torch.as_tensor(np.ascontiguousarray(matrix.T))
        total = torch.zeros(len(vectors), function.size, dtype=torch.float64)
        total = total.to(function.device)
        with self._pass(seed=0) as batches:
            for x, y in batches:
                multiply = self._on_batch(function.leaves(), x, y)
                for k, vector in enumerate(vectors):
                    product = multiply(function.split(vector))
                    total[k] += len(x) / self.examples * _flat(product)
        return total.T.cpu().numpy()

    def _adjoint(self) -> "_Curvature":
        return self

    @abstractmethod
    def _on_batch(
        self, leaves: list[Tensor], x: Tensor, y: Tensor
    ) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        """Return the product with vectors for the mean loss of a batch."""

    def _batch_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        loss = self._loss(outputs, y)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss must return the mean over a batch, one number, got {found}")
        return loss.reshape(())

    def _total_gradient(self, seed: int) -> tuple[int, float, np.ndarray]:
        examples, total = 0, 0.0
        gradient = torch.zeros(self.shape[0], dtype=torch.float64, device=self._function.device)
        with self._pass(seed) as batches:
            for x, y in batches:
                leaves = self._function.leaves()
                loss = self._batch_loss(self._function(leaves, x), y)
                gradient += len(x) * _flat(
                    torch.autograd.grad(loss, leaves, materialize_grads=True)
                )
                total += len(x) * loss.item()
                examples += len(x)
        if examples == 0:
            raise ValueError("batches must hold at least one example, got none")
        return examples, total / examples, (gradient / examples).cpu().numpy()

    @contextmanager
    def _pass(self, seed: int) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        """Go through the batches; a loader too stays as it was."""
        with self._function.undisturbed(), loader_restored(self._batches) as batches:
            # What is random in the loss then differs between the first two passes.
            torch.manual_seed(seed)
            yield map(self._pair, batches)

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor]:
        if (
            not isinstance(batch, (tuple, list))
            or len(batch) != 2
            or not all(isinstance(part, Tensor) for part in batch)
        ):
            raise TypeError(
                f"a batch must be a pair of tensors (inputs, targets), got {type(batch).__name__}"
            )
        x, y = batch
        return x, y.to(self._function.device)


class Hessian(_Curvature):
    """The Hessian of the training loss by the trainable parameters.

    A product is the derivative of ⟨gradient, v⟩ (Pearlmutter, 1994), at the cost of a few
    gradients, summed over the batches in float64. A ReLU counts as having no second derivative.

    Use it as any `scipy.sparse.linalg.LinearOperator`, at its best with several vectors at once:
    `hessian @ matrix`. It is the Hessian at the parameters of the time when it was made; the model
    and all random states stay as they are. NaN in the loss becomes NaN in the products.

    The model runs in its own mode. In training mode batch norm uses the statistics of each batch:
    it is then the loss that training sees, if the batches are of training's size.

    Parameters
    ----------
    model : any module that returns a tensor.
    loss : (outputs, targets) ↦ the mean over the batch's examples.
    batches : of (inputs, targets), to be gone through at every product; they may differ in size.

    Attributes
    ----------
    loss, gradient, examples : mean loss, its gradient in R^p, and the number of examples.

    Raises
    ------
    TypeError
        If a batch is no pair of tensors, or the batches can be gone through only once.
    ValueError
        If a `DataLoader` shuffles, two passes give different gradients, there are no examples, or
        the loss is no unweighted mean.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> data = [(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)), (torch.ones(1, 1), torch.ones(1, 1))]
    >>> hessian = Hessian(model, torch.nn.MSELoss(), data)
    >>> largest_eigenvalues(hessian).values
    array([4.])
    """  # noqa: E501

    def _on_batch(
        self, leaves: list[Tensor], x: Tensor, y: Tensor
    ) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        loss = self._batch_loss(self._function(leaves, x), y)
        gradient = torch.autograd.grad(loss, leaves, create_graph=True, materialize_grads=True)
        return lambda vector: _pulled_back(gradient, leaves, vector)


class GaussNewton(_Curvature):
    """The generalised Gauss–Newton matrix (1/n) Σ_i J_iᵀ H_i J_i of the training loss.

    J_i is the Jacobian of the outputs and H_i the Hessian of the loss by the outputs at example i.
    It is the Hessian without the curvature of the network itself; positive semi-definite if the
    loss is convex, and equal to the Hessian where the loss is at its least for every example. It
    is also the Fisher matrix of cross-entropy (Martens, 2020).

    Parameters, attributes, errors : as for `Hessian`.
    """

    def _on_batch(
        self, leaves: list[Tensor], x: Tensor, y: Tensor
    ) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        outputs = self._function(leaves, x)
        # The gradient of ⟨u, outputs⟩ is linear in u; its derivative by u is J.
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, leaves, u, create_graph=True, materialize_grads=True)
        at = outputs.detach().requires_grad_()
        slope = torch.autograd.grad(self._batch_loss(at, y), at, create_graph=True)

        def multiply(vector: list[Tensor]) -> tuple[Tensor, ...]:
            pushed = _pulled_back(pulled, [u], vector)
            return _pulled_back((outputs,), leaves, _pulled_back(slope, [at], pushed))

        return multiply


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
    nodes, weights : the discrete measure, of sum 1, that it smooths.
    """

    eigenvalues: np.ndarray
    density: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray


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
    polynomials of degree 2·steps − 1. Its mean over the starts estimates (1/p) Σ_i f(λ_i) [1]_.
    Each node is then widened to a Gaussian [2]_.

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
    .. [1] S. Ubaru, J. Chen and Y. Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos
       quadrature", SIAM Journal on Matrix Analysis and Applications 38 (2017).
    .. [2] B. Ghorbani, S. Krishnan and Y. Xiao, "An investigation into neural net optimization via
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
    if not np.isfinite(nodes).all():
        nothing = np.full(points, np.nan)
        return SpectralDensity(nothing, nothing, nodes, weights)
    # An operator that is a multiple of the identity has one node.
    spread = np.ptp(nodes) if np.ptp(nodes) > 0 else max(np.abs(nodes).max(), 1.0)
    deviation = width * spread
    grid = np.linspace(nodes.min() - 5 * deviation, nodes.max() + 5 * deviation, points)
    density = np.exp(-(((grid[:, None] - nodes) / deviation) ** 2) / 2) @ weights
    return SpectralDensity(grid, density / np.trapezoid(density, grid), nodes, weights)


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


@dataclass(frozen=True)
class Stability:
    """How close a minimum is to the edge of stability: above 1 it can't be stable.

    Attributes
    ----------
    gradient_descent : η λ_max / 2.
    sgd : η/2 · (tr H / B + (1 − 1/B) ‖H‖_F² / tr H).
    """

    gradient_descent: float
    sgd: float


def stability(
    step_size: float,
    *,
    sharpness: float,
    trace: float,
    frobenius_norm: float,
    batch_size: int = 1,
) -> Stability:
    """Hold a minimum's curvature against the bounds that the step size puts on it.

    - **Gradient descent** is linearly stable only if λ_max ≤ 2/η. Networks trained by it hover
      there, at the edge of stability [1]_.
    - **SGD** with batches of one is stable in mean square [2]_ only if tr H ≤ 2/η [3]_, for the
      squared loss ½r² and where all examples are fitted, with H = (1/n) Σ φ_i φ_iᵀ. The same
      argument for batches of B, drawn with replacement: a step maps the second moment Σ of the
      deviations to Σ − η(HΣ + ΣH) + η²((1/B) E[φφᵀΣφφᵀ] + (1 − 1/B) HΣH). That map is
      self-adjoint, so its largest eigenvalue is at least ⟨P, mapped P⟩/⟨P, P⟩ for P the projector
      on the range of H; with E‖φ‖⁴ ≥ (tr H)² this exceeds 1 if
      (1/B)(tr H)² + (1 − 1/B)‖H‖_F² > (2/η) tr H.

    The bounds are necessary, not sufficient. For other losses and away from a fit they are a
    heuristic; take the Gauss–Newton matrix then.

    Parameters
    ----------
    step_size : η.
    sharpness, trace, frobenius_norm : λ_max, tr H and ‖H‖_F; NaN gives NaN.
    batch_size : B.

    References
    ----------
    .. [1] J. Cohen, S. Kaur, Y. Li, J. Z. Kolter and A. Talwalkar, "Gradient descent on neural
       networks typically occurs at the edge of stability", ICLR 2021.
    .. [2] L. Wu, C. Ma and W. E, "How SGD selects the global minima in over-parameterized
       learning: a dynamical stability perspective", NeurIPS 2018.
    .. [3] L. Wu and W. J. Su, "The implicit regularization of dynamical stability in stochastic
       gradient descent", ICML 2023.

    Examples
    --------
    >>> stability(0.1, sharpness=10.0, trace=30.0, frobenius_norm=15.0)
    Stability(gradient_descent=0.5, sgd=1.5)
    """
    step_size = _checks.number("step_size", step_size, above=0.0)
    batch_size = _checks.integer("batch_size", batch_size, at_least=1)
    noise = trace / batch_size
    if batch_size > 1 and trace != 0.0:
        noise += (1 - 1 / batch_size) * frobenius_norm**2 / trace
    return Stability(float(step_size * sharpness / 2), float(step_size * noise / 2))


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


def _pulled_back(
    outputs: tuple[Tensor, ...], inputs: list[Tensor], weights: Any
) -> tuple[Tensor, ...]:
    """Return the derivative of ⟨weights, outputs⟩ by the inputs; zero where there is none."""
    kept = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not kept:
        return tuple(map(torch.zeros_like, inputs))
    return torch.autograd.grad(
        [o for o, _ in kept],
        inputs,
        [w for _, w in kept],
        retain_graph=True,
        materialize_grads=True,
    )


def _flat(parts: Iterable[Tensor]) -> Tensor:
    return torch.cat([part.detach().flatten().double() for part in parts])


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


def _refuse_other_means(loss: Any) -> None:
    reduction = getattr(loss, "reduction", "mean")
    if reduction != "mean" or getattr(loss, "weight", None) is not None:
        raise ValueError(
            "loss must be the plain mean over a batch's examples, got "
            + (f"reduction={reduction!r}" if reduction != "mean" else "one with class weights")
        )


def _refuse_unrepeatable(batches: Any) -> None:
    if isinstance(batches, DataLoader):
        random = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
        for sampler in (batches.sampler, getattr(batches.batch_sampler, "sampler", None)):
            if isinstance(sampler, random) or getattr(sampler, "shuffle", False):
                raise ValueError(
                    "batches must be the same in every pass, got a DataLoader that shuffles "
                    f"({type(sampler).__name__}): make it with shuffle=False"
                )
    if isinstance(batches, Iterator):
        raise TypeError(
            "batches must be iterable again and again, such as a list or a DataLoader, got "
            f"{type(batches).__name__}, which can be gone through only once"
        )
