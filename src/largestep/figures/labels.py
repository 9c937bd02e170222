"""Labels of schedules and quantities as people read them. Needs no Matplotlib."""

import re

__all__ = ["axis_label", "readable"]

_WIDE = 28
_DIVIDED = re.compile(r"^(.*), /(\S+) at (\d+) ?%$")
_POWER = re.compile(r"\b1e-0?(\d+)\b")
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def readable(label: str) -> str:
    """Return a schedule's label in words; a label of another form as it is.

    Examples
    --------
    >>> readable("0.282, /1.5 at 50%")
    '0.282 until 50 %, then ÷1.5'
    >>> readable("large until 10%")
    'large until 10 %'
    """
    label = _DIVIDED.sub(r"\1 until \3 %, then ÷\2", str(label))
    return re.sub(r"(\d)%", r"\1 %", label).replace(", then /", ", then ÷")


def axis_label(text: str) -> str:
    r"""Return a quantity's name for an axis: powers of ten as such, long ones in two lines.

    Examples
    --------
    >>> axis_label("coordinates above 1e-06 of the largest")
    'coordinates above\n10⁻⁶ of the largest'
    """
    text = _POWER.sub(lambda found: "10⁻" + found[1].translate(_SUPERSCRIPT), text)
    if len(text) <= _WIDE:
        return text
    words = text.split(" ")
    lengths = [abs(len(" ".join(words[:i])) - len(text) / 2) for i in range(len(words))]
    middle = min(range(1, len(words)), key=lengths.__getitem__, default=0)
    return "\n".join((" ".join(words[:middle]), " ".join(words[middle:]))) if middle else text
