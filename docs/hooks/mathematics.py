"""Formulas between dollars become MathML when the pages are built: no script, no foreign server."""

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content, **_):
    """Replace what `pymdownx.arithmatex` has marked."""

    def mathml(found):
        display = "block" if found["tag"] == "div" else "inline"
        return convert(html.unescape(found["tex"]).strip(), display=display)

    return _FORMULA.sub(mathml, content)
