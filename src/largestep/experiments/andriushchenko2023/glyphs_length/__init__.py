"""`glyphs-length`: the longer the large steps, the sparser and the better, seen in two minutes."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="glyphs-length",
    title="How long large steps last, on letters",
    shows="With the same late steps, more of large ones make a network sparser and better.",
    setting="""
TODO
""",
    seconds=120,
    order=10,
    seeds=5,
    needs_torch=True,
)
