"""How long the command line keeps a user waiting."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._timing import row, seconds


def measure() -> list[dict[str, Any]]:
    """Time `largestep --help`, and `reproduce diagonal --seeds 1` once it has run before."""
    command = str(Path(sys.executable).with_name("largestep"))

    def call(*arguments: str) -> None:
        subprocess.run([command, *arguments], check=True, capture_output=True)

    def reproduce() -> None:
        # A folder of its own each time: stored results would be taken up, not computed.
        with tempfile.TemporaryDirectory() as out:
            call("reproduce", "diagonal", "--seeds", "1", "--out", out)

    return [
        row("largestep --help", None, seconds(lambda: call("--help")), "< 0.5 s"),
        row("largestep reproduce diagonal, again", None, seconds(reproduce), "< 5 s"),
    ]
