"""`diagonal-gd`: is stochasticity needed? Full-batch gradient descent on diagonal networks."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="diagonal-gd",
    title="Is stochasticity needed?",
    shows="Large steps of full-batch GD stabilise and grow sparse too, but do not generalise.",
    setting="""
As `diagonal` with n = 40, d = 100. GD is deterministic: the seeds start from the paper's
initialisation with a relative perturbation of 1e-6, so that what differs between them is chaos.
The paper shows SGD at 0.272 divided by 20 at 50 % beside GD; on these data nine in ten orders of
the examples diverge there. 0.26 is the largest step size of the grid 0.20, 0.22, 0.23, 0.24, 0.25,
0.255, 0.26, 0.265, 0.272 at which nine in ten of 40 orders survive.
""",
    seconds=12,
    order=3,
)
