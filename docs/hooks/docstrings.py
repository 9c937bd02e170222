"""Docstrings say "name : what it is", with types in the annotations: tables have them apart.

The numpy style reads what follows a colon as a type. So, before it is parsed, the description is
moved to a line of its own, and what is returned becomes a sentence.
"""

import re

import griffe

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


class Descriptions(griffe.Extension):
    """Rewrites each docstring before the sections are read."""

    def on_object(self, *, obj, **_):
        """Rewrite one."""
        if obj.docstring is not None:
            obj.docstring.value = apart(obj.docstring.value)


def apart(text):
    """Return a docstring whose tables have descriptions where they belong."""
    head, *sections = _SECTION.split(text)
    written, returned = [], ""
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        if name == "Returns":
            # Before the tables: what stands behind one is read as a line of it.
            returned = f"**Returns** {body.strip()}\n\n"
            continue
        if name in ("Parameters", "Other Parameters", "Attributes"):
            body = re.sub(r"^(\*{0,2}\w[\w*, ]*) : (.+)$", r"\1\n    \2", body, flags=re.MULTILINE)
        written.append(f"{name}\n{'-' * len(name)}{body}")
    return "".join([head, returned, *written])
