"""The command line: one command a file, thin, and quick to start."""

import sys

# isort: off  (the order of the help)
from largestep.cli import catalogue as catalogue
from largestep.cli import clean as clean
from largestep.cli import compact as compact
from largestep.cli import find_step as find_step
from largestep.cli import measure as measure
from largestep.cli import report as report
from largestep.cli import reproduce as reproduce
from largestep.cli import sweep as sweep
from largestep.cli import train as train
from largestep.cli import verify as verify

# isort: on
from largestep.cli.app import app

__all__ = ["main"]


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit status 1."""
    try:
        app()
    except (MemoryError, ModuleNotFoundError, OSError, TypeError, ValueError) as error:
        # A name from a file may hold what a terminal takes for a command.
        text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(error))
        print(f"largestep: {text}", file=sys.stderr)
        sys.exit(1)
