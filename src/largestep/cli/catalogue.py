"""`largestep list`."""

from largestep.cli.app import PLAIN, app, piped

__all__ = ["list_experiments"]


@app.command(name="list")
def list_experiments() -> None:
    """List the experiments: what each shows and how long it takes.

    Example: `largestep list`
    """
    from rich.console import Console
    from rich.table import Table

    from largestep.experiments import catalogue

    table = Table(box=None, pad_edge=False)
    for column in ("experiment", "shows", "seeds", "2 cores"):
        table.add_column(column, no_wrap=column == "experiment")
    found = catalogue.find().values()
    for experiment in found:
        duration = f"{experiment.seconds:.0f} s" if experiment.seconds < 3600 else "hours"
        table.add_row(experiment.name, experiment.shows, str(experiment.seeds), duration)
    with piped():
        Console(**PLAIN).print(table)
        print(f"{', '.join(e.name for e in found if e.by_name)} run only when they are named.")
        for entry in catalogue.broken():
            print(f"{entry.name} is broken: {entry.reason}")
