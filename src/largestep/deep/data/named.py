"""Data that are made: their name holds the settings that decide them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

__all__ = ["Named"]


@dataclass(frozen=True)
class Named:
    """The settings of data that are made, as a dataclass of integers and numbers with defaults.

    Attributes
    ----------
    kind : what the name begins with.
    """

    kind: ClassVar[str]

    @property
    def folder(self) -> Path:
        """Where what was made is kept if no folder is named."""
        return Path()

    @classmethod
    def named(cls, name: str, **settings: Any) -> Self:
        """Return the settings of a name, such as "glyphs:classes=36,noise=0.1", and further ones.

        Raises
        ------
        TypeError, ValueError
            If there is no such setting (the error lists those there are), or one is given twice or
            out of its range.
        """
        kinds = {field.name: int if field.type in (int, "int") else float for field in fields(cls)}
        pairs = [part.partition("=") for part in name.partition(":")[2].split(",") if part]
        given = [(key, value) for key, _, value in pairs] + list(settings.items())
        found: dict[str, Any] = {}
        for key, value in given:
            if key not in kinds:
                raise ValueError(f"the settings of {cls.kind} are {', '.join(kinds)}, got {key!r}")
            if key in found:
                raise ValueError(f"{key} must be given once, got {found[key]!r} and {value!r}")
            found[key] = _number(key, value, kinds[key]) if isinstance(value, str) else value
        return cls(**found)

    @property
    def name(self) -> str:
        """The name that brings these settings back: it says those that are not the default's."""
        others = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"{self.kind}:{','.join(others)}" if others else self.kind


def _number(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = "an integer" if kind is int else "a number"
        raise ValueError(f"{name} must be {wanted}, got {text!r}") from None
