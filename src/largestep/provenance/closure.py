"""The code that a function depends on: found in the source, definition by definition.

A definition depends on the definitions whose names it uses, wherever they come from: through
imports, the lists of names of lazy packages, aliases, attributes of modules, imports inside
functions. Annotations are not followed, docstrings and comments do not count. Nothing is imported
or run.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["Closure", "Sources", "closure", "defines"]

_DECIDING = {
    "PIL": "pillow",
    "dog": "dog-optimizer",
    "matplotlib": "matplotlib",
    "momo": "momo-opt",
    "numba": "numba",
    "numpy": "numpy",
    "prodigyopt": "prodigyopt",
    "schedulefree": "schedulefree",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "xarray": "xarray",
}
"""Packages whose versions decide numbers, by the name that is imported."""

_SILENT = {
    "largestep._progress",
    "largestep._version",
    "largestep.jobs.base",
    "largestep.jobs.here",
    "largestep.jobs.processes",
    "largestep.provenance.closure",
    "largestep.provenance.identity",
}
"""Modules that show or name something, or choose where work runs, and decide nothing."""

_Definition = tuple[str, str]
"""A module and a name that it defines; the name "" is what it runs without defining anything."""

_Imports = dict[str, tuple[str, str | None]]
"""What names stand for: a module, or a name in one."""


@dataclass(frozen=True)
class Closure:
    """The definitions that some functions depend on, themselves included.

    Attributes
    ----------
    definitions : (module, name) of each, sorted.
    digest : of their source without comments and docstrings.
    versions : of the libraries that they use and that decide numbers; "missing" without one.
    """

    definitions: tuple[tuple[str, str], ...]
    digest: str
    versions: Mapping[str, str]

    @property
    def modules(self) -> set[str]:
        """The modules that hold the definitions."""
        return {module for module, _ in self.definitions}


def closure(*roots: tuple[str, str], sources: "Sources | None" = None) -> Closure:
    """Return what the given definitions depend on.

    Where code looks into a lazy package by a name that it is given (``getattr(measures, name)``),
    every name of that package's list that stands in quotes anywhere in the closure counts as used.

    Parameters
    ----------
    roots : (module, name) of each definition.
    sources : the packages whose code is followed; largestep's own by default.

    Raises
    ------
    ImportError, SyntaxError
        If there is no such definition, or a file can't be parsed.
    """
    sources = _own() if sources is None else sources
    sources.forget_missing()
    found: set[_Definition] = set()
    libraries: set[str] = set()
    by_name: set[str] = set()
    strings: set[str] = set()
    waiting: list[_Definition] = []
    for module, name in roots:
        start = sources.definitions(module, name)
        if not start:
            raise ImportError(f"there is no {name} in {module}")
        waiting += start
    while waiting:
        while waiting:
            definition = waiting.pop()
            if definition in found:
                continue
            found.add(definition)
            uses = sources.uses(*definition)
            libraries |= uses.libraries
            by_name |= uses.by_name
            strings |= uses.strings
            waiting += uses.definitions
        # What is looked up by name is known once all strings are.
        waiting = [
            target
            for package in by_name
            for name in strings & sources.read(package).listed.keys()
            for target in sources.definitions(package, name)
            if target not in found
        ]
    listed = tuple(sorted(found))
    digest = hashlib.sha256()
    for module, name in listed:
        digest.update(f"{module}:{name}\n{sources.text(module, name)}\n".encode())
    versions = {package: _version(_DECIDING[package]) for package in sorted(libraries)}
    return Closure(listed, digest.hexdigest()[:16], versions)


@cache
def _version(package: str) -> str:
    """Return a package's version; results can be drawn where what computed them is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def defines(module: str, name: str) -> bool:
    """Return whether one of largestep's modules has a definition of that name."""
    return bool(_own().definitions(module, name))


@dataclass
class _Uses:
    """What a definition uses."""

    definitions: set[_Definition] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)
    by_name: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)


@dataclass
class _Mentions:
    """What a statement imports, its names with the attributes taken of them, and its strings."""

    imported: _Imports
    chains: list[list[str]]
    strings: set[str]


@dataclass
class _Module:
    """A module's source: what it binds at its top level, and by which statements.

    Attributes
    ----------
    name : the module's, with its packages.
    is_package : whether it is a package, from which relative imports count.
    bound : the statements that bind a name; those that bind none under "".
    imported : what an imported name stands for: a module, or a name in one.
    listed : the same for the list of names of a lazy package.
    """

    name: str
    is_package: bool = False
    bound: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: _Imports = field(default_factory=dict)
    listed: _Imports = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _mentions: dict[str, list[_Mentions]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return the source of a definition, without comments and docstrings."""
        if name not in self._texts:
            self._texts[name] = "\n".join(map(ast.unparse, self.bound[name]))
        return self._texts[name]

    def mentions(self, name: str) -> list[_Mentions]:
        """Return what each statement of a definition mentions, whatever it stands for."""
        if name not in self._mentions:
            self._mentions[name] = [self._mentioned(statement) for statement in self.bound[name]]
        return self._mentions[name]

    def _mentioned(self, statement: ast.stmt) -> _Mentions:
        imported: _Imports = {}
        for node in ast.walk(statement):
            imported |= _imports(node, self.name, self.is_package)
        strings: set[str] = set()
        return _Mentions(imported, list(_chains(statement, strings)), strings)


class Sources:
    """The modules of some packages, read when they are needed and once.

    Parameters
    ----------
    paths : the folder of each top-level package, by its name.
    imported : whether parts of a package may stand elsewhere, where it has been imported from.
    """

    def __init__(self, paths: Mapping[str, Path], *, imported: bool = False) -> None:
        self._paths = dict(paths)
        self._imported = imported
        self._modules: dict[str, _Module] = {}
        self._uses: dict[_Definition, _Uses] = {}
        self._files: dict[str, Path | None] = {}

    def file(self, module: str) -> Path | None:
        """Return the file of a module of the packages."""
        first, *rest = module.split(".")
        if first not in self._paths:
            return None
        if module not in self._files:
            self._files[module] = self._found(module, self._paths[first].joinpath(*rest))
        return self._files[module]

    def forget_missing(self) -> None:
        """Look anew for modules that were missing: they may have been imported since."""
        self._files = {module: path for module, path in self._files.items() if path is not None}

    def _found(self, module: str, place: Path) -> Path | None:
        places = [place]
        if self._imported:
            parent, _, name = module.rpartition(".")
            places += [Path(p) / name for p in getattr(sys.modules.get(parent), "__path__", ())]
        for path in places:
            for candidate in (path / "__init__.py", path.with_suffix(".py")):
                if candidate.is_file():
                    return candidate
        return None

    def read(self, module: str) -> _Module:
        """Return a module's bindings."""
        if module not in self._modules:
            path = self.file(module)
            self._modules[module] = _Module(module) if path is None else _read(module, path)
        return self._modules[module]

    def definitions(self, module: str, name: str) -> set[_Definition]:
        """Return what a name of a module stands for, followed to where it is defined."""
        if module in _SILENT:
            return set()
        source = self.read(module)
        if name in source.bound and name:
            # What a module does beside defining things may change what it has defined.
            beside = {(module, "")} if "" in source.bound else set()
            return {(module, name), *beside}
        target = source.imported.get(name) or source.listed.get(name)
        if target is None or target[1] is None or self.file(target[0]) is None:
            return set()
        if self.file(f"{target[0]}.{target[1]}") is not None:
            return set()
        return self.definitions(target[0], target[1])

    def text(self, module: str, name: str) -> str:
        """Return the source of a definition, without comments and docstrings."""
        return self.read(module).text(name)

    def uses(self, module: str, name: str) -> _Uses:
        """Return what a definition uses."""
        if (module, name) in self._uses:
            return self._uses[module, name]
        source = self.read(module)
        uses = self._uses[module, name] = _Uses()
        for mentioned in source.mentions(name):
            uses.strings |= mentioned.strings
            names = source.imported | mentioned.imported
            for chain in mentioned.chains:
                self._follow(source, names, chain, uses)
        return uses

    def _follow(
        self,
        source: _Module,
        names: _Imports,
        chain: list[str],
        uses: _Uses,
    ) -> None:
        """Add what a chain of attributes, such as ``networks.base.Network``, stands for."""
        first, *rest = chain
        if first not in names:
            if first in source.bound:
                uses.definitions |= self.definitions(source.name, first)
            return
        target, attribute = names[first]
        root = target.partition(".")[0]
        if self.file(target) is None:
            if root in _DECIDING:
                uses.libraries.add(root)
            return
        if attribute is not None:
            rest = [attribute, *rest]
        # A module's attribute may be a module itself, or a name that a list leads on from.
        while rest:
            below = f"{target}.{rest[0]}"
            listed = self.read(target).listed.get(rest[0])
            if listed is not None and listed[1] is None:
                below = listed[0]
            if self.file(below) is None:
                break
            target, rest = below, rest[1:]
        if rest:
            uses.definitions |= self.definitions(target, rest[0])
        elif self.read(target).listed:
            uses.by_name.add(target)
        else:
            for name in self.read(target).bound:
                uses.definitions |= self.definitions(target, name)


@cache
def _own() -> Sources:
    """Return largestep's own sources as they were when they were first read, as the process has."""
    return Sources({"largestep": Path(__file__).parent.parent}, imported=True)


def _read(module: str, path: Path) -> _Module:
    """Return a file's bindings."""
    stub = path.with_suffix(".pyi")
    listed = stub.read_text(encoding="utf-8") if stub.is_file() else ""
    return _parsed(module, path.stem == "__init__", path.read_text(encoding="utf-8"), listed)


@cache
def _parsed(module: str, is_package: bool, text: str, listed: str) -> _Module:
    """Return the bindings of a module's text and of its list of names, parsed once."""
    source = _Module(module, is_package)
    for statement in _WithoutTexts().visit(ast.parse(text)).body:
        found = _imports(statement, module, is_package)
        if found:
            source.imported |= found
            continue
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        for name in set(_bindings(statement)) or {""}:
            source.bound.setdefault(name, []).append(statement)
    for statement in ast.parse(listed).body:
        source.listed |= _imports(statement, module, is_package)
    return source


def _imports(node: ast.AST, module: str, is_package: bool) -> _Imports:
    """Return what the names stand for that an import statement binds."""
    if isinstance(node, ast.Import):
        # `import a.b` binds a; what is used of it is an attribute of a.
        return {
            alias.asname or alias.name.partition(".")[0]: (
                alias.name if alias.asname else alias.name.partition(".")[0],
                None,
            )
            for alias in node.names
        }
    if not isinstance(node, ast.ImportFrom):
        return {}
    origin = node.module or ""
    if node.level:
        above = module.split(".")
        above = above[: len(above) - node.level + is_package]
        origin = ".".join([*above, *filter(None, [node.module])])
    if node.module is None:
        # `from . import part`: a module, as the lists of lazy packages name theirs.
        return {a.asname or a.name: (f"{origin}.{a.name}", None) for a in node.names}
    return {alias.asname or alias.name: (origin, alias.name) for alias in node.names}


def _bindings(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds at the level at which it stands."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _chains(statement: ast.stmt, strings: set[str]) -> Iterator[list[str]]:
    """Yield the names that a statement uses, each with the attributes taken of it."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        chain = _chain(node)
        if chain is not None:
            yield chain
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            parts = value if isinstance(value, list) else [value]
            waiting += [part for part in parts if isinstance(part, ast.AST)]


def _chain(node: ast.AST) -> list[str] | None:
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return [node.id, *reversed(attributes)] if isinstance(node, ast.Name) else None


class _WithoutTexts(ast.NodeTransformer):
    """Takes out what is written for people: strings that stand alone."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.copy_location(ast.Pass(), node) if text else node
