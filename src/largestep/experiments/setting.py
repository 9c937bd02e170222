"""A problem, a network, schedules and steps that belong together, for all who use them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from largestep.dynamics.sgd import SGD
from largestep.dynamics.simulation import simulate
from largestep.experiments.budget import Budget
from largestep.measures import Measure
from largestep.networks import Network
from largestep.problems import Problem
from largestep.schedules import Schedule
from largestep.store import Results

__all__ = ["Setting", "capped_and_not"]


@dataclass(frozen=True)
class Setting:
    """What a paper trains.

    Attributes
    ----------
    network, problem : what is trained, on what.
    schedules : the paper's step sizes by label.
    longest : the label of the schedule with the longest large-step phase.
    steps : of a trajectory.
    cap : of each example's step, at which no run diverges.
    sparsity : the measure of sparsity that suits the network.
    make_problem : makes the problem, and others of its kind of other numbers.
    """

    network: Network
    problem: Problem
    schedules: Mapping[str, Schedule]
    longest: str
    steps: int
    cap: float
    sparsity: Measure
    make_problem: Callable[..., Problem] | None = None

    @property
    def schedule(self) -> Schedule:
        """The schedule with the longest large-step phase."""
        return self.schedules[self.longest]


def capped_and_not(
    budget: Budget, name: str, setting: Setting, *, measure: Sequence[str | Measure]
) -> Results:
    """Return the trajectories of SGD, as in the paper ("sgd") and with the cap ("capped")."""
    return Results.from_dict(
        {
            run: simulate(
                setting.network,
                setting.problem,
                dynamics,
                setting.schedules,
                steps=budget.steps(setting.steps),
                seeds=budget.seeds,
                measure=measure,
                threads=budget.threads,
                executor=budget.executor,
                progress=budget.described(f"{name}, {run}"),
            )
            for run, dynamics in (("sgd", SGD()), ("capped", SGD(cap=setting.cap)))
        }
    )
