"""`survival`: how many runs are still there at the end, over as many seeds as decide it."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="survival",
    title="Survival",
    shows="The plateau of the paper's step sizes does not last; a cap on each step makes it last.",
    setting="""
The paper's schedules with the longest large-step phase on `diagonal`, `regression-1d`,
`teacher-student`, `three-layer` and `surface`, and SGD's two of `diagonal-gd`: as they are, with
step sizes a quarter larger, and, on the first four, with a cap (4 for the diagonal network, 3 for
the others); beside them HoldLoss, with and without its cap. A run has diverged when a residual
exceeds 1e6; on `diagonal` the paper's own schedule is followed to the decay only, at half of the
steps. Every seed is another order of the examples, and another initialisation where there is one.

A share of seeds needs many of them: twenty that all survive leave open whether nine in ten would
(the exact interval reaches down to 0.83), thirty-six decide it. A hundred are run; those that
diverge cost little.
""",
    seconds=15,
    order=13,
    seeds=100,
)
