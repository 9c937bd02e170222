"""`glyphs`: the talk's claims about deep networks, on letters that are hard enough."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="glyphs",
    title="Residual and dense networks on letters",
    shows="On letters in noise, the longer large steps last, the sparser and the better a network.",
    setting="""
TODO
""",
    seconds=1500,
    order=10,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
