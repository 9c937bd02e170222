"""`columns`: how the rank of the Jacobian falls, by columns that die or that become dependent."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="columns",
    title="Dead or dependent columns",
    shows="The rank falls in two ways: columns of the Jacobian die, and others become dependent.",
    setting="""
The Jacobian at as many test inputs as there are parameters (on `diagonal` its core, with one column
for each coordinate; 300 inputs on `regression-1d`) at the end of training, under the small step and
under the schedule with the longest large-step phase, each example's step capped. Its rank counts
singular values above 1e-4 of the largest. A column is dead when its norm is below that, too;
dependent columns are those alive less the rank. So the rank that large steps lack against the small
step on the same seed is the sum of the columns that they have more of, dead and dependent.
""",
    seconds=10,
    order=16,
)
