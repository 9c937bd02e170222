"""The units of a model's layers: who reads them, what is redundant, and reading without it."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from largestep.deep.compaction.graph import (
    Kind,
    axis,
    carriers,
    columns,
    kind,
    module_of,
    set_columns,
    takes_constants,
)
from largestep.deep.compaction.tracing import Arguments, operation
from largestep.metrics.redundancy import Moments, Redundancy, redundancy

__all__ = [
    "PASSING",
    "Layer",
    "find_layers",
    "find_redundancy",
    "importance",
    "largest_errors",
    "rewired",
]

_PASSING_MODULES = (
    *(nn.Identity, nn.Dropout, nn.Dropout2d),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
"""Modules that pass units on, so that these are named after what made them."""
PASSING = {
    *("view", "reshape", "flatten", "permute", "transpose", "clone", "contiguous", "dropout"),
    *("slice", "select", "getitem", "expand", "mean", "_unsafe_view", "unsqueeze", "squeeze"),
    *("_to_copy", "to", "alias", "detach", "movedim", "swapaxes"),
}
"""Functions that do."""

_ELEMENTS = 1 << 24
"""The most activations that are looked at at once, in double precision."""


@dataclass(frozen=True)
class Layer:
    """A tensor that convolutions or linear layers read; its channels are the units.

    Attributes
    ----------
    name : of the non-linearity that made the units, or of the operation if there is none.
    node : name of the node whose output the tensor is.
    readers : names of the nodes that read it, perhaps flattened.
    constants : whether all of them can take a constant unit into their biases.
    """

    name: str
    node: str
    readers: tuple[str, ...]
    constants: bool


def find_layers(graph: fx.GraphModule) -> list[Layer]:
    """Return the layers of a traced graph, in the order in which they are computed."""
    readers: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        if kind(node) is Kind.READER:
            source = node.all_input_nodes[0]
            while kind(source) is Kind.FLATTEN:
                source = source.all_input_nodes[0]
            if kind(source) is not Kind.INPUT:
                readers.setdefault(source, []).append(node)
    names = [_name(node) for node in readers]
    return [
        Layer(
            name if names.count(name) == 1 else _own_name(node),
            node.name,
            tuple(reader.name for reader in reading),
            all(takes_constants(reader) for reader in reading),
        )
        for name, (node, reading) in zip(names, readers.items(), strict=True)
    ]


def find_redundancy(
    graph: fx.GraphModule,
    layers: list[Layer],
    batches: Iterable[Arguments],
    correlation_threshold: float,
) -> dict[str, Redundancy]:
    """Return what is redundant in each layer, by the name of its node, held against the data."""
    moments: dict[str, Moments] = {}

    def add(node: str, features: Tensor) -> None:
        new = Moments.of(features)
        moments[node] = moments[node] + new if node in moments else new

    _watch(graph, [layer.node for layer in layers], batches, add)
    found = {
        layer.node: redundancy(
            moments[layer.node],
            constants=layer.constants,
            correlation_threshold=correlation_threshold,
        )
        for layer in layers
    }
    errors = largest_errors(graph, found, batches)
    near = correlation_threshold < 1.0
    return {node: found[node].confirmed(errors[node], near=near) for node in found}


def largest_errors(
    graph: fx.GraphModule, found: Mapping[str, Redundancy], batches: Iterable[Arguments]
) -> dict[str, np.ndarray]:
    """Return the largest error with which each removable unit is replaced, over the batches."""
    errors = {node: np.zeros(len(redundant.reason)) for node, redundant in found.items()}

    def compare(node: str, features: Tensor) -> None:
        removed = found[node].removable
        if removed.any():
            errors[node] = np.maximum(errors[node], found[node].errors(features, removed))

    _watch(graph, list(found), batches, compare)
    return errors


def importance(graph: fx.GraphModule, layer: Layer, sizes: np.ndarray) -> np.ndarray:
    """Return how much deviations of the units, of the given sizes, move what the readers receive.

    The norm of a unit's outgoing weights times its size, the largest of the readers'.
    """
    nodes = {node.name: node for node in graph.graph.nodes}
    norms = [
        _per_unit(nodes[reader], len(sizes)).double().norm(dim=(0, 2)).cpu().numpy()
        for reader in layer.readers
    ]
    return np.max(norms, axis=0) * sizes


def rewired(
    graph: fx.GraphModule,
    layers: list[Layer],
    found: Mapping[str, Redundancy],
    removed: Mapping[str, np.ndarray],
) -> fx.GraphModule:
    """Return a copy whose readers read nothing from the removed units.

    Their weights go to the units that stand in for them, and constants into the biases.
    """
    graph = deepcopy(graph)
    nodes = {node.name: node for node in graph.graph.nodes}
    for layer in layers:
        if not removed[layer.node].any():
            continue
        substitution = found[layer.node].substitution(removed[layer.node])
        for name in layer.readers:
            _substitute(nodes[name], removed[layer.node], *substitution)
    return graph


def _substitute(
    reader: fx.Node, removed: np.ndarray, matrix: np.ndarray, shift: np.ndarray
) -> None:
    module = module_of(reader)
    weights = _per_unit(reader, len(removed))
    shared = removed & matrix.any(axis=1)
    going = weights[:, torch.from_numpy(shared)].double()
    mixing = torch.from_numpy(matrix[shared]).to(weights.device)
    with torch.no_grad():
        if shift.any():
            constants = torch.from_numpy(shift).to(weights.device)
            bias = torch.einsum("our,u->o", weights.double(), constants)
            old = 0.0 if module.bias is None else module.bias
            module.bias = nn.Parameter((old + bias).to(weights.dtype))
        mixed = weights + torch.einsum("our,uk->okr", going, mixing)
        mixed[:, torch.from_numpy(removed)] = 0.0
        set_columns(reader, mixed)


def _per_unit(reader: fx.Node, units: int) -> Tensor:
    """Return a reader's weights as (outputs, units, weights for each), flattened or not."""
    weights = columns(reader)
    return weights.reshape(len(weights), units, -1)


def _name(node: fx.Node) -> str:
    """Return the name of the non-linearity behind pooling, views and the like."""
    behind = node
    while kind(behind) is Kind.CHANNELWISE:
        if behind.op == "call_module":
            passes = isinstance(module_of(behind), _PASSING_MODULES)
        else:
            passes = operation(behind) in PASSING
        if not passes:
            return _label(behind)
        (behind,) = carriers(behind)
    return _label(node)


def _own_name(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _label(node: fx.Node) -> str:
    """Return the name of a node's module in the model, or of the operation."""
    if "name" in node.meta:
        return str(node.meta["name"])
    if node.op == "call_module":
        return str(node.target)
    inside = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    # An exported graph knows in which module a function was called, torch.fx only for modules.
    exported = isinstance(node.target, torch._ops.OpOverload)
    return inside[-1] if exported and inside else node.name


def _watch(
    graph: fx.GraphModule,
    names: list[str],
    batches: Iterable[Arguments],
    see: Callable[[str, Tensor], None],
) -> None:
    """Run the graph and show the named nodes' outputs as (inputs and positions, units)."""
    watching = _Watching(graph, frozenset(names), see)
    with torch.no_grad():
        for batch in batches:
            watching.run(*batch.flat(graph), enable_io_processing=False)


class _Watching(fx.Interpreter):
    def __init__(
        self, graph: fx.GraphModule, names: frozenset[str], see: Callable[[str, Tensor], None]
    ) -> None:
        super().__init__(graph)
        self._names = names
        self._see = see

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if node.name in self._names:
            rows = value.movedim(axis(node), -1)
            for part in rows.split(max(1, _ELEMENTS // rows[0].numel())):
                self._see(node.name, part.flatten(0, -2))
        return value
