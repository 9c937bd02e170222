"""A model as a graph of operations, and what each does to channels.

A channel is an index along dimension 1. Every operation is one of a few kinds, and its kind says
which channels of its inputs it needs for given channels of its output. An operation of no known
kind needs all channels and gives all: models hold what they may, and compact around it.
"""

import operator
import traceback
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

__all__ = ["Kind", "channels", "columns", "kind", "module_of", "needs", "takes_constants", "trace"]


class Kind(Enum):
    """What an operation does to channels."""

    READER = auto()
    """Convolution or linear layer: a linear combination of all input channels."""
    DEPTHWISE = auto()
    """Convolution that makes each group of output channels from one input channel."""
    CHANNELWISE = auto()
    """Non-linearity, pooling, batch norm: each channel from its own."""
    GROUP_NORM = auto()
    """Each channel from all of its group."""
    JOIN = auto()
    """Sum or product of tensors, channel by channel."""
    CONCATENATION = auto()
    """Channels of one tensor after those of another."""
    FLATTEN = auto()
    """Positions become channels: each channel a block of them."""
    INPUT = auto()
    """The model's input."""
    OTHER = auto()
    """Anything else, the output included: needs all channels, gives all."""


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALIZATIONS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
_CHANNELWISE_MODULES = (
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Softplus),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
)
# Functions and methods of these names act on each channel alone, whatever their settings.
_CHANNELWISE_NAMES = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardtanh"),
    *("hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "dropout", "contiguous"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
}
_JOINS: set[Any] = {
    operator.add,
    operator.iadd,
    operator.sub,
    operator.mul,
    operator.imul,
    torch.add,
}
_JOINS |= {torch.sub, torch.mul, "add", "add_", "sub", "mul", "mul_"}


def trace(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """Return the model as a graph whose nodes know their shapes; views that flatten say so.

    The graph runs the model's own modules: copy it before changing any.

    Parameters
    ----------
    model : to be traced by `torch.fx`.
    example : a batch of inputs of the shape that the model takes.

    Raises
    ------
    ValueError
        If the graph can't be traced (the error names the line), or does not take the example.
    """
    try:
        graph = fx.symbolic_trace(model)
    except Exception as error:  # tracing runs the model's own code on stand-ins: anything may come
        raise ValueError(
            f"{type(model).__name__} cannot be traced at {_culprit(error)}: {error}. Take what "
            "depends on the values of tensors out of forward (if, for, int(), NumPy), or compact "
            "the part of the model that has none"
        ) from error
    if sum(node.op == "placeholder" for node in graph.graph.nodes) != 1:
        raise ValueError("the model must take one tensor, got a forward of several arguments")
    try:
        with torch.no_grad():
            _Shapes(graph).run(example)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"the model does not take inputs of shape {tuple(example.shape)} "
            f"({example.dtype}): {str(error).partition(chr(10))[0]}"  # the rest is torch.fx's
        ) from error
    for node in list(graph.graph.nodes):
        if _flattens(node):
            with graph.graph.inserting_before(node):
                flat = graph.graph.call_function(torch.flatten, (node.args[0], 1))
            flat.meta["shape"] = node.meta["shape"]
            node.replace_all_uses_with(flat)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    for node in graph.graph.nodes:
        node.meta["kind"] = _kind(node)
    graph.recompile()
    return graph


def kind(node: fx.Node) -> Kind:
    """Return what an operation of a traced graph does to channels."""
    return node.meta["kind"]


def needs(node: fx.Node, given: np.ndarray) -> list[tuple[fx.Node, np.ndarray]]:
    """Return which channels of its inputs an operation needs for some channels of its output.

    Parameters
    ----------
    node : the operation.
    given : (channels,) whether each channel of the output is needed.
    """
    sources = [source for source in node.all_input_nodes if channels(source)]
    match kind(node):
        case Kind.INPUT:
            return []
        case Kind.READER:
            read = columns(node)[torch.from_numpy(given)] != 0
            return [(sources[0], read.any(dim=0).any(dim=1).cpu().numpy())]
        case Kind.DEPTHWISE | Kind.FLATTEN:
            blocks = given.reshape(channels(sources[0]), -1)
            return [(sources[0], np.any(blocks, axis=1))]
        case Kind.GROUP_NORM:
            groups = given.reshape(module_of(node).num_groups, -1)
            return [(sources[0], np.repeat(groups.any(axis=1), groups.shape[1]))]
        case Kind.CHANNELWISE | Kind.JOIN:
            return [(source, given) for source in sources]
        case Kind.CONCATENATION:
            parts: Any = node.args[0]
            ends = np.cumsum([channels(part) for part in parts])[:-1]
            return list(zip(parts, np.split(given, ends), strict=True))
    return [(source, np.ones(channels(source), dtype=bool)) for source in sources]


def channels(node: fx.Node) -> int:
    """Return the number of channels of an operation's output, 0 if it has none."""
    shape: tuple[int, ...] = _shape(node) or ()
    return shape[1] if len(shape) > 1 else 0


def module_of(node: Any) -> Any:
    """Return the module that the node calls."""
    return node.graph.owning_module.get_submodule(node.target)


def columns(node: fx.Node) -> Tensor:
    """Return a reader's weights as (outputs, input channels, weights for each)."""
    weight = module_of(node).weight.detach()
    return weight.reshape(len(weight), channels(node.all_input_nodes[0]), -1)


def takes_constants(node: fx.Node) -> bool:
    """Return whether a constant input channel adds the same to an output at all positions.

    A convolution that pads with zeros sees a border around the constant.
    """
    module = module_of(node)
    if isinstance(module, nn.Linear) or module.padding_mode != "zeros":
        return True
    if isinstance(module.padding, str):
        return module.padding == "valid" or set(module.kernel_size) == {1}
    return set(module.padding) == {0}


class _Shapes(fx.Interpreter):
    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        node.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else None
        return value


def _kind(node: Any) -> Kind:
    if node.op == "placeholder":
        return Kind.INPUT
    if node.op not in ("call_module", "call_function", "call_method") or not channels(node):
        return Kind.OTHER
    if not node.all_input_nodes:
        return Kind.OTHER
    if _shape(node.all_input_nodes[0]) is None:
        return Kind.OTHER
    if node.op == "call_module":
        return _kind_of_module(node)
    name = node.target if isinstance(node.target, str) else node.target.__name__
    if node.target is torch.flatten and node.args[1:] == (1,):
        return Kind.FLATTEN
    if node.target in (torch.cat, torch.concat):
        return Kind.CONCATENATION if _along_channels(node) else Kind.OTHER
    if node.target in _JOINS:
        return Kind.JOIN if _alike(node) else Kind.OTHER
    if len(node.all_input_nodes) > 1:
        return Kind.OTHER
    if name == "mean":
        return Kind.CHANNELWISE if _keeps_channels(node) else Kind.OTHER
    known = node.op == "call_method" or node.target.__module__.startswith("torch")
    return Kind.CHANNELWISE if known and name in _CHANNELWISE_NAMES else Kind.OTHER


def _kind_of_module(node: Any) -> Kind:
    module = module_of(node)
    if type(module) in _CHANNELWISE_MODULES:
        return Kind.CHANNELWISE
    if type(module) is nn.Flatten:
        return Kind.FLATTEN if (module.start_dim, module.end_dim) == (1, -1) else Kind.OTHER
    if _shared(node):
        return Kind.OTHER
    if type(module) in _NORMALIZATIONS:
        return Kind.CHANNELWISE
    if type(module) is nn.GroupNorm:
        return Kind.GROUP_NORM
    if type(module) is nn.Linear:
        return Kind.READER if len(_shape(node)) == 2 else Kind.OTHER
    if type(module) in _CONVOLUTIONS:
        if module.groups == 1:
            return Kind.READER
        if module.groups == module.in_channels:
            return Kind.DEPTHWISE
    return Kind.OTHER


def _shared(node: Any) -> bool:
    """Return whether the module's weights are also used elsewhere."""
    owner = node.graph.owning_module
    uses: Counter[int] = Counter()
    for other in owner.graph.nodes:
        if other.op == "call_module":
            uses.update(id(p) for p in owner.get_submodule(other.target).parameters())
        elif other.op == "get_attr":
            uses[id(operator.attrgetter(other.target)(owner))] += 1
    return any(uses[id(parameter)] > 1 for parameter in module_of(node).parameters())


def _shape(node: fx.Node) -> Any:
    """Return the shape of the node's output, None if that is no tensor."""
    return node.meta.get("shape")


def _flattens(node: Any) -> bool:
    """Return whether the node makes (n, c, …) into (n, c·…)."""
    names: Iterable[Any] = ("view", "reshape", "flatten", torch.reshape, torch.flatten)
    if node.target not in names or not isinstance(node.args[0], fx.Node):
        return False
    before, after = _shape(node.args[0]), _shape(node)
    if not before or not after or len(before) < 2:
        return False
    return after == (before[0], int(np.prod(before[1:])))


def _along_channels(node: Any) -> bool:
    dimension = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    tensors = node.args[0] if node.args else None
    if not isinstance(tensors, list | tuple) or not all(isinstance(t, fx.Node) for t in tensors):
        return False
    return dimension % len(_shape(node)) == 1


def _alike(node: Any) -> bool:
    """Return whether the operands are tensors with the same channels, or numbers."""
    if any(isinstance(value, fx.Node) for value in node.kwargs.values()):
        return False
    shapes = [_shape(arg) for arg in node.args if isinstance(arg, fx.Node)]
    result = _shape(node)
    return all(s is not None and len(s) == len(result) and s[1] == result[1] for s in shapes)


def _keeps_channels(node: Any) -> bool:
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    over = [over] if isinstance(over, int) else over
    rank = len(_shape(node.all_input_nodes[0]))
    return over is not None and all(dimension % rank > 1 for dimension in over)


def _culprit(error: BaseException) -> str:
    """Return the line of the user's code from which the error came."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/torch/" not in f.filename and f.filename != __file__]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno} ({frame.line})"
