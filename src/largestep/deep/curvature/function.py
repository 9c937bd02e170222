"""A model as a function of its parameters: what derivatives are taken of."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from largestep.deep._untouched import attributes_restored, random_states_restored, unwrapped
from largestep.deep.batches import mapped

__all__ = ["ModelFunction"]


class ModelFunction:
    """The map (θ, x) ↦ outputs of a model as it is now; what is done with it leaves no trace.

    Parameters and buffers are copies, so that training may go on while the function stays.
    Derivatives belong inside `with function.undisturbed():`, where nothing is compiled, cast or
    rounded to TensorFloat-32, and after which the model's mode and the global random states are
    as they were. Buffers never change: a pass in training mode updates copies of them.

    Parameters
    ----------
    model : any module; wrappers are looked through. Parameters that require no gradient are
        constants.
    evaluation : run the model in evaluation mode, whatever its mode; otherwise in its own.

    Attributes
    ----------
    parameters : θ as it is now, one tensor for each trainable parameter.
    size : number of trainable parameters, p.
    device, dtype : of the parameters; if they differ in precision, the widest.
    eps : machine precision of the coarsest parameter.

    Raises
    ------
    TypeError
        If the model is not a module.
    ValueError
        If no parameter requires a gradient.
    """

    def __init__(self, model: nn.Module, *, evaluation: bool) -> None:
        self._model = unwrapped(model)
        self._training = {m: m.training and not evaluation for m in self._model.modules()}
        with torch.inference_mode(False):
            named = {name: p.detach().clone() for name, p in self._model.named_parameters()}
            self._buffers = {name: b.detach().clone() for name, b in self._model.named_buffers()}
        self._names = [name for name, p in self._model.named_parameters() if p.requires_grad]
        if not self._names:
            raise ValueError("model must have parameters that require a gradient, got none")
        self.parameters = [named.pop(name) for name in self._names]
        self._constants = named
        self._sizes = [p.numel() for p in self.parameters]
        self.size = sum(self._sizes)
        self.device = self.parameters[0].device
        precisions = sorted({p.dtype for p in self.parameters}, key=lambda t: torch.finfo(t).eps)
        self.dtype, self.eps = precisions[0], torch.finfo(precisions[-1]).eps

    def __call__(self, parameters: Sequence[Tensor], x: Tensor) -> Tensor:
        """Return the outputs at the inputs x, of shape (n, …).

        Raises
        ------
        TypeError
            If the model returns no tensor.
        """
        outputs = self.outputs(parameters, x)
        if not isinstance(outputs, Tensor):
            raise TypeError(
                f"model must return a tensor, got {type(outputs).__name__}: "
                "wrap it in a module that returns the tensor to differentiate"
            )
        return outputs

    def outputs(self, parameters: Sequence[Tensor], x: Any) -> Any:
        """Return whatever the model gives for inputs, or for a dictionary of its arguments."""
        x = mapped(x, lambda part: part.to(self.device))
        x = mapped(x, lambda part: part.to(self.dtype) if part.is_floating_point() else part)
        state = dict(zip(self._names, parameters, strict=True)) | self._constants
        state |= {name: buffer.clone() for name, buffer in self._buffers.items()}
        arguments = () if isinstance(x, Mapping) else (x,)
        return functional_call(self._model, state, arguments, {} if arguments else dict(x))

    def leaves(self) -> list[Tensor]:
        """Return the parameters as tensors to take gradients of."""
        return [p.detach().requires_grad_() for p in self.parameters]

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return a vector of R^p as tensors of the parameters' shapes and precisions."""
        parts = torch.split(vector.to(self.device), self._sizes)
        return [
            part.reshape(p.shape).to(p.dtype)
            for part, p in zip(parts, self.parameters, strict=True)
        ]

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Take derivatives at full precision, and leave everything as it was."""
        with ExitStack() as stack:
            stack.enter_context(random_states_restored(self.device))
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(torch.autocast(self.device.type, enabled=False))
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            # The fused kernels of attention have no second derivatives.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(_ieee_float32())
            stack.enter_context(attributes_restored(self._model))
            for module, training in self._training.items():
                module.training = training
            yield


@contextmanager
def _ieee_float32() -> Iterator[None]:
    """Keep accelerators from rounding float32 to 10 bits, and from sums in varying order."""
    cudnn: Any = torch.backends.cudnn
    kinds = (torch.backends.cuda.matmul, cudnn.conv)
    before = [kind.fp32_precision for kind in kinds]
    deterministic = cudnn.deterministic
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:
        # PyTorch has two settings for one thing; where they disagree only the newer one counts.
        older = "highest"
    try:
        cudnn.deterministic = True
        torch.set_float32_matmul_precision("highest")
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        cudnn.deterministic = deterministic
        torch.set_float32_matmul_precision(older)
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
