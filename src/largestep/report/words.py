"""Numbers and sentences as the page writes them."""

import re
from typing import Any

from markupsafe import Markup, escape

__all__ = ["bound", "interval", "number", "prose", "slug"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None) -> str:
    """Return a number to three digits, as people write it.

    Examples
    --------
    >>> [number(v) for v in (0.0312, -1.5, 2.4e15, None)]
    ['0.0312', '−1.5', '2.4·10¹⁵', '–']
    """
    if value is None:
        return "–"
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    if exponent:
        mantissa += f"·10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return mantissa.replace("-", "−")


def interval(ends: list[float] | None) -> str:
    """Return an interval by its ends."""
    return "–" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def bound(claim: dict[str, Any]) -> str:
    """Return on which side of what the statistic is claimed to lie."""
    limit = claim["bound"]
    if isinstance(limit, list | tuple):
        return f"within {number(limit[0])} and {number(limit[1])}"
    return f"{claim['direction']} {number(limit)}"


def slug(sentence: str) -> str:
    """Return the first words of a sentence as an anchor.

    Examples
    --------
    >>> slug("The rank falls by columns that die: a twentieth (diagonal).")
    'the-rank-falls-by-columns-that-die-a-twentieth-diagonal'
    """
    return "-".join(re.findall(r"[a-z0-9]+", sentence.lower())[:14])


def prose(text: str) -> Markup:
    """Return text as HTML: escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
