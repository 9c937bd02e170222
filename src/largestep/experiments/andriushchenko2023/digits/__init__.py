"""`digits`: large steps in a deep network that trains anywhere."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="digits",
    title="A residual network on digits",
    shows="A deep network's last features grow half as dense under large steps, at no cost.",
    setting="""
A residual network with three stages of one block, of 16, 32 and 64 channels, batch norm and a
global average, on 500 of scikit-learn's 8 × 8 digits; 797 others are the test set. Batch size 32,
40 epochs, no momentum, weight decay or augmentation. Small steps of 0.1 throughout; large ones of 2
until 10, 30 or 50 % of training, then a tenth of it, and a hundredth from 90 % on;
LossStabilization finds its own. The step size 2 is the largest of 0.1, 0.5, 1, 2 and 4 at which the
network did not collapse when these were tried before, on a network of the same kind.

Feature sparsity is measured after every stage on the training images, each channel at each position
a unit, 1000 of them at random, duplicates at a correlation of 0.95. Every seed is another
initialisation and order of the examples. A run whose outputs no longer depend on the input has
collapsed, and counts as diverged.

This is the quick look. Digits are so easy that any network fits them within a few epochs: so the
loss cannot stabilise, the length of the phase changes nothing, and half a point of error is four
images. What length does is seen in glyphs-length and glyphs.
""",
    seconds=150,
    order=10,
    seeds=5,
    needs_torch=True,
)
