"""`largestep reproduce`."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import Out, Scheduler, Threads, Workers, app, place, stoppable

__all__ = ["reproduce"]


@app.command()
@stoppable("The same command takes up what is finished.")
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT]...", help="By default those that need no data and little time."
        ),
    ] = None,
    out: Out = Path("results"),
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Seeds 0, 1, …, N−1; by default 20, of deep networks 5."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the steps: the look, not the setting.")
    ] = False,
    threads: Threads = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data sets of resnet18 and densenet100.")
    ] = None,
    only_figures: Annotated[
        bool, typer.Option("--only-figures", help="Redraw stored results; compute nothing.")
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm", help="Check the frozen claims on fresh seeds, 1000, 1001, …, too."
        ),
    ] = False,
) -> None:
    """Reproduce the paper's figures and check its claims over seeds.

    Finished experiments are taken up when nothing that decides their numbers has changed.

    Examples
    --------
    `largestep reproduce`

    `largestep reproduce diagonal --seeds 50 --out figures`
    """
    from largestep.reproduction import reproduce as run

    with place(scheduler, workers, threads) as executor:
        page = run(
            names or [],
            out,
            seeds=seeds,
            quick=quick,
            threads=threads,
            executor=executor,
            data=data,
            progress=True,
            only_figures=only_figures,
            confirm=confirm,
        )
    print(f"The page is {page}")
