"""A model's features: which layers give them, and how they are gathered without a trace."""

import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from largestep.deep._untouched import device_of, unwrapped, without_a_trace
from largestep.deep.batches import Batch, count_inputs, flattened, mapped, moved

__all__ = ["Layer", "Layers", "Units", "forward_by_default", "gather"]

Units = Literal["position", "channel"]
FeatureFunction = Callable[[nn.Module, Batch], Tensor]
Layers = str | FeatureFunction | Sequence[str | FeatureFunction]

_RECTIFIERS = {
    functional.relu,
    functional.relu_,
    functional.relu6,
    torch.relu,
    torch.relu_,
    torch.Tensor.relu,
    torch.Tensor.relu_,
    torch.clamp_min,
    torch.Tensor.clamp_min,
}
_CLAMPS = {torch.clamp, torch.Tensor.clamp, torch.clip, torch.Tensor.clip}
_SMOOTH = {
    functional.celu,
    functional.elu,
    functional.gelu,
    functional.hardswish,
    functional.leaky_relu,
    functional.mish,
    functional.selu,
    functional.silu,
    functional.softplus,
}
_ACTIVATIONS = ("relu", "gelu", "silu", "swish", "mish", "elu", "softplus")
"""Parts of the class names of modules that are activations."""


@dataclass(frozen=True)
class Layer:
    """The features of a layer at the inputs.

    Attributes
    ----------
    features : (rows, units) tensor on the model's device, a copy; a row is an input, or an input
        at a position.
    width : number of the layer's units, of which `features` may hold a random subset.
    rectified : whether the units are exactly zero where they are not active.
    """

    features: Tensor
    width: int
    rectified: bool


def gather(
    model: nn.Module,
    batches: Sequence[Batch],
    layers: Layers = "auto",
    *,
    units: Units = "position",
    max_units: int | None = None,
    max_rows: int | None = None,
    seed: int = 0,
    forward: Callable[[nn.Module, Batch], Any] | None = None,
) -> dict[str, Layer]:
    """Run the model on the batches and return the features of its layers.

    The model runs in evaluation mode, without gradients. Its mode, buffers and gradients, the
    global random states and later outputs are as if nothing had happened, and no hook stays, also
    after an exception.

    Parameters
    ----------
    model : any module; wrappers are looked through, so that a compiled model runs uncompiled.
    batches : as `take` returns them.
    layers : "auto", names of modules, patterns like "stage*.relu", functions (model, batch) →
        (inputs, …) tensor, or a sequence of these. "auto" takes the outputs of rectifiers and
        their smooth relatives, called as modules or as functions, and those of residual stages
        (an `nn.Sequential` of blocks of one class of the model's own). It passes over what has not
        one row for each input, such as the softplus of a parameter; and over experts that share a
        tensor, where a column is the unit of several. A warning names them, if there is more to
        measure. A function's name is that
        of the module that calls it, with the function's after a dot; what is called again in the
        same pass gets ":2" after its name. Where an output is a tuple or dictionary, its first
        floating-point tensor counts.
    units : "position": each entry of a layer's output is a unit, as in the paper. "channel": each
        channel is a unit, and each input at each position a row; the channels of an output with
        three dimensions are its last, otherwise its second. The inputs need not be the first
        dimension then: the layer may hold the tokens of all inputs, or lead with them. Tokens that
        the batch's `attention_mask` masks are no rows (`decoder_attention_mask` in a decoder).
    max_units, max_rows : take a random subset of so many, the same at every call; all by default.
    seed : fixes the subsets.
    forward : how to run the model on a batch; by default `model(**batch)` for dictionaries,
        `model(batch[0])` for tuples and lists, `model(batch)` for tensors, moved to the model's
        device and floating-point type.

    Raises
    ------
    TypeError
        If the model is no module, or holds TorchScript.
    ValueError
        If a name or pattern matches nothing (the error lists near matches), an output is no
        tensor, or its shape differs between batches.
    """
    model = unwrapped(model)
    if units not in ("position", "channel"):
        raise ValueError(f"units must be 'position' or 'channel', got {units!r}")
    patterns, functions = _sorted_out(layers)
    sample = _Sample(units, max_units, max_rows, seed, sum(map(count_inputs, batches)))
    recorder = _Recorder(model, patterns)
    parts: dict[str, list[Tensor]] = {}
    about: dict[str, tuple[int, bool]] = {}
    passed_over: dict[str, ValueError] = {}
    for number, batch in enumerate(batches):
        inputs = count_inputs(batch)

        def keep(name: str, output: Any, rectified: bool, chosen: bool) -> None:
            try:
                tensor = _tensor(name, output)
                if units == "position" or tensor.ndim < 2:
                    _refuse_other_rows(name, tensor, inputs, units)  # noqa: B023
                elif not chosen:
                    _refuse_mixed_units(name, tensor, inputs, recorder.caller())  # noqa: B023
            except ValueError as error:
                if chosen:
                    raise
                passed_over[name] = error
                return
            shaped = sample.shaped(tensor)
            if units == "channel":
                shaped = _without_padding(name, tensor, shaped, batch)  # noqa: B023
                if len(shaped) == 0:
                    return
            width = shaped[0].numel()
            if about.setdefault(name, (width, rectified))[0] != width:
                raise ValueError(
                    f"layer {name!r} must have as many units for every input, got "
                    f"{about[name][0]} and {width}: count them with units='channel'"
                )
            parts.setdefault(name, []).append(sample(name, shaped, number, inputs))  # noqa: B023

        with without_a_trace(model):
            if patterns:
                recorder.run(moved(batch, model), forward or forward_by_default, keep)
            for name, function in functions.items():
                keep(name, function(model, moved(batch, model)), False, True)
    recorder.refuse_unmatched()
    # Of what is called once for each expert no call is one expert's in all batches.
    mixed = {name.partition(":")[0] for name in passed_over}
    parts = {name: found for name, found in parts.items() if name.partition(":")[0] not in mixed}
    if not parts:
        raise ValueError(
            "layers='auto' found no activation with a row for each input: name the layers"
            + "".join(f" ({error})" for error in list(passed_over.values())[:1])
        )
    _report(passed_over)
    return {name: Layer(torch.cat(found), *about[name]) for name, found in parts.items()}


class _Recorder:
    """Hears of the output of every module and every activation function, under their names."""

    def __init__(self, model: nn.Module, patterns: Sequence[str]) -> None:
        self.model = model
        self.patterns = patterns
        self.names = {module: name for name, module in model.named_modules()}
        self.heard: set[str] = set()
        self.running: list[nn.Module] = []
        self.calls: Counter[str] = Counter()

    def run(
        self,
        batch: Batch,
        forward: Callable[[nn.Module, Batch], Any],
        keep: Callable[[str, Any, bool, bool], None],
    ) -> None:
        """Run the model on a batch, and call `keep(name, output, rectified, chosen)`.

        What is chosen is named by a pattern, the rest is what "auto" finds.
        """
        self.keep = keep
        self.calls.clear()
        self.running.clear()
        self.last_activation: tuple[Any, bool] = (None, False)
        with ExitStack() as hooks:
            for module in self.names:
                hooks.callback(module.register_forward_pre_hook(self._enter).remove)
                hooks.callback(module.register_forward_hook(self._leave).remove)
            hooks.enter_context(_Functions(self))
            forward(self.model, batch)
        del self.last_activation

    def caller(self) -> nn.Module:
        """Return the module that has called what is heard of, the innermost but activations."""
        return next((m for m in reversed(self.running) if not _is_activation(m)), self.model)

    def refuse_unmatched(self) -> None:
        """Raise if a pattern matched nothing that was called."""
        names = sorted({*self.heard, *filter(None, self.names.values())})
        for pattern in self.patterns:
            if pattern == "auto" or any(_matches(name, pattern) for name in self.heard):
                continue
            close = get_close_matches(pattern, names, n=5, cutoff=0.3) or names[:5]
            fault = "is never called" if pattern in names else "matches nothing"
            raise ValueError(f"layer {pattern!r} {fault}; near it are {', '.join(close)}")

    def hear_function(self, name: str, output: Any, rectified: bool) -> None:
        if not any(_is_activation(module) for module in self.running):
            caller = self.names[self.running[-1]] if self.running else ""
            self._hear(f"{caller}.{name}" if caller else name, output, True, rectified)

    def _enter(self, module: nn.Module, _: Any) -> None:
        self.running.append(module)

    def _leave(self, module: nn.Module, _: Any, output: Any) -> None:
        # Modules that raised, and whose exception the model caught, were never left.
        while self.running.pop() is not module:
            pass
        name = self.names[module]
        if _is_stage(module):
            # Often the output of the stage's last rectifier, of which it says nothing new.
            activation, rectified = self.last_activation
            same = output is activation
            self._hear(name, output, not same, same and rectified)
        elif name:
            self._hear(name, output, _is_activation(module), _rectifies(module))

    def _hear(self, name: str, output: Any, automatic: bool, rectified: bool) -> None:
        self.calls[name] += 1
        if self.calls[name] > 1:
            name = f"{name}:{self.calls[name]}"
        self.heard.add(name)
        if automatic:
            self.last_activation = (output, rectified)
        chosen = any(_matches(name, pattern) for pattern in self.patterns)
        if chosen or (automatic and "auto" in self.patterns):
            self.keep(name, output, rectified, chosen)


class _Functions(TorchFunctionMode):
    """Tells a recorder of activations that are called as functions."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        rectifies = func in _RECTIFIERS or (
            func in _CLAMPS and _clamps_at_zero(*args, **(kwargs or {}))
        )
        if rectifies or func in _SMOOTH:
            self.recorder.hear_function(func.__name__.rstrip("_"), output, rectifies)
        return output


@dataclass(frozen=True)
class _Sample:
    """Turns a layer's output for a batch into rows and units, of which it draws some."""

    units: Units
    max_units: int | None
    max_rows: int | None
    seed: int
    inputs: int

    def shaped(self, output: Tensor) -> Tensor:
        """Return the output as (rows, …units)."""
        if self.units == "position" or output.ndim < 3:
            return output if output.ndim > 1 else output[:, None]
        channels = -1 if output.ndim == 3 else 1
        return output.movedim(channels, -1).flatten(0, -2)

    def __call__(self, name: str, shaped: Tensor, batch: int, inputs: int) -> Tensor:
        unit_seed = [self.seed, zlib.crc32(name.encode())]
        units = _drawn(shaped[0].numel(), self.max_units, unit_seed)
        if units is None:
            features = shaped.flatten(1)
        else:
            # Indexing spares a copy of what isn't needed.
            index: Any = torch.unravel_index(torch.from_numpy(units), shaped.shape[1:])
            features = shaped[:, *index]
        if self.units == "channel" and self.max_rows is not None:
            share = max(1, self.max_rows * inputs // self.inputs)
            rows = _drawn(len(features), share, [self.seed, batch])
            if rows is not None:
                features = features[torch.from_numpy(rows)]
        # What is in place now may be overwritten by the rest of the pass.
        return features.clone()


def _drawn(total: int, count: int | None, seed: list[int]) -> np.ndarray | None:
    if count is None or count >= total:
        return None
    return np.sort(np.random.default_rng(seed).choice(total, size=count, replace=False))


def _is_activation(module: nn.Module) -> bool:
    name = type(module).__name__.lower()
    return not any(True for _ in module.children()) and any(a in name for a in _ACTIVATIONS)


def _rectifies(module: nn.Module) -> bool:
    name = type(module).__name__.lower()
    return _is_activation(module) and "relu" in name and name not in ("leakyrelu", "prelu", "rrelu")


def _is_stage(module: nn.Module) -> bool:
    kinds = {type(child) for child in module.children()}
    return (
        isinstance(module, nn.Sequential)
        and len(kinds) == 1
        and not kinds.pop().__module__.startswith("torch.nn.")
    )


def _clamps_at_zero(
    _: Any,
    min: Any = None,
    max: Any = None,
    **__: Any,
) -> bool:
    return max is None and not isinstance(min, Tensor) and min == 0


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _sorted_out(layers: Layers) -> tuple[list[str], dict[str, FeatureFunction]]:
    listed = [layers] if isinstance(layers, str) or callable(layers) else list(layers)
    for layer in listed:
        if not (isinstance(layer, str) or callable(layer)):
            raise TypeError(f"layers must be names, patterns or functions, got {layer!r}")
    if not listed:
        raise ValueError("layers must name at least one layer, got none")
    functions = [layer for layer in listed if not isinstance(layer, str)]
    named = {getattr(function, "__name__", repr(function)): function for function in functions}
    if len(named) < len(functions):
        raise ValueError("functions among the layers must have names of their own")
    return [layer for layer in listed if isinstance(layer, str)], named


def _tensor(name: str, output: Any) -> Tensor:
    """Return the first floating-point tensor of an output."""
    for value in flattened(output):
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.detach()
    kind = output.dtype if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(f"layer {name!r} must give a floating-point tensor, got {kind}")


def _refuse_other_rows(name: str, tensor: Tensor, inputs: int, units: Units) -> None:
    if tensor.ndim == 0 or len(tensor) != inputs:
        channels = tensor.ndim > 1 and units == "position"
        raise ValueError(
            f"layer {name!r} must have one row for each of the {inputs} inputs, got shape "
            f"{tuple(tensor.shape)}: "
            + ("count channels, with units='channel', or give " if channels else "give ")
            + "a function of the model as the layer instead"
        )


def _refuse_mixed_units(name: str, tensor: Tensor, inputs: int, caller: nn.Module) -> None:
    """Raise if a column may be one unit in one row and another in the next."""
    banks = [p for p in caller.parameters(recurse=False) if p.ndim == 3 and len(p) > 1]
    tokens = len(tensor) % inputs == 0 or (tensor.ndim == 3 and tensor.shape[1] == inputs)
    if banks or (":" in name and not tokens):
        raise ValueError(
            f"layer {name!r} of shape {tuple(tensor.shape)} holds units of several experts in one "
            "column: give a function of the model as the layer, which tells them apart"
        )


def _report(passed_over: Mapping[str, ValueError]) -> None:
    """Warn of what "auto" has passed over, unless it is none of the features."""
    names = [name for name, error in passed_over.items() if "must give" not in str(error)]
    names = [name for name in names if "got shape ()" not in str(passed_over[name])]
    if names:
        warnings.warn(
            f"layers='auto' passed over {', '.join(names[:5])}"
            + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            + f": {passed_over[names[0]]}",
            RuntimeWarning,
            stacklevel=3,
        )


def _without_padding(name: str, output: Tensor, rows: Tensor, batch: Batch) -> Tensor:
    """Leave out the rows of tokens that the batch's attention mask masks.

    Of an encoder and a decoder, each has its own mask.
    """
    if not isinstance(batch, Mapping):
        return rows
    key = "decoder_attention_mask" if "decoder" in name and _has_two(batch) else "attention_mask"
    mask = batch.get(key)
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        return rows
    mask = mask.to(rows.device) != 0
    leading = tuple(output.shape[:2]) if output.ndim == 3 else (len(output),)
    if leading == tuple(mask.shape) or leading == (mask.numel(),):
        return rows[mask.flatten()]
    if leading == tuple(mask.T.shape):
        return rows[mask.T.flatten()]
    return rows


def _has_two(batch: Mapping[str, Any]) -> bool:
    """Return whether the batch is one for an encoder and a decoder."""
    return any(key.startswith("decoder_") or key == "labels" for key in batch)


def forward_by_default(model: nn.Module, batch: Batch) -> Any:
    """Run a model on a batch, whatever kind it is, in the model's floating-point precision.

    An encoder–decoder of Hugging Face that is given nothing for its decoder starts it as generation
    does: with one token, the same for every input.

    Raises
    ------
    TypeError
        If the model does not take images as bytes.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    batch = mapped(batch, lambda x: x.to(dtype) if x.is_floating_point() else x)
    named: Mapping[str, Any] = batch if isinstance(batch, Mapping) else {}
    inputs = () if named else (batch if isinstance(batch, Tensor) else batch[0],)
    try:
        return model(*inputs, **{**_start(model, batch), **named})
    except RuntimeError as error:
        first = next(flattened(batch), None)
        if not isinstance(first, Tensor) or first.dtype != torch.uint8:
            raise
        raise TypeError(
            "the model does not take its inputs as uint8: give them as in training, such as "
            f"normalised images as floating-point numbers ({error})"
        ) from error


def _start(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return what starts the decoder of an encoder–decoder, if the batch does not."""
    config = getattr(model, "config", None)
    given = set(batch) if isinstance(batch, Mapping) else set()
    if not getattr(config, "is_encoder_decoder", False) or given & {
        *("decoder_input_ids", "decoder_inputs_embeds", "labels")
    }:
        return {}
    token = getattr(config, "decoder_start_token_id", None)
    if token is None:
        return {}
    ids = torch.full((count_inputs(batch), 1), token, device=device_of(model))
    return {"decoder_input_ids": ids}
