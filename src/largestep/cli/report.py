"""`largestep report`."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import app, stoppable

__all__ = ["report"]


@app.command()
@stoppable("The same command begins again.")
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that `largestep reproduce` filled.")],
) -> None:
    """Write the page of a folder of results again.

    Example: `largestep report results`
    """
    from largestep.reproduction import report as write

    print(f"The page is {write(folder)}")
