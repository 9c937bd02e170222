"""`largestep doctor`: say what ails a training, from what its probe has recorded."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import app, piped, printable, stoppable

__all__ = ["doctor"]


@app.command()
@stoppable("The same command begins again.")
def doctor(
    probe: Annotated[Path, typer.Argument(help="The file that Probe.save wrote.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the page, the numbers and the figure.")
    ] = Path("doctor"),
) -> None:
    """Say what seems wrong with a training, by what its probe recorded: evidence, what to try.

    It needs no PyTorch.

    Example: `largestep doctor probe.nc`
    """
    from largestep import _files
    from largestep.diagnosis import diagnose, read
    from largestep.figures.probe import draw_probe
    from largestep.figures.style import write_figure
    from largestep.report.doctor import write_diagnosis

    dataset = read(probe)
    found = diagnose(dataset)
    _files.prepare_folder(out)
    with _files.exclusive(out):
        _files.write_json(out / "diagnosis.json", found.as_dict())
        write_figure(out / "figure", draw_probe(dataset))
        write_diagnosis(out / "diagnosis.html", found, probe.name, out / "figure.svg")
    with piped():
        print(printable(str(found)))
        print(f"\nThe page, the numbers and the figure are in {out}")
