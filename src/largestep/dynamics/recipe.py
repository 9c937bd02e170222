"""Networks, problems, dynamics and schedules made of named numbers, so that each can be varied."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from types import UnionType
from typing import Any, NamedTuple, get_args

from largestep import _checks
from largestep.dynamics.base import Dynamics
from largestep.networks.base import Network
from largestep.problems import Problem
from largestep.schedules import Schedule

__all__ = ["Made", "Recipe"]


class Made(NamedTuple):
    """What a recipe makes of some settings; no schedule where the dynamics has its own."""

    network: Network
    problem: Problem
    dynamics: Dynamics
    schedule: Schedule | None


@dataclass(frozen=True)
class Recipe:
    """What is simulated, each part as it is or as what makes it.

    A part's settings are the numbers that it takes by name: the fields of a dataclass, also of one
    within it (``of.cap`` of ``SAM(0.1, of=SGD(cap=4))``), or the arguments of a function, of a
    class or of a `functools.partial` that makes it.

    Attributes
    ----------
    network, problem, dynamics, schedule : a part, or what makes it. No schedule for a dynamics that
        controls its step size.

    Raises
    ------
    TypeError
        If a part is neither.
    """

    network: Network | Callable[..., Network]
    problem: Problem | Callable[..., Problem]
    dynamics: Dynamics | Callable[..., Dynamics]
    schedule: Schedule | Callable[..., Schedule] | None

    def __post_init__(self) -> None:
        for part, source in vars(self).items():
            if source is None and part == "schedule":
                continue
            try:
                if not _is_made(source):
                    inspect.signature(source)
            except (TypeError, ValueError):
                raise TypeError(
                    f"{part} must be a {part}, or a function of its settings that makes it, got "
                    f"{_checks.shown(source)}"
                ) from None

    def settings(self) -> dict[str, dict[str, type]]:
        """Return each part's settings, by name, with the kind of number that each is."""
        return {part: dict(_settings(source)) for part, source in vars(self).items()}

    def places(self, name: str) -> list[tuple[str, str]]:
        """Return the parts that a setting is of, with its name there.

        ``network.d`` is the network's; ``d`` is that of each part which has one.

        Raises
        ------
        ValueError
            If no part has it; the error lists what there is.
        """
        settings = self.settings()
        part, _, own = name.partition(".")
        if part in settings:
            found = [(part, own)] if own in settings[part] else []
        else:
            found = [(part, name) for part, its in settings.items() if name in its]
        if not found:
            there = [f"{part}.{own}" for part, its in settings.items() for own in its]
            raise ValueError(f"a setting must be one of {', '.join(there)}, got {name!r}")
        return found

    def number(self, name: str, value: float) -> float:
        """Return a setting's value as the number that its parts take.

        Raises
        ------
        TypeError, ValueError
            If it is no number, not finite, or not whole where it must be.
        """
        value = _checks.number(name, value)
        settings = self.settings()
        if all(settings[part][own] is float for part, own in self.places(name)):
            return value
        if value != int(value):
            raise ValueError(f"{name} must be an integer, got {value:g}")
        return int(value)

    def make(self, settings: Mapping[str, float]) -> Made:
        """Return the parts with some settings, the others as they are by default."""
        return Made(*(self.part(part, settings) for part in vars(self)))

    def part(self, part: str, settings: Mapping[str, float]) -> Any:
        """Return one part with those of some settings that are its own."""
        own: dict[str, float] = {}
        # The setting of one part alone comes after that of all.
        for name in sorted(settings, key=lambda name: name.startswith(f"{part}.")):
            own |= {at: settings[name] for where, at in self.places(name) if where == part}
        return _made(getattr(self, part), own)

    def described(self) -> dict[str, str]:
        """Return what each part is, as text."""
        return {part: _described(source) for part, source in vars(self).items()}

    def default(self, part: str, name: str) -> float | None:
        """Return the value that a part's own setting has by itself; None if it has none."""
        source = getattr(self, part)
        if name not in dict(_settings(source)):
            return None
        if _is_made(source):
            return getattr(source, name)
        given = inspect.signature(source).parameters[name].default
        return None if given is inspect.Parameter.empty else float(given)


def _is_made(source: Any) -> bool:
    """Return whether a part is there, not only what makes it."""
    kinds = (Network, Problem, Dynamics, Schedule)
    return isinstance(source, kinds) or (is_dataclass(source) and not isinstance(source, type))


def _settings(source: Any) -> Iterator[tuple[str, type]]:
    """Yield the names of the numbers that a part takes, with their kinds."""
    made = _is_made(source)
    if source is None or (made and not is_dataclass(source)):
        return
    for name, parameter in inspect.signature(type(source) if made else source).parameters.items():
        annotation = parameter.annotation
        kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        if {float, inspect.Parameter.empty} & set(kinds):
            yield name, float
        elif int in kinds:
            yield name, int
        if made and _is_made(within := getattr(source, name)):
            yield from ((f"{name}.{own}", kind) for own, kind in _settings(within))


def _made(source: Any, given: Mapping[str, float]) -> Any:
    """Return a part with some of its settings."""
    if not given and (source is None or _is_made(source)):
        return source
    own: dict[str, Any] = {}
    within: dict[str, dict[str, float]] = {}
    for name, value in given.items():
        field, _, inner = name.partition(".")
        if inner:
            within.setdefault(field, {})[inner] = value
        else:
            own[name] = value
    own |= {field: _made(getattr(source, field), inner) for field, inner in within.items()}
    return replace(source, **own) if _is_made(source) else source(**own)


def _described(source: Any) -> str:
    if isinstance(source, partial):
        given = [*map(repr, source.args), *(f"{k}={v!r}" for k, v in source.keywords.items())]
        return f"{_described(source.func)}({', '.join(given)})"
    return repr(source) if source is None or _is_made(source) else source.__qualname__
