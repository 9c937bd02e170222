"""A model as a graph of plain PyTorch modules and functions: by `torch.fx`, or by `torch.export`.

What `torch.fx` traces keeps the modules and names of the model. What it cannot trace (branches on
shapes, dictionaries, outputs of several parts: most models of Hugging Face) `torch.export` can: it
gives functions of tensors, of which those that hold weights are made into modules again.
"""

import logging
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import CodeGen
from torch.utils import _pytree as pytree

from largestep.deep.batches import count_inputs, flattened, mapped

__all__ = ["Arguments", "finished", "operation", "tensors", "traced"]

_GUARDS = {"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range"}
_GUARDS |= {"sym_constrain_range_for_size"}
_CONVOLUTIONS = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
_TRANSPOSED = {
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
    "conv_transpose3d": nn.ConvTranspose3d,
}
_BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


@dataclass(frozen=True)
class Arguments:
    """What a model is run on: positional and named arguments of one batch."""

    positional: tuple[Any, ...]
    named: dict[str, Any]

    @classmethod
    def of(cls, batch: Any) -> "Arguments":
        """Return the arguments that a batch stands for: a dictionary names them."""
        return cls((), dict(batch)) if isinstance(batch, Mapping) else cls((batch,), {})

    def __call__(self, model: nn.Module) -> Any:
        """Return what the model gives, or a graph that is worked on."""
        if isinstance(model, fx.GraphModule) and "codegen" in model.meta:
            return model(*self.flat(model))
        return model(*self.positional, **self.named)

    def __len__(self) -> int:
        """Return the number of inputs."""
        return count_inputs([*self.positional, self.named])

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Arguments":
        """Return the same elsewhere, what is floating point in another precision."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, dtype if x.is_floating_point() else None)

        return Arguments(tuple(mapped(self.positional, move)), mapped(self.named, move))

    def repeated(self) -> "Arguments":
        """Return every input twice."""
        n = len(self)

        def twice(x: Tensor) -> Tensor:
            return torch.cat([x, x]) if x.ndim and len(x) == n else x

        return Arguments(tuple(mapped(self.positional, twice)), mapped(self.named, twice))

    def flat(self, graph: fx.GraphModule) -> list[Any]:
        """Return the inputs of the graph's placeholders, in their order."""
        names: Any = graph.meta.get("named arguments", ())
        leaves: list[Any] = pytree.tree_leaves((self.positional, [self.named[k] for k in names]))
        return leaves

    @property
    def first(self) -> Tensor:
        """The first tensor."""
        return next(x for x in flattened([*self.positional, self.named]) if _is_tensor(x))

    @property
    def shapes(self) -> str:
        """The shapes and types of all tensors, for messages."""
        found = [x for x in pytree.tree_leaves((self.positional, self.named)) if _is_tensor(x)]
        return ", ".join(f"{tuple(x.shape)} ({x.dtype})" for x in found)


def tensors(output: Any) -> list[Tensor]:
    """Return the floating-point tensors in what a model gives, in their order."""
    leaves = pytree.tree_leaves(output)
    return [x for x in leaves if _is_tensor(x) and x.is_floating_point()]


def traced(model: nn.Module, example: Arguments) -> fx.GraphModule:
    """Return the model as a graph that runs its own parameters.

    The model is changed: give a copy.

    Raises
    ------
    ValueError
        If the model does not take the example, or neither way can trace it: the error names the
        line.
    """
    try:
        example(model)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"the model does not take inputs of shape {example.shapes}: {_first_line(error)}"
        ) from error
    if not example.named:
        try:
            graph = fx.symbolic_trace(model)
            with torch.no_grad():
                fx.Interpreter(graph).run(*example.positional)
        except Exception as error:  # tracing runs the model's own code on stand-ins
            symbolic: Exception = error
        else:
            return graph
    else:
        symbolic = TypeError("it takes named arguments")
    try:
        return _exported(model, example)
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} cannot be traced at {_culprit(symbolic)}: "
            f"{_first_line(symbolic)}; nor by torch.export: {_first_line(error)}. Take what "
            "depends on the values of tensors out of forward (if, for, int(), NumPy), or compact "
            "the part of the model that has none"
        ) from symbolic


def operation(node: Any) -> str:
    """Return the plain name of what a node calls, whichever way it was traced: "relu"."""
    target: Any = node.target
    if isinstance(target, str):
        return target
    if isinstance(target, torch._ops.OpOverload):
        return str(target._schema.name).partition("::")[2].partition(".")[0]
    return str(getattr(target, "__name__", target))


def _exported(model: nn.Module, example: Arguments) -> fx.GraphModule:
    """Return the graph of `torch.export`, any number of inputs if possible, modules made again."""
    if len(example) == 1:
        # A batch of one would be taken for a constant.
        example = example.repeated()
    n = len(example)

    def dynamic(x: Any) -> Any:
        batched = _is_tensor(x) and x.ndim and len(x) == n
        return {0: torch.export.Dim.AUTO} if batched else None

    shapes = pytree.tree_map(dynamic, (example.positional, example.named))
    # The arguments are asked for by name, or one after another.
    shapes = shapes[1] if example.named else shapes[0]
    for module in model.modules():
        # What a decoder of Hugging Face would keep for the next token is no tensor.
        settings: Any = getattr(module, "config", None)
        if getattr(settings, "use_cache", False):
            settings.use_cache = False
    with _quiet(), torch.no_grad(), torch.compiler.set_stance("default"):
        program = torch.export.export(
            model, example.positional, example.named, dynamic_shapes=shapes, strict=False
        )
        # Without operations in place every node's value is what it is everywhere.
        plain: Any = program.run_decompositions({}).module(check_guards=False)
    graph = fx.GraphModule(plain, plain.graph)
    for node in list(graph.graph.nodes):
        if operation(node) in _GUARDS or node.op == "call_module":
            node.replace_all_uses_with(None)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if node.op == "call_function":
            if operation(node) == "view":  # which is particular about how its input lies in memory
                node.target = torch.ops.aten.reshape.default
            _raise_to_module(graph, node)
    graph.graph.eliminate_dead_code()
    # While it is worked on, tensors go in and come out one after another.
    codegen: Any = graph.graph._codegen
    graph.meta["codegen"] = _Once(codegen)
    graph.meta["named arguments"] = list(codegen.pytree_info.in_spec.child(1).context or ())
    graph.graph.set_codegen(CodeGen())
    for name in ("_in_spec", "_out_spec"):
        vars(graph).pop(name, None)
    graph.recompile()
    return graph


class _Once:
    """Holds something that copies of a graph share."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Once":
        return self


def finished(graph: fx.GraphModule) -> fx.GraphModule:
    """Give a graph the arguments and the outputs of the model that it was traced from."""
    if "codegen" in graph.meta:
        graph.graph.set_codegen(graph.meta.pop("codegen").held)
        graph.recompile()
    return graph


def _raise_to_module(graph: fx.GraphModule, node: Any) -> None:
    """Replace a function of weights by the module that it came from, if the weights are its own."""
    name, args = operation(node), [*node.args, *[None] * 9]
    made: nn.Module
    source = args[0]
    match name:
        case "linear" | "matmul" | "mm" | "addmm":
            source, at, bias = (args[1], args[2], args[0]) if name == "addmm" else args[:3]
            weight = _own(graph, at)
            if (
                weight is None
                or weight.ndim != 2
                or (bias is not None and not _is_own(graph, bias))
            ):
                return
            if name != "linear":  # stored the other way round
                weight = nn.Parameter(weight.detach().T.contiguous(), weight.requires_grad)
                bias = bias if name == "addmm" else None
            out, into = weight.shape
            made = nn.Linear(into, out, bias is not None, device="meta")
        case _ if name in _CONVOLUTIONS or name in _TRANSPOSED:
            at, bias = args[1], args[2]
            weight = _own(graph, at)
            if weight is None or (bias is not None and not _is_own(graph, bias)):
                return
            names = ["stride", "padding", "dilation", "groups"]
            if name in _TRANSPOSED:
                names = ["stride", "padding", "output_padding", "groups", "dilation"]
            given = dict(zip(names, node.args[3:], strict=False)) | node.kwargs
            given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            groups = given.get("groups", 1)
            channels = (weight.shape[0], weight.shape[1] * groups)
            if name in _CONVOLUTIONS:
                channels = (weight.shape[1] * groups, weight.shape[0])
            kind: Any = (_CONVOLUTIONS | _TRANSPOSED)[name]
            made = kind(
                *channels, tuple(weight.shape[2:]), bias=bias is not None, device="meta", **given
            )
        case "batch_norm" | "_native_batch_norm_legit_no_training":
            at, bias, mean, variance = args[1:5]
            training, eps = (args[5], args[7]) if name == "batch_norm" else (False, args[6])
            held = [_own(graph, part) for part in (at, bias, mean, variance)]
            rank = len(source.meta["val"].shape)
            if training or any(part is None for part in held) or rank not in _BATCH_NORMS:
                return
            weight = held[0]
            made = _BATCH_NORMS[rank](len(held[2]), eps=eps, device="meta")
            made.running_mean, made.running_var = held[2], held[3]
            made.num_batches_tracked = torch.zeros((), dtype=torch.int64)
        case "group_norm":
            _, groups, at, bias, eps = args[:5]
            weight = _own(graph, at)
            if weight is None or not _is_own(graph, bias):
                return
            made = nn.GroupNorm(
                groups, len(weight), eps=1e-5 if eps is None else eps, device="meta"
            )
        case _:
            return
    path = str(at.target)
    made.weight = _parameter(weight)
    if bias is not None:
        made.bias = _parameter(_value(graph, bias))
    label = path.removesuffix(".weight").replace(".", "_") + "_module"
    graph.add_module(label, made.eval())
    with graph.graph.inserting_before(node):
        call = graph.graph.call_module(label, (source,))
    call.meta = node.meta | {"name": path.removesuffix(".weight")}
    if name == "_native_batch_norm_legit_no_training":  # gives two more that nothing uses
        for part in list(node.users):
            part.replace_all_uses_with(call)
            graph.graph.erase_node(part)
    node.replace_all_uses_with(call)
    graph.graph.erase_node(node)


def _value(graph: fx.GraphModule, node: Any) -> Any:
    value: Any = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


def _is_own(graph: fx.GraphModule, node: Any) -> bool:
    """Return whether a node is a weight that nothing else uses."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return False
    uses: Counter[int] = Counter()
    for other in graph.graph.nodes:
        if other.op == "get_attr":
            uses[id(_value(graph, other))] += len(other.users)
    return uses[id(_value(graph, node))] == 1


def _own(graph: fx.GraphModule, node: Any) -> Any:
    return _value(graph, node) if _is_own(graph, node) else None


def _parameter(value: Any) -> nn.Parameter:
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value, requires_grad=False)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _culprit(error: BaseException) -> str:
    """Return the line of the user's code from which the error came."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/torch/" not in f.filename and f.filename != __file__]
    if not (own or frames):
        return "its arguments"
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno} ({frame.line})"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch from warning of itself."""
    log = logging.getLogger("torch")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
