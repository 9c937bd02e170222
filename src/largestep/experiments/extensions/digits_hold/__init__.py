"""`digits-hold`: the step size that holds the loss, against a grid of step sizes, on digits."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="digits-hold",
    title="A step size that needs no tuning, in a deep network",
    shows="LossStabilization on digits, against a grid of step sizes, with and without batch norm.",
    setting="""
The residual network of digits, with batch norm and without normalisation, without momentum and
with 0.9, 40 epochs on 500 images. Step sizes of a grid, divided by 10 after half of training; with
momentum a tenth of them. LossStabilization has one setting for all. The grid's best is the step
size of lowest median test error among those at which no seed diverged or collapsed; it is chosen on
the seeds that are shown, in the grid's favour.
""",
    seconds=500,
    order=4,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
