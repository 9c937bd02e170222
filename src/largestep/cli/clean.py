"""`largestep clean`."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import app

__all__ = ["clean"]


@app.command()
def clean(
    folder: Annotated[
        Path, typer.Argument(help="A folder that `largestep reproduce` filled.")
    ] = Path("results"),
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove them; otherwise they are only listed.")
    ] = False,
) -> None:
    """List the training runs that no stored result needs and that would not be taken up again.

    Example: `largestep clean results --remove`
    """
    import shutil
    from contextlib import nullcontext

    from largestep import _files
    from largestep.experiments.trainings import unneeded

    with _files.exclusive(folder) if remove and folder.is_dir() else nullcontext():
        found = unneeded(folder)
        for run, reason in found.items():
            if remove:
                shutil.rmtree(run)
            print(f"{run}: {reason}{', removed' if remove else ''}")
    if not found:
        print("Every run is needed, or would be taken up again.")
    elif not remove:
        print("Nothing was removed: largestep clean --remove does so.")
