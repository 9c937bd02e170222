"""The Jacobian φ(X) ∈ R^{n×p} of models with millions of parameters: kernel, spectrum, ranks."""

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import entr
from torch import Tensor, nn
from torch.func import grad, vmap

from largestep import _checks
from largestep.deep.curvature.function import ModelFunction

__all__ = [
    "Reduction",
    "effective_rank",
    "jacobian",
    "jacobian_rank",
    "jacobian_spectrum",
    "tangent_kernel",
]

Reduction = Literal["projection", "each"] | int
"""Which scalar functions of the outputs f(x) ∈ R^C are differentiated.

- "projection": ⟨v, f(x)⟩ with one random direction v of unit length, the same for every input: a
  network with scalar output, to which the theory applies as it stands. Its kernel is an unbiased
  estimate of the trace kernel, (1/C) Σ_c ∇f_c ∇f_cᵀ. (Directions drawn anew for every input would
  be orthogonal in expectation, and would count the draws rather than the network.)
- "each": every output by itself; C rows for each input, side by side.
- an index: that output alone.

Outputs of more dimensions are flattened. All are the same for a single output, up to the sign.
"""

Route = Literal["gram", "sketch"]

_CHUNK = 32
"""The most examples whose gradients are taken at once."""
_BATCH = 128
"""Examples in a pass that needs no gradients of single examples."""
_SLICE = 1 << 16
"""Parameters whose gradients are converted to float64 at once."""


def jacobian(
    model: nn.Module, inputs: Tensor, *, reduction: Reduction = "projection", seed: int = 0
) -> Float[Tensor, "rows p"]:
    """Return φ(X), the gradients of the outputs by the trainable parameters, one row for each.

    The model is differentiated in evaluation mode, whatever its mode, and stays as it is. In
    training mode a model with batch norm has no gradient of a single example: each output depends
    on the whole batch.

    For models so small that rows × p numbers fit into memory; `largestep.metrics` then measures
    it, and resolves what the routes of `jacobian_spectrum` can't.

    Parameters
    ----------
    model : any module that maps inputs (n, …) to outputs (n,) or (n, …).
    inputs : (n, …) tensor.
    reduction : which functions of the outputs; see `Reduction`.
    seed : fixes the projection.

    Returns
    -------
    (n, p), or (n·C, p) for "each", on the model's device and in its precision.

    Raises
    ------
    TypeError
        If the model gives no tensor, or the inputs are none.
    ValueError
        If there are no inputs, the reduction is none of the above, or batch norm uses the
        statistics of the batch in evaluation mode too.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1)
    >>> jacobian(model, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), reduction=0)
    tensor([[1., 2., 1.],
            [3., 4., 1.]])
    """
    scalars = _Scalars(model, inputs, reduction, seed)
    with scalars.function.undisturbed():
        return scalars.rows(0, scalars.examples)


def tangent_kernel(
    model: nn.Module,
    inputs: Tensor,
    *,
    reduction: Reduction = "projection",
    seed: int = 0,
    memory: int = 1 << 31,
) -> Float[np.ndarray, "rows rows"]:
    """Return the empirical tangent kernel φ(X) φ(X)ᵀ, accumulated in float64.

    φ(X) itself is not stored if it is larger than `memory`. As many rows as fit are held and
    multiplied with all later ones, which are recomputed for every such block: with k blocks each
    gradient is computed some (k + 1)/2 times. (To build the kernel from its products with unit
    vectors would take n passes over the data.)

    Parameters
    ----------
    model, inputs, reduction, seed : as for `jacobian`.
    memory : bytes that gradients may take, at least those of one example and a few more.

    Returns
    -------
    (n, n), or (n·C, n·C) for "each"; NaN where a gradient is not finite.
    """
    scalars = _Scalars(model, inputs, reduction, seed)
    with scalars.function.undisturbed():
        return _tangent_kernel(scalars, _checks.integer("memory", memory, at_least=1))


def jacobian_spectrum(
    model: nn.Module,
    inputs: Tensor,
    *,
    reduction: Reduction = "projection",
    route: Route = "gram",
    size: int = 200,
    seed: int = 0,
    memory: int = 1 << 31,
) -> Float[np.ndarray, " k"]:
    """Return the singular values of φ(X), largest first.

    What can be resolved. Gradients carry the rounding of the model's own precision ε, so that
    singular values below some 10 ε of the largest are noise on every route.

    - "gram": the square roots of the eigenvalues of φφᵀ, all min(rows, p) of them. Squaring costs
      half of the digits: although the kernel is accumulated in float64, relative singular values
      below √(rows · 2.2e-16), 5e-7 for a thousand rows, are noise.
    - "sketch": randomised range finding [1]_, for so many inputs that the rows × rows kernel is
      too large. With Ω a Gaussian p × k matrix, k half as large again as `size`, Q is an
      orthonormal basis of φΩ, then of φφᵀQ, and the values are the singular values of Qᵀφ. They
      never exceed those of φ. Where the spectrum decays slowly the last of them fall short, by
      some 4 % for σ_i ~ i^(−1/2); where it vanishes before `size`, they are exact. Resolves 1.5e-8
      at best, as the second basis squares once. Holds k × p numbers in float64.

    Parameters
    ----------
    model, inputs, reduction, seed : as for `jacobian`; the seed also fixes the sketch.
    route : "gram" or "sketch".
    size : of the sketch: how many singular values are asked for.
    memory : of the Gram route; see `tangent_kernel`.

    Raises
    ------
    ValueError
        If a gradient is not finite, or for the reasons of `jacobian`.

    References
    ----------
    .. [1] N. Halko, P. G. Martinsson and J. A. Tropp, "Finding structure with randomness", SIAM
       Review 53 (2011).
    """
    return _spectrum(_Scalars(model, inputs, reduction, seed), route, size, memory)


def jacobian_rank(
    model: nn.Module,
    inputs: Tensor,
    relative_tolerance: float = 1e-4,
    *,
    reduction: Reduction = "projection",
    route: Route = "gram",
    size: int = 200,
    seed: int = 0,
    memory: int = 1 << 31,
) -> int:
    """Count the singular values of φ(X) above a share of the largest.

    The same as `largestep.metrics.jacobian_rank` of the dense Jacobian.

    Parameters
    ----------
    relative_tolerance : the share of the largest singular value below which one counts as zero.
    model, inputs, reduction, route, size, seed, memory : as for `jacobian_spectrum`.

    Raises
    ------
    ValueError
        If the route can't resolve the tolerance, or the rank exceeds the size of the sketch.

    Examples
    --------
    Thirty inputs span the four dimensions that a linear model sees.

    >>> import torch
    >>> model = torch.nn.Linear(4, 1, bias=False)
    >>> jacobian_rank(model, torch.randn(30, 4))
    4
    """
    tolerance = _checks.number("relative_tolerance", relative_tolerance, at_least=0.0, at_most=1.0)
    scalars = _Scalars(model, inputs, reduction, seed)
    finest = scalars.resolution(route)
    if tolerance < finest:
        raise ValueError(
            f"relative_tolerance must be at least {finest:.1g}, what route={route!r} resolves "
            f"for {scalars.count} rows and a model in {scalars.function.dtype}, got "
            f"{tolerance:g}: {scalars.finer(route)}"
        )
    values = _spectrum(scalars, route, size, memory)
    rank = int(np.sum(values > tolerance * values[0]))
    if rank == len(values) < min(scalars.count, scalars.function.size):
        raise ValueError(
            f"size must exceed the rank, which is at least {rank}, got {size}: "
            "ask for a larger sketch, or take route='gram'"
        )
    return rank


def effective_rank(
    model: nn.Module,
    inputs: Tensor,
    *,
    reduction: Reduction = "projection",
    seed: int = 0,
    memory: int = 1 << 31,
) -> float:
    """Return the exponential of the entropy of the normalised singular values of φ(X).

    The same as `largestep.metrics.effective_rank` of the dense Jacobian, but what the Gram route
    can't resolve counts as zero. It needs the whole spectrum, so that there is no other route.

    Parameters
    ----------
    model, inputs, reduction, seed, memory : as for `jacobian_spectrum`.
    """
    scalars = _Scalars(model, inputs, reduction, seed)
    values = _spectrum(scalars, "gram", 1, memory)
    values = values[values > scalars.resolution("gram") * values[0]]
    return float(np.exp(np.sum(entr(values / values.sum())))) if len(values) else 0.0


class _Scalars:
    """The scalar functions of θ whose gradients are the rows of the Jacobian.

    Row e·r + k is the gradient of output direction k of r at example e.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, reduction: Reduction, seed: int) -> None:
        self.function = ModelFunction(model, evaluation=True)
        self.seed = _checks.integer("seed", seed, at_least=0)
        _refuse_batch_statistics(model)
        if not isinstance(inputs, Tensor):
            raise TypeError(f"inputs must be a tensor, got {type(inputs).__name__}")
        if inputs.ndim == 0 or len(inputs) == 0:
            raise ValueError(f"inputs must hold at least one, got shape {tuple(inputs.shape)}")
        self.examples = len(inputs)
        with self.function.undisturbed(), torch.no_grad():
            # A tensor made in inference mode can't be differentiated through; its copy can.
            self.inputs = inputs.detach().clone() if inputs.is_inference() else inputs.detach()
            output = self.function(self.function.parameters, self.inputs[:1])
            # In the precision of the outputs, which may be another than the parameters'.
            self.directions = self._directions(output.numel(), reduction).to(output)
        self.count = self.examples * len(self.directions)

    def rows(self, first: int, last: int) -> Tensor:
        """Return the gradients at the examples from the first to before the last, (rows, p)."""
        return self._rows(self.inputs[first:last]).flatten(0, 1)

    def resolution(self, route: Route) -> float:
        """Return the share of the largest singular value below which others are noise."""
        squared = (self.count if route == "gram" else 1) * 2.0**-52
        return max(10.0 * self.function.eps, squared**0.5)

    def finer(self, route: Route) -> str:
        """Return what to do for a finer resolution."""
        if 10.0 * self.function.eps >= self.resolution(route):
            return "convert the model, as by model.double()"
        others = "route='sketch' resolves 1.5e-8, and " if route == "gram" else ""
        return others + "largestep.metrics.jacobian_rank(jacobian(…)) of the dense Jacobian 1e-13"

    def columns(self, vectors: Tensor) -> Tensor:
        """Return φ times each of the vectors (k, p), as (rows, k) in float64."""
        result = torch.empty(self.count, len(vectors), dtype=torch.float64)
        for rows, outputs, leaves in self._passes():
            # The gradient is linear in its weights u, and its derivative by them is φ.
            u = torch.zeros_like(outputs, requires_grad=True)
            pulled = torch.autograd.grad(
                outputs, leaves, u, create_graph=True, materialize_grads=True
            )
            for k, vector in enumerate(vectors):
                (pushed,) = torch.autograd.grad(
                    pulled, u, self.function.split(vector), retain_graph=True
                )
                result[rows, k] = pushed.flatten().to("cpu", torch.float64)
        return result

    def combinations(self, weights: Tensor) -> Tensor:
        """Return each column of the weights (rows, k) times φ, as (k, p) in float64."""
        result = torch.zeros(
            weights.shape[1], self.function.size, dtype=torch.float64, device=self.function.device
        )
        for rows, outputs, leaves in self._passes():
            for k, weight in enumerate(weights[rows].T.to(outputs)):
                pulled = torch.autograd.grad(
                    outputs,
                    leaves,
                    weight.reshape(outputs.shape),
                    retain_graph=True,
                    materialize_grads=True,
                )
                result[k] += torch.cat([part.flatten() for part in pulled])
        return result

    def _passes(self) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
        each = len(self.directions)
        for start in range(0, self.examples, _BATCH):
            stop = min(start + _BATCH, self.examples)
            leaves = self.function.leaves()
            outputs = self.function(leaves, self.inputs[start:stop]).flatten(1) @ self.directions.T
            yield slice(start * each, stop * each), outputs, leaves

    def _rows(self, x: Tensor) -> Tensor:
        # On a CPU, vectorised convolutions are several times slower than one after another.
        return self._one_by_one(x) if self.function.device.type == "cpu" else self._vectorised(x)

    def _one_by_one(self, x: Tensor) -> Tensor:
        result = x.new_empty(
            len(x),
            len(self.directions),
            self.function.size,
            dtype=self.function.dtype,
            device=self.function.device,
        )
        for example in range(len(x)):
            leaves = self.function.leaves()
            outputs = self.function(leaves, x[example : example + 1]).flatten() @ self.directions.T
            for k, output in enumerate(outputs):
                parts = torch.autograd.grad(
                    output, leaves, retain_graph=True, materialize_grads=True
                )
                torch.cat([part.flatten() for part in parts], out=result[example, k])
        return result

    def _vectorised(self, x: Tensor) -> Tensor:
        def scalar(parameters: list[Tensor], one: Tensor, direction: Tensor) -> Tensor:
            return self.function(parameters, one[None]).flatten() @ direction

        gradients: Callable[..., list[Tensor]] = vmap(grad(scalar), in_dims=(None, 0, None))
        found = [
            torch.cat(
                [part.flatten(1) for part in gradients(self.function.parameters, x, direction)], 1
            )
            for direction in self.directions
        ]
        return torch.stack(found, dim=1)

    def _directions(self, outputs: int, reduction: Reduction) -> Tensor:
        """Return (r, C) directions in the space of the outputs."""
        eye = torch.eye(outputs, dtype=torch.float64)
        if reduction == "each":
            chosen = eye
        elif reduction == "projection":
            generator = torch.Generator().manual_seed(self.seed)
            drawn = torch.randn(1, outputs, dtype=torch.float64, generator=generator)
            chosen = drawn / torch.linalg.vector_norm(drawn)
        elif isinstance(reduction, str):
            raise ValueError(
                f"reduction must be 'projection', 'each' or the index of an output, "
                f"got {reduction!r}"
            )
        else:
            index = _checks.integer("reduction", reduction, at_least=0)
            if index >= outputs:
                raise ValueError(f"reduction must be an index below {outputs}, got {index}")
            chosen = eye[index : index + 1]
        return chosen


def _refuse_batch_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"batch norm {name!r} must keep running statistics: without them each output "
                "depends on the whole batch, and no example has a gradient of its own"
            )


def _tangent_kernel(scalars: _Scalars, memory: int) -> np.ndarray:
    n, each = scalars.examples, len(scalars.directions)
    example = each * scalars.function.size * torch.finfo(scalars.function.dtype).bits // 8
    chunk = max(1, min(_CHUNK, memory // (4 * example)))
    held = max(chunk, memory // example - chunk)
    kernel = np.zeros((scalars.count, scalars.count))
    for first in range(0, n, held):
        last = min(first + held, n)
        block = torch.empty(
            (last - first) * each,
            scalars.function.size,
            dtype=scalars.function.dtype,
            device=scalars.function.device,
        )
        for start in range(first, last, chunk):
            stop = min(start + chunk, last)
            block[(start - first) * each : (stop - first) * each] = scalars.rows(start, stop)
        rows = slice(first * each, last * each)
        kernel[rows, rows] = _product(block, block)
        for start in range(last, n, chunk):
            stop = min(start + chunk, n)
            kernel[rows, start * each : stop * each] = _product(block, scalars.rows(start, stop))
    return np.triu(kernel) + np.triu(kernel, 1).T


def _product(left: Tensor, right: Tensor) -> np.ndarray:
    """Return left · rightᵀ in float64, never holding either in it."""
    total = torch.zeros(len(left), len(right), dtype=torch.float64, device=left.device)
    for start in range(0, left.shape[1], _SLICE):
        part = slice(start, start + _SLICE)
        total += left[:, part].double() @ right[:, part].double().T
    return total.cpu().numpy()


def _spectrum(scalars: _Scalars, route: Route, size: int, memory: int) -> np.ndarray:
    most = min(scalars.count, scalars.function.size)
    size = _checks.integer("size", size, at_least=1)
    with scalars.function.undisturbed():
        if route == "gram":
            kernel = _tangent_kernel(scalars, _checks.integer("memory", memory, at_least=1))
            _refuse_unless_finite(bool(np.isfinite(kernel).all()))
            return np.sqrt(np.maximum(np.linalg.eigvalsh(kernel)[::-1][:most], 0.0))
        if route == "sketch":
            return _sketched(scalars, min(size + size // 2 + 10, most))[:size]
    raise ValueError(f"route must be 'gram' or 'sketch', got {route!r}")


def _sketched(scalars: _Scalars, width: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(scalars.seed)
    drawn = torch.randn(
        width, scalars.function.size, generator=generator, dtype=scalars.function.dtype
    )
    sampled = scalars.columns(drawn)
    del drawn
    _refuse_unless_finite(bool(sampled.isfinite().all()))
    basis = torch.linalg.qr(sampled).Q
    basis = torch.linalg.qr(scalars.columns(scalars.combinations(basis))).Q
    # The triangular factor of the tall transpose has its singular values; it is found slice by
    # slice, so that nothing else of its size is held.
    triangular = torch.zeros(0, width, dtype=torch.float64, device=scalars.function.device)
    for part in torch.split(scalars.combinations(basis), _SLICE, dim=1):
        triangular = torch.linalg.qr(torch.cat([triangular, part.T])).R
    return torch.linalg.svdvals(triangular).cpu().numpy()


def _refuse_unless_finite(finite: bool) -> None:
    if not finite:
        raise ValueError("the gradients must be finite, got NaN or infinity")
