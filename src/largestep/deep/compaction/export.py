"""A compacted model as files that plain PyTorch reads: its definition, its weights, ONNX."""

import inspect
import logging
import re
import runpy
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from largestep import _files
from largestep.deep import weights
from largestep.deep.compaction.tracing import Arguments, tensors

__all__ = ["definition", "export_onnx", "save"]

_HEADER = '''"""A compacted model, written by largestep, which is not needed to run it.

    from safetensors.torch import load_file

    model = Model(){dtype}
    model.load_state_dict(load_file("model.safetensors"))
    model.eval()
"""

{imports}


class Model(nn.Module):
    """Takes {inputs}, n inputs."""

    def __init__(self) -> None:
        super().__init__()
'''


def save(model: nn.Module, folder: Path, example: Any) -> None:
    """Write a compacted model as `model.py`, a readable definition, and `model.safetensors`.

    Both are read back and must give what the model gives.

    Parameters
    ----------
    model : from `deep.compact`.
    folder : is made if need be.
    example : a batch of inputs, or a dictionary of arguments. What is saved takes the tensors one
        after another, and returns a tensor, or a tuple of them.

    Raises
    ------
    TypeError
        If the model is not from `deep.compact`.
    ValueError
        If it holds modules that have no definition in `torch.nn`.
    OSError
        If the files can't be written.
    """
    if not isinstance(model, fx.GraphModule):
        raise TypeError(f"model must come from deep.compact, got {type(model).__name__}")
    arguments = Arguments.of(example)
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    arguments = arguments.to(arguments.first.device, dtype)
    text = definition(model, example)
    _files.prepare_folder(folder)
    # Weights of another model must at no moment lie beside this one's definition.
    (folder / "model.safetensors").unlink(missing_ok=True)
    _files.write_bytes(folder / "model.py", text.encode())
    _files.write_bytes(folder / "model.safetensors", weights.to_bytes(model.state_dict()))

    with torch.random.fork_rng(devices=[]):
        read = runpy.run_path(str(folder / "model.py"))["Model"]()
    read.to(dtype).load_state_dict(load_file(folder / "model.safetensors"))
    with torch.no_grad():
        expected = tensors(arguments(model))
        found = tensors(read.to(arguments.first.device).eval()(*arguments.flat(model)))
    same = len(found) == len(expected) and all(map(torch.equal, found, expected))
    if not same:
        raise ValueError(
            f"the definition in {folder / 'model.py'} does not compute what the model computes: "
            "it holds settings that its modules do not print"
        )


def definition(model: fx.GraphModule, example: Any) -> str:
    """Return Python code that defines the model, without its weights."""
    arguments = Arguments.of(example)
    graph = _plain(model)
    names = [str(node.target) for node in graph.nodes if node.op == "placeholder"]
    shapes = [
        f"a tensor of shape ({', '.join(['n', *map(str, x.shape[1:])])})"
        for x in arguments.flat(model)
    ]
    code = graph.python_code("self")
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    cast = "" if dtype == torch.float32 else f".to({dtype})"
    header = _HEADER.format(
        inputs=", ".join(shapes), dtype=cast, imports="\n".join(_imports(code.src, code.globals))
    )
    lines = [header]
    for name, module in model.named_children():
        lines.append(f"        self.{name} = {_construction(name, module)}\n")
    for name, parameter in model.named_parameters(recurse=False):
        lines.append(f"        self.{name} = nn.Parameter({_empty(parameter)})\n")
    for name, buffer in model.named_buffers(recurse=False):
        lines.append(f'        self.register_buffer("{name}", {_empty(buffer)})\n')
    # Values are freed as they go out of use: noise for a reader.
    body = [re.sub(r";  \w+ = .*None$", "", line) for line in code.src.strip().splitlines()]
    _, *rest = (line for line in body if line.strip())
    one = sum(len(node.args[0]) for node in graph.nodes if node.op == "output" and _several(node))
    given = ", ".join(f"{name}: torch.Tensor" for name in names)
    returned = "tuple[torch.Tensor, ...]" if one else "torch.Tensor"
    lines.append(f"\n    def forward(self, {given}) -> {returned}:\n")
    lines += [f"    {line}\n" for line in rest]
    return "".join(lines)


def _several(node: Any) -> bool:
    return isinstance(node.args[0], tuple | list)


def _plain(model: fx.GraphModule) -> fx.Graph:
    """Return the graph with tensors in and out, one after another, in place of dictionaries."""
    if "named arguments" not in model.meta:
        return model.graph
    graph = fx.Graph()
    outputs = graph.graph_copy(model.graph, {})
    given = tuple(x for x in pytree.tree_leaves(outputs) if isinstance(x, fx.Node))
    graph.output(given[0] if len(given) == 1 else given)
    return graph


def _imports(code: str, names: Iterable[str]) -> list[str]:
    """Return the imports for those of some names that the code uses."""
    used = [name for name in names if re.search(rf"\b{name}\b", code)]
    known = {
        "device": "from torch import device",
        "inf": "from math import inf",
        "nan": "from math import nan",
        "_operator": "import _operator",
    }
    unknown = sorted(set(used) - set(known) - {"torch"})
    if unknown:
        raise ValueError(f"the model uses what plain PyTorch has not: {', '.join(unknown)}")
    lines = [known[name] for name in sorted(used) if name in known]
    return [*(["\n".join(lines) + "\n"] if lines else []), "import torch", "from torch import nn"]


def export_onnx(model: nn.Module, path: Path, example: Tensor) -> None:
    """Write the model as ONNX, for any number of inputs of the example's shape.

    Needs the packages onnx and onnxscript.

    Raises
    ------
    ModuleNotFoundError
        If they are missing.
    """
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ONNX needs two more packages: pip install onnx onnxscript", name=error.name
        ) from None
    # A batch of one would be taken for a constant.
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    batch = example if len(example) > 1 else torch.cat([example, example])
    batch = batch.to(dtype) if batch.is_floating_point() else batch
    dynamic = ({0: torch.export.Dim("n")},)
    log = logging.getLogger("torch.onnx")
    level = log.level
    with warnings.catch_warnings():
        # Of PyTorch against itself, and about packages that nobody asked for.
        warnings.simplefilter("ignore", FutureWarning)
        log.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                model, (batch,), dynamo=True, dynamic_shapes=dynamic, verbose=False
            )
        finally:
            log.setLevel(level)
    assert program is not None
    _files.atomically(path, lambda temporary: program.save(temporary, external_data=False))


def _construction(name: str, module: nn.Module) -> str:
    """Return the call that makes a module like this one, settings at their defaults left out."""
    if type(module) is not getattr(nn, type(module).__name__, None) or list(module.children()):
        raise ValueError(f"{name} is a {type(module).__name__}, not a plain torch.nn module")
    arguments = []
    for parameter in inspect.signature(type(module)).parameters.values():
        if not hasattr(module, parameter.name):
            continue
        value = getattr(module, parameter.name)
        if parameter.name == "bias":
            value = value is not None
        if isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if parameter.default is inspect.Parameter.empty:
            arguments.append(repr(value))
        elif value != parameter.default:
            arguments.append(f"{parameter.name}={value!r}")
    return f"nn.{type(module).__name__}({', '.join(arguments)})"


def _empty(tensor: Tensor) -> str:
    return f"torch.empty({tuple(tensor.shape)}, dtype={tensor.dtype})"
