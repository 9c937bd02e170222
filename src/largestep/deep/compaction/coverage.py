"""How much of a model is understood well enough to be made smaller, and why the rest is not."""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from largestep.deep.compaction.graph import Kind, columns, kind, module_of, set_columns
from largestep.deep.compaction.slicing import sliced
from largestep.deep.compaction.tracing import operation
from largestep.deep.compaction.units import PASSING, Layer

__all__ = ["Coverage", "coverage"]

_LISTED = 6
"""Reasons that are told, the rarer ones together."""


@dataclass(frozen=True)
class Coverage:
    """What of a model's parameters is understood.

    Attributes
    ----------
    share : of the parameters in modules that would get narrower if all units were redundant.
    passed_over : shares of the others by the reason.
    """

    share: float
    passed_over: dict[str, float]


def coverage(graph: fx.GraphModule, layers: list[Layer]) -> Coverage:
    """Return what would get narrower if every unit whose making is understood were redundant.

    Units that come out of an operation that is not understood, such as attention or a layer norm,
    do not count: their readers could do without them, but what makes them could not.
    """
    emptied = deepcopy(graph)
    nodes = {node.name: node for node in emptied.graph.nodes}
    with torch.no_grad():
        for layer in layers:
            if kind(nodes[layer.node]) is not Kind.OTHER:
                for reader in layer.readers:
                    set_columns(nodes[reader], torch.zeros_like(columns(nodes[reader])))
    before, after = _sizes(graph), _sizes(sliced(emptied)[0])
    reached, reasons = 0, Counter[str]()
    for node in graph.graph.nodes:
        size = before.pop(node.name, 0)
        if size and after.get(node.name, 0) < size:
            reached += size
        elif size:
            reasons[_reason(node)] += size
    total = reached + reasons.total()
    told = reasons.most_common(_LISTED)
    if len(reasons) > len(told):
        told.append(("others", reasons.total() - sum(size for _, size in told)))
    return Coverage(reached / (total or 1), {why: size / total for why, size in told})


def _sizes(graph: fx.GraphModule) -> dict[str, int]:
    """Return the number of parameters by the node that uses them, each counted once."""
    found: dict[str, int] = {}
    counted: set[int] = set()
    for node in graph.graph.nodes:
        own: list[Any] = []
        if node.op == "call_module":
            own = list(module_of(node).parameters())
        elif node.op == "get_attr":
            value: Any = graph
            for part in str(node.target).split("."):
                value = getattr(value, part)
            own = [value] if isinstance(value, torch.nn.Parameter) else []
        new = [parameter for parameter in own if id(parameter) not in counted]
        counted.update(map(id, new))
        found[node.name] = sum(parameter.numel() for parameter in new)
    return found


def _reason(node: Any) -> str:
    """Say why a module could not get narrower."""
    if node.op == "get_attr":
        return "weights of " + " and ".join(sorted({operation(user) for user in node.users}))
    name = type(module_of(node)).__name__
    if kind(node) is Kind.OTHER:
        return f"{name}, which mixes channels, is shared, or is not known"
    into = _not_understood(node, backwards=True)
    out = _not_understood(node, backwards=False)
    return f"{name} between {into} and {out}"


def _not_understood(node: Any, *, backwards: bool) -> str:
    """Return the nearest operation, before or behind a node, at which understanding ends."""
    seen, waiting = {node}, [node]
    while waiting:
        at = waiting.pop(0)
        for other in at.all_input_nodes if backwards else at.users:
            if other in seen or kind(other) is Kind.SHAPE:
                continue
            seen.add(other)
            if other.op == "placeholder":
                return "the input"
            if other.op == "output":
                return "the output"
            ends = kind(other) in (Kind.OTHER, Kind.READER) and other.op != "get_attr"
            if ends and operation(other) not in PASSING:
                known = other.op == "call_module"
                return type(module_of(other)).__name__ if known else operation(other)
            waiting.append(other)
    return "nothing"
