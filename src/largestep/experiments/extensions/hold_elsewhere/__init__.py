"""`hold-elsewhere`: HoldLoss on problems that it was not chosen on, with and without noise."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="hold-elsewhere",
    title="Holding the loss on problems that it was not chosen on",
    shows="HoldLoss beats a grid of step sizes on most problems, but not with noisy targets.",
    setting="""
Sparse regression of three sizes, (n, d, non-zeros) = (50, 120, 5), (90, 300, 12), (120, 250, 15),
on data seeds 31, 32 and 33, of which none was looked at while HoldLoss was made: 50 001 steps;
every seed is an order of the examples. Against it a grid of seven step sizes, 0.05, 0.1, …, 0.35,
capped at 3 as HoldLoss is and halved after half of the steps, as it does. The best of the grid is
the step size of lowest median test loss, chosen on the seeds that are shown: in the grid's favour.

The first two sizes also with normal noise on the training targets, σ = 0.05 and 0.2. HoldLoss's
target, 2 % of the zero predictor's loss, then lies below the noise, or near it, and it fits the
noise. A rule that mends most of it, for those who know σ: as the target, the square root of the
noise's share of the zero predictor's loss, where that is more than 2 %. (That is the geometric mean
of noise and zero loss. It was found on data seeds 21 and 22, of which one has another size.)
""",
    seconds=20,
    order=2,
)
