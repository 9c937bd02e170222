"""`largestep verify`."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import app, piped

__all__ = ["verify"]


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Of results, a sweep or training runs.")] = Path(
        "results"
    ),
) -> None:
    """Check that stored results and weights are what was written, and say what is not.

    Damaged or missing files end it with status 1; stale ones, which other code has made, do not.

    Example: `largestep verify results`
    """
    from largestep.verification import verify as run

    found = run(folder)
    wrong = any(finding.state in ("damaged", "missing") for finding in found)
    with piped():
        for finding in found:
            if finding.state != "whole":
                print(f"{finding.path}: {finding.state}: {finding.reason}")
        print(f"{sum(finding.state == 'whole' for finding in found)} files are whole.")
        if wrong:
            print("What is damaged or missing is made again by the command that made it.")
    if wrong:
        raise typer.Exit(1)
