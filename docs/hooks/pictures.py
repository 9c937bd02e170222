"""Figures of the pages are made by running the code above them.

After a block of Python stands ``<!-- draws NAME: what it looks like -->``, NAME a Matplotlib figure
that the page's code, run from its top, has made by then.
"""

import io
import re
from contextlib import redirect_stdout

from mkdocs.structure.files import File

_PART = re.compile(r"^```python\n(.*?)^```$|<!-- draws (\w+): (.*?) -->", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown, *, page, config, files):
    """Run the page's Python if it draws anything, and put the figures where they are named."""
    if "<!-- draws " not in markdown:
        return markdown
    names = {}
    stem = page.file.src_uri.removesuffix(".md")

    def part(found):
        code, name, words = found.groups()
        if code is not None:
            with redirect_stdout(io.StringIO()):
                exec(compile(code, page.file.src_uri, "exec"), names)
            return found[0]
        picture = io.StringIO()
        names[name].savefig(picture, format="svg")
        uri = f"{stem}-{name}.svg"
        files.append(File.generated(config, uri, content=picture.getvalue()))
        return f"![{' '.join(words.split())}]({uri.rpartition('/')[2]})"

    return _PART.sub(part, markdown)
