"""`glyphs-length`: the longer the large steps, the sparser and the better, seen in two minutes."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="glyphs-length",
    title="How long large steps last, on letters",
    shows="With the same late steps, more of large ones make a network sparser and better.",
    setting="""
The residual network with batch norm of glyphs, plain, on the same 1500 letters, with the same step
sizes: large ones until 10 or 50 % of training, their late steps alone, and small ones. The late
step sizes are the same in all but the last. These runs are those of glyphs, which takes them up.
""",
    seconds=120,
    order=10,
    seeds=5,
    needs_torch=True,
)
