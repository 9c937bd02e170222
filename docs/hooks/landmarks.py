"""What a screen reader calls the parts of a page: each has a name, and no two the same one."""

import re
from collections import Counter


def on_post_page(output, **_):
    """Name the search, and number navigations that share a heading's name."""
    output = output.replace(
        'data-md-component="search" role="dialog"',
        'data-md-component="search" role="dialog" aria-label="Search"',
    )
    seen = Counter()

    def named(found):
        name = found[1].lower()
        seen[name] += 1
        number = f" ({seen[name]})" if seen[name] > 1 else ""
        return f'<nav class="md-nav" aria-label="{found[1]}{number}"'

    return re.sub(r'<nav class="md-nav" aria-label="([^"]*)"', named, output)
