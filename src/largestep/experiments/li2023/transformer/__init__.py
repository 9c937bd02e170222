"""`transformer`: large steps make a transformer's neurons lazy."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="transformer",
    title="Lazy neurons",
    shows="The larger AdamW's steps, the fewer of a transformer's units are active.",
    setting="""
A decoder of two blocks, width 64, four heads and ReLU units, which predicts the next character of
a text written by a grammar (`deep.data.load("text")`): 102 400 characters in 3200 sequences of 32,
and 8192 others for validation. AdamW with PyTorch's other defaults, 16 sequences a step, 400 steps,
two passes. Every step size, of a grid or found by HoldEdge for a κ, is held for half of training
and then falls linearly to zero. The weights' exponential mean, with a decay of 0.98 a step, is
evaluated too.

The share of active units is that of the units of the blocks' MLPs, over 256 tokens of the training
text drawn at random, averaged over the two blocks: a unit is the same one at every position, so a
token is a row. The paper watches this share in trained transformers of any size; that it falls with
the step size is the paper on large steps' claim, and ours for κ. The best step size of the grid is
that of the lowest median validation loss, on the seeds that are shown, in the grid's favour.

Every seed is another initialisation and order of the sequences; the text stays. The bounds were set
before any of this was run, after a pilot on another text (1500 steps, one or two seeds), where the
share fell from 0.40 at 3e-4 to 0.11 at 3e-3, and from 0.15 at κ = 0.5 to 0.05 at κ = 2.
""",
    seconds=400,
    order=1,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
