"""Channels that nothing needs, sliced out of every module of a graph."""

import keyword
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from largestep.deep.compaction.graph import Kind, axis, carriers, channels, kind, module_of, needs
from largestep.deep.compaction.tracing import operation

__all__ = ["sliced"]

_GATHER = 0.75
"""Copying the channels that are needed pays when they are at most this share of those there are.

Measured on one CPU core, for convolutions of 64 to 512 channels: the copy costs about a tenth of
the convolution, and a width that is no multiple of 8 another tenth or more."""


def sliced(graph: fx.GraphModule) -> tuple[fx.GraphModule, dict[str, np.ndarray]]:
    """Take the channels that nothing needs out of a graph and its modules.

    An operation is needed where its output is: from the output backwards, a convolution needs the
    input channels whose weights to its needed outputs are not all zero, a sum the same channels
    of all its terms, and so on (`graph.needs`). What is left of each tensor is what any of its
    readers needs; a reader that needs few of them gets a copy of those alone. Every tensor keeps
    one channel at least.

    Parameters
    ----------
    graph : from `graph.trace`, not used elsewhere: it is changed and of no use afterwards.

    Returns
    -------
    The narrower graph, its modules' names without dots; and by the name of each reader whether it
    still gets each input channel.
    """
    nodes = list(graph.graph.nodes)
    needed = _needed(nodes)
    carried: dict[fx.Node, np.ndarray] = {}
    received: dict[str, np.ndarray] = {}
    for node in nodes:
        wanted = np.flatnonzero(needed[node])
        sources = [source for source in node.all_input_nodes if channels(source)]
        match kind(node):
            case Kind.READER:
                (_, inputs), *_ = needs(node, needed[node])
                columns = _fetch(node, sources[0], np.flatnonzero(inputs), carried)
                _slice_reader(module_of(node), wanted, columns)
                received[node.name] = np.isin(np.arange(channels(sources[0])), columns)
                carried[node] = wanted
            case Kind.CHANNELWISE:
                (source,) = carriers(node)
                carried[node] = _fetch(node, source, wanted, carried)
                if node.op == "call_module":
                    _slice_rows(module_of(node), carried[node])
                else:
                    _say_width(node, len(carried[node]))
            case Kind.DEPTHWISE:
                (source, inputs), *_ = needs(node, needed[node])
                columns = _fetch(node, source, np.flatnonzero(inputs), carried)
                carried[node] = _blocks(columns, channels(node) // channels(source))
                _slice_rows(module_of(node), carried[node])
                module_of(node).in_channels = module_of(node).groups = len(columns)
            case Kind.GROUP_NORM:
                (source, inputs), *_ = needs(node, needed[node])
                carried[node] = _fetch(node, source, np.flatnonzero(inputs), carried, always=True)
                module = module_of(node)
                module.num_groups = len(carried[node]) * module.num_groups // channels(node)
                _slice_rows(module, carried[node])
            case Kind.FLATTEN:
                (source, inputs), *_ = needs(node, needed[node])
                columns = _fetch(node, source, np.flatnonzero(inputs), carried)
                carried[node] = _blocks(columns, channels(node) // channels(source))
            case Kind.JOIN:
                sources = carriers(node)
                alike = all(np.array_equal(carried[s], carried[sources[0]]) for s in sources)
                target = carried[sources[0]] if alike else wanted
                for source in sources:
                    carried[node] = _fetch(node, source, target, carried, always=True)
            case Kind.CONCATENATION:
                widths = [channels(part) for part in node.args[0]]
                offsets = np.cumsum([0, *widths[:-1]])
                parts = zip(offsets, node.args[0], strict=True)
                carried[node] = np.concatenate([offset + carried[part] for offset, part in parts])
            case _:
                carried[node] = np.arange(channels(node))
    graph.graph.eliminate_dead_code()
    _flatten_names(graph)
    graph.graph.lint()
    graph.recompile()
    return graph, received


def _needed(nodes: list[fx.Node]) -> dict[fx.Node, np.ndarray]:
    """Return which channels of each operation's output are needed."""
    needed = {node: np.zeros(channels(node), dtype=bool) for node in nodes}
    for node in reversed(nodes):
        if needed[node].size:
            # Modules without channels do not exist; what is not needed is worth one.
            needed[node][0] |= not needed[node].any()
        for source, channel in needs(node, needed[node]):
            needed[source] |= channel
    return needed


def _fetch(
    node: fx.Node,
    source: fx.Node,
    wanted: np.ndarray,
    carried: dict[fx.Node, np.ndarray],
    *,
    always: bool = False,
) -> np.ndarray:
    """Return the channels of the source that the node gets: all there are, or a copy of some."""
    there = carried[source]
    if len(wanted) == 0:
        wanted = there[:1]
    if np.array_equal(wanted, there) or (not always and len(wanted) > _GATHER * len(there)):
        return there
    owner: Any = node.graph.owning_module
    name = f"{node.name}_channels_of_{source.name}"
    index = torch.from_numpy(np.searchsorted(there, wanted))
    owner.register_buffer(name, index.to(next(owner.parameters()).device))
    with node.graph.inserting_before(node):
        chosen = node.graph.get_attr(name)
        copy = node.graph.call_function(torch.index_select, (source, axis(source), chosen))
    node.replace_input_with(source, copy)
    return wanted


def _say_width(node: Any, width: int) -> None:
    """Tell a function that is told its output's shape the new number of channels."""
    if operation(node) not in ("view", "reshape", "_unsafe_view"):
        return
    sizes = list(node.args[1] if isinstance(node.args[1], list | tuple) else node.args[1:])
    if sizes[axis(node)] != -1:
        sizes[axis(node)] = width
        listed = isinstance(node.args[1], list | tuple)
        node.args = (node.args[0], sizes) if listed else (node.args[0], *sizes)


def _slice_reader(module: Any, rows: np.ndarray, columns: np.ndarray) -> None:
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        _set(module, "weight", module.weight[columns][:, rows])
        if module.bias is not None:
            _set(module, "bias", module.bias[rows])
        module.in_channels, module.out_channels = len(columns), len(rows)
        return
    _set(module, "weight", module.weight[:, columns])
    if isinstance(module, nn.Linear):
        module.in_features = len(columns)
    else:
        module.in_channels = len(columns)
    _slice_rows(module, rows)


def _slice_rows(module: Any, rows: np.ndarray) -> None:
    """Keep some output channels of a module: rows of all its parameters and statistics."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        if getattr(module, name, None) is not None:
            _set(module, name, getattr(module, name)[rows])
    for name in ("out_channels", "out_features", "num_features", "num_channels"):
        if hasattr(module, name):
            setattr(module, name, len(rows))


def _set(module: nn.Module, name: str, value: torch.Tensor) -> None:
    before = getattr(module, name)
    value = _in_format_of(before, value.detach())
    if isinstance(before, nn.Parameter):
        value = nn.Parameter(value, requires_grad=before.requires_grad)
    setattr(module, name, value)


def _in_format_of(before: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return a copy of the value in the memory format of what it replaces.

    Told by its strides: of one channel or one position a weight is contiguous in both formats, but
    the convolution computes in the one that the strides are of.
    """
    memory_format = torch.contiguous_format
    if before.ndim == 4:
        last = torch.empty(before.shape, device="meta", memory_format=torch.channels_last)
        if before.stride() == last.stride():
            memory_format = torch.channels_last
    return torch.empty_like(value, memory_format=memory_format).copy_(value)


def _blocks(columns: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of the blocks of so many that each of the channels becomes."""
    return (columns[:, np.newaxis] * size + np.arange(size)).ravel()


def _flatten_names(graph: fx.GraphModule) -> None:
    """Give every module a name of its own in the graph, so that its code reads on one level."""
    renamed: dict[str, str] = {}
    for node in graph.graph.nodes:
        if node.op in ("call_module", "get_attr"):
            if node.target not in renamed:
                renamed[node.target] = _identifier(node.target, set(renamed.values()))
            node.target = renamed[node.target]
    values = {}
    for before, after in renamed.items():
        *path, last = before.split(".")
        values[after] = getattr(graph.get_submodule(".".join(path)), last)
    for name in [*graph._modules, *graph._parameters, *graph._buffers]:
        delattr(graph, name)
    for name, value in values.items():
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
            graph.register_buffer(name, value)
        else:
            setattr(graph, name, value)


def _identifier(path: str, taken: set[str]) -> str:
    name = path.replace(".", "_")
    if not name.isidentifier() or keyword.iskeyword(name):
        name = f"layer_{name}"
    while name in taken:
        name += "_"
    return name
