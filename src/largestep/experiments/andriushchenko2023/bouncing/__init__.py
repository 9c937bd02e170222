"""`bouncing`: SGD bounces in some directions, drifts slowly in others; and what its noise is."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="bouncing",
    title="Bouncing fast, drifting slowly",
    shows="SGD bounces; beneath, what gradient flow conserves falls. Its noise goes with the loss.",
    setting="""
As `diagonal`, with each example's step capped at 4, so that no seed is lost: the small step, and
the schedule with the longest large-step phase.

Slow is what gradient flow doesn't move at all. First, the imbalance Σ_j |u_j² − v_j²|, which it
conserves and every step on one example multiplies, term by term, by 1 − (η r x_j)². Second, the
directions orthogonal to all training gradients, along which the loss is flat to first order; the
span of these gradients, at 2 % of the steps, is fast. A path's way from 1 % to 2 % of the steps,
while the coordinates die, is compared with that from 2 % to 3 %: within the slow and within the
fast directions their cosine tells a drift (1) from a random walk (0) and from bouncing in place
(−1/2). Other windows, of 0.2 % to 50 %, gave the same.

The noise of SGD is the trace of the covariance of an example's gradient. As a control, SGD at the
small step with label noise of standard deviation 0.1, whose noise does not vanish with the loss.
""",
    seconds=15,
    order=14,
)
