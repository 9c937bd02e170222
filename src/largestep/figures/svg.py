"""SVG as small as its picture: Matplotlib writes millionths of a point, and every pair in full."""

import re

__all__ = ["compact"]

_PATH = re.compile(r' d="([^"]*)"')
_TOKENS = re.compile(r"[MLQCZz]|-?\d*\.?\d+(?:e-?\d+)?")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_GLYPHS = '<path id="DejaVu'


def compact(text: str) -> str:
    """Return the same picture with lines to a tenth of a point, drawn by how far they go.

    What is rounded are absolute positions, so that nothing adds up along a line. Glyphs are in
    units of their font and stay as they are.
    """
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    parts = re.split(r"(<defs>.*?</defs>)", text, flags=re.DOTALL)
    small = [part if _GLYPHS in part else _rounded(part) for part in parts]
    text = _without_repeated_styles("".join(small))
    for name, short in (("DejaVuSans-", "D"), ("DejaVuSansMono-", "M")):
        text = text.replace(f'"{name}', f'"{short}').replace(f"#{name}", f"#{short}")
    return re.sub(r"\s*\n\s*", "\n", text)


def _without_repeated_styles(text: str) -> str:
    """Return it without the styles of marks that say what the mark's definition says."""
    styles = {
        found[1]: found[2]
        for found in re.finditer(r'<path id="(\w+)" d="[^"]*" style="([^"]*)"/>', text)
    }
    return re.sub(
        r'(<use xlink:href="#(\w+)"[^>]*?) style="([^"]*)"/>',
        lambda found: f"{found[1]}/>" if styles.get(found[2]) == found[3] else found[0],
        text,
    )


def _rounded(text: str) -> str:
    text = _PATH.sub(lambda found: f' d="{_relative(found[1])}"', text)
    return _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text)


def _relative(path: str) -> str:
    """Return a path of straight lines by its moves; one with curves stays as it is."""
    tokens = _TOKENS.findall(path)
    if set("QC") & set(tokens):
        return path.strip()
    written, here, last = [], (0, 0), (0, 0)
    rest = iter(tokens)
    for command in rest:
        if command in "Zz":
            written.append("z")
            last = (0, 0)
            continue
        there = (round(10 * float(next(rest))), round(10 * float(next(rest))))
        move = (there[0] - here[0], there[1] - here[1])
        if command == "M":
            written.append(f"M{_tenths(there[0])} {_tenths(there[1])}")
            last = (0, 0)
        elif move != (0, 0):
            if last[0] * move[1] == last[1] * move[0] and last[0] * move[0] + last[1] * move[1] > 0:
                # Straight on: one move instead of two.
                written.pop()
                move = (last[0] + move[0], last[1] + move[1])
            written.append(f"l{_tenths(move[0])} {_tenths(move[1])}")
            last = move
        here = there
    return "".join(written).replace(" -", "-")


def _tenths(value: int) -> str:
    whole, tenth = divmod(abs(value), 10)
    digits = f"{whole or ''}.{tenth}" if tenth else str(whole)
    return f"-{digits}" if value < 0 else digits
