"""The Hessian and the Gauss–Newton matrix of a loss on a whole data set, as products with vectors.

Neither is ever stored. What is measured of them, in `metrics.spectrum`, takes any symmetric
operator.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from largestep.deep.batches import checked, count_inputs, labelled, loader_restored
from largestep.deep.curvature.function import ModelFunction

__all__ = ["GaussNewton", "Hessian", "loss_gradients"]

Batches = Iterable[tuple[Tensor, Tensor] | Mapping[str, Any]]


class _Curvature(LinearOperator):
    """The symmetric matrix of a loss, (1/n) Σ_i of the examples, as a product with vectors."""

    def __init__(
        self, model: nn.Module, loss: Callable[[Any, Tensor], Tensor], batches: Batches
    ) -> None:
        self._function = ModelFunction(model, evaluation=False)
        super().__init__(np.float64, (self._function.size,) * 2)  # type: ignore[no-untyped-call]
        _refuse_other_means(loss)
        batches = checked("batches", batches)
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
                    total[k] += count_inputs(x) / self.examples * _flat(product)
        return total.T.cpu().numpy()

    def _adjoint(self) -> "_Curvature":
        return self

    @abstractmethod
    def _on_batch(
        self, leaves: list[Tensor], x: Any, y: Tensor
    ) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        """Return the product with vectors for the mean loss of a batch."""

    def _total_gradient(self, seed: int) -> tuple[int, float, np.ndarray]:
        examples, total = 0, 0.0
        gradient = torch.zeros(self.shape[0], dtype=torch.float64, device=self._function.device)
        with self._pass(seed) as batches:
            for inputs, loss, own in _gradients(self._function, self._loss, batches):
                gradient += inputs * own
                total += inputs * loss
                examples += inputs
        if examples == 0:
            raise ValueError("batches must hold at least one example, got none")
        return examples, total / examples, (gradient / examples).cpu().numpy()

    @contextmanager
    def _pass(self, seed: int) -> Iterator[Iterator[tuple[Any, Tensor]]]:
        """Go through the batches; a loader too stays as it was."""
        with self._function.undisturbed(), loader_restored(self._batches) as batches:
            # What is random in the loss then differs between the first two passes.
            torch.manual_seed(seed)
            yield (_pair(self._function, batch) for batch in batches)


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
    model : any module; of `GaussNewton` one that returns a tensor.
    loss : (outputs, targets) ↦ the mean over the batch's examples.
    batches : of (inputs, targets), or dictionaries of the model's arguments, of which "labels" are
        the targets; to be gone through at every product. They may differ in size.

    Attributes
    ----------
    loss, gradient, examples : mean loss, its gradient in R^p, and the number of examples.

    Raises
    ------
    TypeError
        If a batch is neither of these, or the batches can be gone through only once.
    ValueError
        If a `DataLoader` shuffles, two passes give different gradients, there are no examples, or
        the loss is no unweighted mean.

    Examples
    --------
    >>> import torch
    >>> from largestep.metrics.spectrum import largest_eigenvalues
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> data = [(torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)), (torch.ones(1, 1), torch.ones(1, 1))]
    >>> hessian = Hessian(model, torch.nn.MSELoss(), data)
    >>> largest_eigenvalues(hessian).values
    array([4.])
    """  # noqa: E501

    def _on_batch(
        self, leaves: list[Tensor], x: Any, y: Tensor
    ) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        loss = _mean(self._loss, self._function.outputs(leaves, x), y)
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
        self, leaves: list[Tensor], x: Any, y: Tensor
    ) -> Callable[[list[Tensor]], tuple[Tensor, ...]]:
        outputs = self._function(leaves, x)
        # The gradient of ⟨u, outputs⟩ is linear in u; its derivative by u is J.
        u = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, leaves, u, create_graph=True, materialize_grads=True)
        at = outputs.detach().requires_grad_()
        slope = torch.autograd.grad(_mean(self._loss, at, y), at, create_graph=True)

        def multiply(vector: list[Tensor]) -> tuple[Tensor, ...]:
            pushed = _pulled_back(pulled, [u], vector)
            return _pulled_back((outputs,), leaves, _pulled_back(slope, [at], pushed))

        return multiply


def loss_gradients(
    model: nn.Module, loss: Callable[[Any, Tensor], Tensor], batches: Batches
) -> Float[np.ndarray, "batches p"]:
    """Return the gradient of the mean loss of each batch, by the trainable parameters.

    The model runs in its own mode, dropout and all, and stays as it is.

    Parameters
    ----------
    model, loss, batches : as for `Hessian`.

    Raises
    ------
    TypeError, ValueError
        If a batch is none, or the loss is no unweighted mean.
    """
    function = ModelFunction(model, evaluation=False)
    _refuse_other_means(loss)
    with function.undisturbed():
        pairs = (_pair(function, batch) for batch in batches)
        found = [gradient.cpu() for _, _, gradient in _gradients(function, loss, pairs)]
    return torch.stack(found).numpy()


def _gradients(
    function: ModelFunction,
    loss: Callable[[Any, Tensor], Tensor],
    batches: Iterable[tuple[Any, Tensor]],
) -> Iterator[tuple[int, float, Tensor]]:
    """Yield the examples of each batch, its mean loss, and the gradient of that."""
    for number, (x, y) in enumerate(batches):
        leaves = function.leaves()
        outputs = function.outputs(leaves, x)
        value = _mean(loss, outputs, y)
        if number == 0:
            _refuse_a_sum(loss, value.item(), outputs, y)
        gradient = torch.autograd.grad(value, leaves, materialize_grads=True)
        yield count_inputs(x), value.item(), _flat(gradient)


def _pair(function: ModelFunction, batch: Any) -> tuple[Any, Tensor]:
    x, y = labelled(batch)
    return x, y.to(function.device)


def _mean(loss: Callable[[Any, Tensor], Tensor], outputs: Any, y: Tensor) -> Tensor:
    value = loss(outputs, y)
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"loss must return the mean over a batch, one number, got {found}")
    return value.reshape(())


def _refuse_a_sum(
    loss: Callable[[Any, Tensor], Tensor], whole: float, outputs: Any, y: Tensor
) -> None:
    """Refuse a loss that adds up over two parts of a batch where a mean weighs them."""
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != y.shape[:1] or len(y) < 2:
        return
    middle = len(y) // 2
    with torch.no_grad():
        first, rest = (
            _mean(loss, outputs[part], y[part]).item()
            for part in (slice(middle), slice(middle, None))
        )
    mean = (middle * first + (len(y) - middle) * rest) / len(y)
    near = 1e-3 * (abs(first) + abs(rest))
    if abs(whole - (first + rest)) < near < abs(whole - mean):
        raise ValueError(
            "loss must be the plain mean over a batch's examples, got a sum: of the first batch "
            f"it is {whole:.3g}, of its halves {first:.3g} and {rest:.3g}; divide by the number "
            "of examples"
        )


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
