"""The command line: thin, and quick to start."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Large step sizes, loss stabilisation and sparse features.",
)

Out = Annotated[Path, typer.Option(help="Folder for results, figures and the page.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Trajectories run at once; all cores by default.")
]


@app.command(name="list")
def list_experiments() -> None:
    """List the experiments: what each shows and how long it takes.

    Example: `largestep list`
    """
    from rich.console import Console
    from rich.table import Table

    from largestep import experiments

    table = Table(box=None, pad_edge=False)
    for column in ("experiment", "shows", "20 seeds, 2 cores"):
        table.add_column(column, no_wrap=column == "experiment")
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        table.add_row(name, experiment.shows, f"{experiment.seconds:.0f} s")
    Console().print(table)


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPERIMENT]...", help="All of them when none is named."),
    ] = None,
    out: Out = Path("results"),
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: 0, 1, …, N−1.")] = 20,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the steps: the look, not the setting.")
    ] = False,
    threads: Threads = None,
    only_figures: Annotated[
        bool, typer.Option("--only-figures", help="Redraw stored results; compute nothing.")
    ] = False,
) -> None:
    """Reproduce the paper's figures and check its claims over seeds.

    Finished experiments are taken up when nothing that decides their numbers has changed.

    Examples
    --------
    `largestep reproduce`

    `largestep reproduce diagonal --seeds 50 --out figures`
    """
    from largestep import experiments
    from largestep.experiments import Budget
    from largestep.reproduction import reproduce as run

    budget = Budget(list(range(seeds)), quick=quick, threads=threads, progress=True)
    try:
        page = run(names or experiments.NAMES, out, budget, only_figures=only_figures)
    except KeyboardInterrupt:
        print("Stopped. The same command takes up what is finished.", file=sys.stderr)
        raise typer.Exit(130) from None
    print(f"The page is {page}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that `largestep reproduce` filled.")],
) -> None:
    """Write the page of a folder of results again.

    Example: `largestep report results`
    """
    from largestep.reproduction import report as write

    print(f"The page is {write(folder)}")


def main() -> None:
    """Run the command line; an error that the user can mend is one line and exit status 1."""
    try:
        app()
    except (OSError, TypeError, ValueError) as error:
        print(f"largestep: {error}", file=sys.stderr)
        sys.exit(1)
