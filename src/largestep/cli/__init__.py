"""The command line: one command a file, thin, and quick to start."""

import sys

from largestep.cli import catalogue, clean, compact, measure, report, reproduce, sweep, train  # noqa: F401  (in the order of the help)
from largestep.cli.app import app

__all__ = ["main"]


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit status 1."""
    try:
        app()
    except (ModuleNotFoundError, OSError, TypeError, ValueError) as error:
        print(f"largestep: {error}", file=sys.stderr)
        sys.exit(1)
