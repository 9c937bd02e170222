"""`largestep sweep`."""

from pathlib import Path
from typing import Annotated

import typer

from largestep.cli.app import Out, Scheduler, Threads, Workers, app, place, stoppable

__all__ = ["sweep"]


@app.command()
@stoppable("The same command takes up what is finished.")
def sweep(
    experiment: Annotated[str, typer.Argument(help="Whose network and problem to sweep.")],
    x: Annotated[str, typer.Option(help="Horizontal axis: name=start:stop:count.")],
    y: Annotated[str, typer.Option(help="Vertical axis: name=start:stop:count.")],
    over: Annotated[
        list[str] | None, typer.Option(help="One more axis, a figure for each of its values.")
    ] = None,
    refine: Annotated[
        int, typer.Option(min=0, help="Halvings of a coarse grid, along boundaries only.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: 0, 1, …, N−1.")] = 20,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each trajectory.")] = 20_001,
    cap: Annotated[float | None, typer.Option(help="Cap on an example's step; none.")] = None,
    step_size: Annotated[float, typer.Option(help="Where it isn't an axis.")] = 0.25,
    decay_at: Annotated[float, typer.Option(help="Where it isn't an axis.")] = 0.5,
    factor: Annotated[float, typer.Option(help="Of the decay, where it isn't an axis.")] = 2.0,
    out: Out = Path("sweep"),
    threads: Threads = None,
    scheduler: Scheduler = None,
    workers: Workers = None,
) -> None:
    """Draw a phase diagram over settings of the network, the problem, the dynamics or the schedule.

    A setting is a number that one of them is made of, such as step_size, decay_at, cap or u0; a
    wrong name lists them all. What is finished is saved; stopped, the same command takes it up.

    Examples
    --------
    `largestep sweep diagonal --x step_size=0.05:0.4:40 --y decay_at=0:0.9:19`

    `largestep sweep diagonal --x step_size=0.05:0.4:65 --y noise=0:1:65 --refine 4 --workers 8`
    """
    from dataclasses import replace

    from largestep import _files, provenance, store
    from largestep import dynamics as dyn
    from largestep.dynamics import sweep as sweeps
    from largestep.dynamics.table import IN_MEMORY
    from largestep.experiments import catalogue
    from largestep.figures.style import write_figure
    from largestep.figures.sweep import draw_planes
    from largestep.measures import jacobian_rank, test_loss

    swept = {e.name: e for e in catalogue.find().values() if e.swept}
    if experiment not in swept:
        raise ValueError(f"a sweep must be of {', '.join(swept)}, got {experiment!r}")
    setting = swept[experiment].its_setting()
    more = {name: values for text in over or [] for name, values in sweeps.axis(text).items()}
    if len(more) < len(over or []):
        raise ValueError("--over must name different settings")
    axes = {"x": sweeps.axis(x), "y": sweeps.axis(y), "over": more}
    varied = {name for axis in axes.values() for name in axis}
    fixed = {"step_size": step_size, "decay_at": decay_at, "factor": factor}
    ends = 10**9  # so large an `every` leaves the first record and the last
    with _files.exclusive(_files.prepare_folder(out)):
        with place(scheduler, workers, threads) as executor:
            dataset = sweeps.sweep(
                setting.network,
                setting.make_problem or setting.problem,
                **axes,
                steps=steps,
                seeds=range(seeds),
                measure=(
                    "train_loss",
                    replace(test_loss(), every=ends),
                    replace(setting.sparsity, every=ends),
                    jacobian_rank(1e-4, every=ends),
                ),
                fixed={name: value for name, value in fixed.items() if name not in varied},
                dynamics=dyn.SGD(cap=cap),
                refine=refine,
                out=out,
                threads=threads,
                executor=executor,
                progress=f"sweep of {experiment}, trajectories",
            )
        if dataset.nbytes <= IN_MEMORY:
            config = {"experiment": experiment, "seeds": seeds, "x": x, "y": y, "over": over or []}
            code = provenance.closure(("largestep.dynamics.grid", "ends"))
            config |= {"steps": steps, "code": code.digest, "versions": dict(code.versions)}
            store.save(out / "results.nc", store.Results.from_dict({"sweep": dataset}), config)
        for name, figure in draw_planes(dataset, zero_loss=setting.problem.zero_loss):
            write_figure(out / name, figure)
            print(f"The figure is {out / name}.png")
