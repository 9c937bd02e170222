"""A traced model, and what each of its operations does to channels.

A tensor's channels lie along one of its dimensions: of what a convolution makes that is the second,
of what a linear layer makes the last. Every operation is one of a few kinds, and its kind says
which channels of its inputs it needs for given channels of its output. An operation of no known
kind needs all channels and gives all: models hold what they may, and compact around it.
"""

import operator
from collections import Counter
from enum import Enum, auto
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from largestep.deep.compaction.tracing import Arguments, operation, traced

__all__ = [
    "Kind",
    "axis",
    "carriers",
    "channels",
    "columns",
    "kind",
    "module_of",
    "needs",
    "set_columns",
    "takes_constants",
    "trace",
]


class Kind(Enum):
    """What an operation does to channels."""

    READER = auto()
    """Convolution, transposed or not, or linear layer: combines all input channels linearly."""
    DEPTHWISE = auto()
    """Convolution that makes each group of output channels from one input channel."""
    CHANNELWISE = auto()
    """Non-linearity, pooling, batch norm, permutation: each channel from its own."""
    GROUP_NORM = auto()
    """Each channel from all of its group."""
    JOIN = auto()
    """Sum or product of tensors, channel by channel; what has no channels goes to all."""
    CONCATENATION = auto()
    """Channels of one tensor after those of another."""
    FLATTEN = auto()
    """Positions become channels: each channel a block of them."""
    SHAPE = auto()
    """Tells how many inputs there are: needs no channel."""
    INPUT = auto()
    """The model's input."""
    OTHER = auto()
    """Anything else, the output included: needs all channels, gives all."""


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMALIZATIONS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
_ELEMENTWISE_MODULES = (
    *(nn.Identity, nn.Dropout, nn.AlphaDropout),
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Softplus),
)
# These act on each channel alone if the channels are the second dimension.
_POOLING_MODULES = (
    *(nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
)
# Functions and methods of these names act on each entry alone, whatever their settings.
_ELEMENTWISE = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardtanh"),
    *("hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "dropout", "contiguous", "clone"),
    *("celu", "exp", "log", "sqrt", "rsqrt", "neg", "abs", "square", "erf", "sin", "cos", "pow"),
    *("reciprocal", "clamp", "clamp_min", "clamp_max", "detach", "alias", "to", "_to_copy"),
    *("float", "feature_dropout", "hardtanh_", "silu_", "softsign", "log1p", "expm1"),
}
_POOLING = {
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "interpolate"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d"),
    *("upsample_trilinear3d", "upsample_bicubic2d"),
}
_JOINS = {
    *("add", "add_", "iadd", "sub", "sub_", "isub", "mul", "mul_", "imul", "div", "truediv"),
    *("maximum", "minimum"),
}
_RESHAPES = {"view", "reshape", "flatten", "unsqueeze", "squeeze", "_unsafe_view", "unflatten"}
_PERMUTATIONS = {"permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "t"}
_REDUCTIONS = {"mean", "sum", "amax", "amin"}
_SHAPES = {"size", "sym_size", "new_ones", "new_zeros", "new_full", "new_empty"}


def trace(model: nn.Module, example: Arguments) -> fx.GraphModule:
    """Return the model as a graph whose nodes know their shapes and kinds.

    The graph runs the model's own modules, and may change them: give a copy.

    Parameters
    ----------
    model : to be traced by `torch.fx`, or else by `torch.export`.
    example : a batch of inputs of the shape that the model takes.

    Raises
    ------
    ValueError
        If the model can't be traced (the error names the line), or does not take the example.
    """
    graph = traced(model, example)
    with torch.no_grad():
        _Shapes(graph).run(*example.flat(graph), enable_io_processing=False)
    for node in list(graph.graph.nodes):
        if _flattens(node):
            with graph.graph.inserting_before(node):
                flat = graph.graph.call_function(torch.flatten, (node.args[0], 1))
            flat.meta["shape"] = node.meta["shape"]
            node.replace_all_uses_with(flat)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    for node in graph.graph.nodes:
        node.meta["axis"] = None
        node.meta["kind"] = Kind.OTHER
        node.meta["kind"], carrying = _understood(node)
        # By their names, which copies of the graph keep.
        node.meta["carriers"] = {source.name for source in carrying}
    for node in graph.graph.nodes:
        if node.meta["axis"] is None and len(_shape(node) or ()) > 1:
            node.meta["axis"] = 1
    graph.recompile()
    return graph


def kind(node: fx.Node) -> Kind:
    """Return what an operation of a traced graph does to channels."""
    return node.meta["kind"]


def axis(node: fx.Node) -> int:
    """Return the dimension along which the channels of an operation's output lie."""
    return node.meta["axis"]


def carriers(node: fx.Node) -> list[fx.Node]:
    """Return the inputs whose channels are those of the output, one by one."""
    return [source for source in node.all_input_nodes if source.name in node.meta["carriers"]]


def needs(node: fx.Node, given: np.ndarray) -> list[tuple[fx.Node, np.ndarray]]:
    """Return which channels of its inputs an operation needs for some channels of its output.

    Parameters
    ----------
    node : the operation.
    given : (channels,) whether each channel of the output is needed.
    """
    sources = [source for source in node.all_input_nodes if channels(source)]
    match kind(node):
        case Kind.INPUT | Kind.SHAPE:
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
            carrying = carriers(node)
            return [(s, given if s in carrying else _all(s)) for s in sources]
        case Kind.CONCATENATION:
            parts: Any = node.args[0]
            ends = np.cumsum([channels(part) for part in parts])[:-1]
            return list(zip(parts, np.split(given, ends), strict=True))
    return [(source, _all(source)) for source in sources]


def channels(node: fx.Node) -> int:
    """Return the number of channels of an operation's output, 0 if it has none."""
    at = node.meta.get("axis")
    return 0 if at is None else _shape(node)[at]


def module_of(node: Any) -> Any:
    """Return the module that the node calls."""
    return node.graph.owning_module.get_submodule(node.target)


def columns(node: fx.Node) -> Tensor:
    """Return a reader's weights as (outputs, input channels, weights for each)."""
    module = module_of(node)
    weight = module.weight.detach()
    if isinstance(module, _TRANSPOSED):
        weight = weight.transpose(0, 1)
    return weight.reshape(len(weight), channels(node.all_input_nodes[0]), -1)


def set_columns(node: fx.Node, values: Tensor) -> None:
    """Give a reader weights in place, as `columns` returns them."""
    weight = module_of(node).weight
    if isinstance(module_of(node), _TRANSPOSED):
        weight = weight.transpose(0, 1)
    weight.copy_(values.reshape(weight.shape))


def takes_constants(node: fx.Node) -> bool:
    """Return whether a constant input channel adds the same to an output at all positions.

    A convolution that pads with zeros sees a border around the constant; a transposed one with a
    stride adds different weights at neighbouring positions.
    """
    module = module_of(node)
    if isinstance(module, nn.Linear):
        return True
    if isinstance(module, _TRANSPOSED):
        return {1} == {*module.kernel_size, *module.stride} and {*module.output_padding} == {0}
    if module.padding_mode != "zeros":
        return True
    if isinstance(module.padding, str):
        return module.padding == "valid" or set(module.kernel_size) == {1}
    return set(module.padding) == {0}


class _Shapes(fx.Interpreter):
    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        node.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else None
        return value


def _all(node: fx.Node) -> np.ndarray:
    return np.ones(channels(node), dtype=bool)


def _understood(node: Any) -> tuple[Kind, list[fx.Node]]:
    """Return a node's kind, and which of its inputs carry its channels; settle where these lie."""
    other: tuple[Kind, list[fx.Node]] = (Kind.OTHER, [])
    if node.op == "placeholder":
        return Kind.INPUT, []
    if node.op not in ("call_module", "call_function", "call_method"):
        return other
    sources = [source for source in node.all_input_nodes if _shape(source) is not None]
    name = operation(node)
    if sources and node.op != "call_module" and _asks_for_the_number_of_inputs(node, name):
        return Kind.SHAPE, []
    if not sources or not _shape(node) or len(_shape(node)) < 2:
        return other
    if node.op == "call_module":
        found = _kind_of_module(node, sources[0])
        return (found, sources[:1]) if found is not Kind.OTHER else other
    if not (
        node.op == "call_method"
        or isinstance(node.target, torch._ops.OpOverload)
        or (node.target.__module__ or "torch").startswith(("torch", "_operator"))
    ):
        return other
    if node.target is torch.flatten and node.args[1:] == (1,):
        return (Kind.FLATTEN, sources) if _settle(node, sources[0], 1, 1) else other
    if name in ("cat", "concat"):
        return _kind_of_concatenation(node)
    if name in _JOINS and len(sources) > 1:
        return _kind_of_join(node)
    if len(node.all_input_nodes) > 1 and name not in _RESHAPES and name != "expand":
        return other
    source = sources[0]
    if name in _POOLING:
        return (Kind.CHANNELWISE, [source]) if _settle(node, source, 1, 1) else other
    at = source.meta["axis"]
    if at is None and name in _REDUCTIONS:
        # Of tokens the last dimension holds the channels, of images the second.
        likely = 1 if len(_shape(source)) > 3 else len(_shape(source)) - 1
        at = likely if _reduced(node, source, likely) else None
    if at is None:
        return other
    moved = _moved(node, source, name, at)
    if moved is None or _shape(node)[moved] != _shape(source)[at]:
        return other
    return (Kind.CHANNELWISE, [source]) if _settle(node, source, at, moved) else other


def _settle(node: Any, source: Any, at: int, result: int) -> bool:
    """Say where channels lie in a source and in the result; False if they lie elsewhere."""
    if source.meta["axis"] is None:
        source.meta["axis"] = at
    if source.meta["axis"] != at:
        return False
    node.meta["axis"] = result
    return True


def _kind_of_module(node: Any, source: Any) -> Kind:
    module, rank = module_of(node), len(_shape(source))
    if type(module) in _ELEMENTWISE_MODULES:
        at = source.meta["axis"]
        return _if(at is not None and _settle(node, source, at, at), Kind.CHANNELWISE)
    if type(module) in _POOLING_MODULES:
        return _if(_settle(node, source, 1, 1), Kind.CHANNELWISE)
    if type(module) is nn.Flatten:
        whole = (module.start_dim, module.end_dim) == (1, -1)
        return _if(whole and _settle(node, source, 1, 1), Kind.FLATTEN)
    if _shared(node):
        return Kind.OTHER
    if type(module) in _NORMALIZATIONS:
        return _if(_settle(node, source, 1, 1), Kind.CHANNELWISE)
    if type(module) is nn.GroupNorm:
        return _if(_settle(node, source, 1, 1), Kind.GROUP_NORM)
    if type(module) is nn.Linear:
        return _if(_settle(node, source, rank - 1, rank - 1), Kind.READER)
    if type(module) in (*_CONVOLUTIONS, *_TRANSPOSED) and rank == len(module.kernel_size) + 2:
        if module.groups == 1:
            return _if(_settle(node, source, 1, 1), Kind.READER)
        if module.groups == module.in_channels and type(module) in _CONVOLUTIONS:
            return _if(_settle(node, source, 1, 1), Kind.DEPTHWISE)
    return Kind.OTHER


def _if(condition: bool, kind: Kind) -> Kind:
    return kind if condition else Kind.OTHER


def _kind_of_join(node: Any) -> tuple[Kind, list[fx.Node]]:
    """Operands are aligned at their last dimensions; where one is 1 long it goes to all."""
    other: tuple[Kind, list[fx.Node]] = (Kind.OTHER, [])
    if any(isinstance(value, fx.Node) for value in node.kwargs.values()):
        return other
    operands = [arg for arg in node.args if isinstance(arg, fx.Node)]
    if any(_shape(operand) is None for operand in operands):
        return other
    rank = len(_shape(node))
    lacking = {operand: rank - len(_shape(operand)) for operand in operands}
    known = [o.meta["axis"] + lacking[o] for o in operands if o.meta["axis"] is not None]
    wide = [at for at in known if 0 < at < rank]
    if not wide:
        return other
    at, carriers = wide[0], []
    for operand in operands:
        own = at - lacking[operand]
        if own < 0 or _shape(operand)[own] == 1 != _shape(node)[at]:
            continue
        if not _settle(node, operand, own, at):
            return other
        carriers.append(operand)
    return (Kind.JOIN, carriers) if carriers else other


def _kind_of_concatenation(node: Any) -> tuple[Kind, list[fx.Node]]:
    parts = node.args[0] if node.args else None
    if not isinstance(parts, list | tuple) or not all(isinstance(part, fx.Node) for part in parts):
        return Kind.OTHER, []
    if any(_shape(part) is None for part in parts):
        return Kind.OTHER, []
    rank = len(_shape(node))
    along = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % rank
    known = [part.meta["axis"] for part in parts if part.meta["axis"] is not None]
    at = known[0] if known else along
    if at == 0 or not all(_settle(node, part, at, at) for part in parts):
        return Kind.OTHER, []
    # Along another dimension, such as tokens before others, the same channels go on.
    return (Kind.CONCATENATION if at == along else Kind.JOIN), list(parts)


def _moved(node: Any, source: Any, name: str, at: int) -> int | None:
    """Return where an operation leaves the channels that its source has at a dimension."""
    before, after, rank = _shape(source), _shape(node), len(_shape(source))
    arguments = [*node.args[1:]]
    if name in _ELEMENTWISE or name in _JOINS:
        return at if before == after else None
    if name in _RESHAPES:
        # Row by row nothing moves if as many entries lie before and behind.
        for result, size in enumerate(after):
            if size == before[at] and prod(after[:result]) == prod(before[:at]):
                return result
        return None
    if name in _PERMUTATIONS:
        marked = torch.empty([7 if k == at else 1 for k in range(rank)], device="meta")
        moved = getattr(marked, name)(*arguments, **node.kwargs)
        return [*moved.shape].index(7)
    if name in _REDUCTIONS:
        return _reduced(node, source, at)
    if name == "expand":
        return at + len(after) - len(before)
    if name in ("slice", "select", "narrow"):
        along = int(node.kwargs.get("dim", arguments[0] if arguments else 0)) % rank
        return None if along == at else at - (name == "select" and along < at)
    if name == "getitem":
        return _indexed(arguments[0], at, rank)
    return None


def _reduced(node: Any, source: Any, at: int) -> int | None:
    """Return where channels are after a reduction over other dimensions; None if over them."""
    rank = len(_shape(source))
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    over = [over] if isinstance(over, int) else over
    if over is None or not all(isinstance(dimension, int) for dimension in over):
        return None
    over = {dimension % rank for dimension in over}
    if at in over:
        return None
    return at if len(_shape(node)) == rank else at - sum(dimension < at for dimension in over)


def _indexed(index: Any, at: int, rank: int) -> int | None:
    """Return where channels are after x[index]; None if the index touches them."""
    index = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(part, int | slice) for part in index) or len(index) > rank:
        return None
    if at < len(index) and index[at] != slice(None):
        return None
    return at - sum(isinstance(part, int) for part in index[:at])


def _asks_for_the_number_of_inputs(node: Any, name: str) -> bool:
    """Return whether only the first dimension, or no dimension, matters to an operation."""
    if name in ("size", "sym_size"):
        return len(node.args) > 1 and node.args[1] == 0
    if name == "getattr" and node.args[1] in ("device", "dtype"):
        return True
    if name == "getattr" and node.args[1] == "shape":
        return all(operation(user) == "getitem" and user.args[1] == 0 for user in node.users)
    return name in _SHAPES


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
    if operation(node) not in ("view", "reshape", "flatten", "_unsafe_view"):
        return False
    if not node.args or not isinstance(node.args[0], fx.Node):
        return False
    before, after = _shape(node.args[0]), _shape(node)
    if not before or not after or len(before) < 2:
        return False
    return after == (before[0], prod(before[1:])) and len(before) != 2
