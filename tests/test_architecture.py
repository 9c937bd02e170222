"""The rules of the house: imports go up only, in no circles, and PyTorch stays in its rooms."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import largestep

OWN = Path(largestep.__file__).parent
BLOCKS = (
    "_version",
    "_checks",
    "_progress",
    "_files",
    "store",
    "provenance",
    "jobs",
    "networks",
    "losses",
    "problems",
    "schedules",
    "metrics",
    "statistics",
    "measures",
    "dynamics",
    "diagnosis",
    "deep",
    "compaction",
    "figures",
    "experiments",
    "report",
    "reproduction",
    "verification",
    "cli",
)
"""From the top of the house to its door."""
ROOMS = (
    "_held",
    "_untouched",
    "weights",
    "batches",
    "features",
    "data",
    "models",
    "loading",
    "curvature",
    "sharpness",
    "measures",
    "probe",
    "loggers",
    "control",
    "lightning",
    "transformers",
    "training",
    "compaction",
)
"""The same within `deep`."""


def module_of(path):
    parts = ("largestep", *path.relative_to(OWN).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in OWN.rglob("*.py")}


def listed(package):
    """Return where the names of a lazy package are defined."""
    stub = FILES[package].with_suffix(".pyi")
    if package not in FILES or not stub.exists():
        return {}
    found = {}
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                below = f"{package}.{node.module or alias.name}"
                found[alias.name] = below
    return found


def defining(module, name):
    """Return the module in which a name that is imported from another is defined."""
    if f"{module}.{name}" in FILES:
        return f"{module}.{name}"
    below = listed(module).get(name)
    return module if below is None else defining(below, name)


def imports(module):
    """Return the modules that a module imports, anywhere in its file, and other packages."""
    own, others = set(), set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                (own if alias.name in FILES else others).add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: name the module"
            for alias in node.names:
                if node.module in FILES:
                    own.add(defining(node.module, alias.name))
                else:
                    others.add(node.module)
    # `import largestep` alone asks for its version.
    return own - {"largestep", module}, {name.partition(".")[0] for name in others}


GRAPH = {module: imports(module) for module in FILES}


def rank(module):
    """Return a module's block, and its room in `deep`."""
    parts = module.split(".")[1:]
    block = BLOCKS.index(parts[0])
    room = ROOMS.index(parts[1]) if parts[0] == "deep" and len(parts) > 1 else 0
    return block, room


@pytest.mark.parametrize("module", [m for m in FILES if m != "largestep"])
def test_a_file_imports_from_its_own_block_or_one_above(module):
    below = {target for target in GRAPH[module][0] if rank(target) > rank(module)}
    if module == "largestep.deep":
        below = set()  # its list names all of its rooms
    assert not below, f"{module} imports from below: {sorted(below)}"


def test_there_are_no_circles():
    # A package runs before its modules; what a lazy one lists, it does not import.
    order = TopologicalSorter({module: own for module, (own, _) in GRAPH.items()})
    assert len(list(order.static_order())) >= len(FILES)


@pytest.mark.parametrize(
    "module", [m for m in FILES if not m.startswith(("largestep.deep", "largestep.experiments"))]
)
def test_pytorch_stays_in_its_rooms(module):
    torch = GRAPH[module][1] & {"torch", "torch_pruning", "safetensors"}
    typing_only = module == "largestep.cli.compact"
    assert not torch or typing_only, f"{module} imports {sorted(torch)}"


def test_every_file_is_in_a_block():
    for module in FILES:
        if module != "largestep":
            rank(module)


def test_the_list_of_public_names_is_whole():
    pytest.importorskip("torch")
    for package in (p for p in FILES if FILES[p].with_suffix(".pyi").exists()):
        __import__(package)
        face = sys.modules[package]
        for name in listed(package):
            if name != "transformers" and name != "lightning":
                assert getattr(face, name) is not None
