"""Any optimizer of `torch.optim`: made by name, and what a checkpoint keeps of it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["build", "check", "numbers", "restore", "tensors"]

_FUSED = ("SGD", "Adam", "AdamW")
"""Those that take a step in one kernel on every device."""
_OTHER_STEPS = {
    "LBFGS": "it evaluates the loss several times a step",
    "SparseAdam": "its gradients must be sparse",
}
_UNTIL_SET = 0.1
"""The step size until a schedule or a controller sets it."""

Named = Iterable[tuple[str, nn.Parameter]]


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an optimizer that there is not, or settings that it does not take.

    Raises
    ------
    TypeError, ValueError
        The error says which optimizers there are, or what the optimizer says of its settings.
    """
    kinds = [k for k in torch.optim.__all__ if k not in (*_OTHER_STEPS, "Optimizer")]
    kinds = [k for k in kinds if isinstance(getattr(torch.optim, k, None), type)]
    if name not in kinds:
        why = f": {_OTHER_STEPS[name]}" if name in _OTHER_STEPS else ""
        raise ValueError(f"optimizer must be one of {', '.join(kinds)}, got {name!r}{why}")
    for key, value in settings.items():
        if key in ("lr", "params"):
            raise ValueError(f"optimizer_settings must not hold {key}: it is set by the training")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} must be finite, got {value}")
    try:
        build(name, settings, [nn.Parameter(torch.zeros(2, 2))])
    except (TypeError, ValueError) as error:
        raise type(error)(f"optimizer_settings do not suit {name}: {error}") from None


def build(
    name: str, settings: Mapping[str, Any], parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the optimizer of some parameters."""
    fused: dict[str, Any] = {"fused": True} if name in _FUSED else {}
    return getattr(torch.optim, name)(parameters, lr=_UNTIL_SET, **{**fused, **settings})


def tensors(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, Tensor]:
    """Return what the optimizer holds of each parameter, as key.parameter."""
    return {k: v for k, v in _held(optimizer, parameters) if isinstance(v, Tensor)}


def numbers(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, Any]:
    """Return the same for what is no tensor."""
    return {k: v for k, v in _held(optimizer, parameters) if not isinstance(v, Tensor)}


def restore(optimizer: torch.optim.Optimizer, parameters: Named, held: Mapping[str, Any]) -> None:
    """Give the optimizer back what `tensors` and `numbers` returned."""
    named = dict(parameters)
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    for key, value in held.items():
        kind, _, name = key.partition(".")
        parameter = named[name]
        if isinstance(value, Tensor):
            if value.shape == parameter.shape and value.ndim > 0:
                # In the parameter's memory format, for the same bits in the same order.
                like = torch.empty_like(parameter, dtype=value.dtype)
                value = like.copy_(value).detach()
            else:
                group = groups[parameter]
                on_device = group.get("fused") or group.get("capturable") or value.ndim > 0
                value = value.to(parameter.device if on_device else "cpu", copy=True)
        optimizer.state[parameter][kind] = value


def _held(optimizer: torch.optim.Optimizer, parameters: Named) -> Iterator[tuple[str, Any]]:
    for name, parameter in parameters:
        for kind, value in optimizer.state[parameter].items():
            if value is not None:
                yield f"{kind}.{name}", value
