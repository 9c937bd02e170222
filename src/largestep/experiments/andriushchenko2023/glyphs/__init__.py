"""`glyphs`: the talk's claims about deep networks, on letters that are hard enough."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="glyphs",
    title="Residual and dense networks on letters",
    shows="On letters in noise, longer large steps make a batch-normed network sparser and better.",
    setting="""
Three small networks on 1500 letters of 20 classes, 16 × 16, in two distractors and noise
(`deep.data.load("glyphs")`), 1000 others for the test: a residual network with three stages of one
block, of 8, 16 and 32 channels, with batch norm; the same without norm; and a dense network of
three stages of three layers, growth 6. Batch size 32, 20 epochs. Without norm no step size got away
from the start on these data within the budget; so that network has easier ones, dark letters
without distractors, noise of 0.1 and less distortion.

Plain: no momentum, weight decay or augmentation. With batch norm the large steps grow as the
paper's do, from 1 by a factor of 16 in the course of training, that is to 1.3, 2.3 or 4, until 10,
30 or 50 % of training; without norm they are 0.3. **All have the same late step sizes**, 0.2 and
from 90 % on 0.02 (without norm 0.03 and 0.003), and these are run alone too, as a control; the
paper's late steps are larger after longer phases. Small steps of 0.1 (0.03) throughout. State of
the art: momentum 0.9, weight decay 5e-4, random crops of two pixels, without flips, as they make
other letters; large steps of 0.1 and small ones of 0.01 (0.03 and 0.003), taken from those of the
plain setting and not tried before. LossStabilization finds its own.

How this was chosen, on seed 100, which is none of those shown, but on the same letters, those of
data seed 0. At noise 0.1, one distractor and a constant step of 2 the loss fell through the phase
by a factor of 20, and at noise 0.2 with two by 4; at a constant step of 4 it hardly fell, but the
network ended worse. Steps that grow from 1 to 4 gave both, the flatter loss and the lower error,
and were taken; from 2 to 8 the loss would not fall at all. The bound of the claim that the loss
stabilises was set after that. It does not tell large steps from small ones, whose loss falls as
little at that time: at this budget it is seen that the loss drops when the step size does, not that
it would have stayed for ever. Without norm six runs with other letters and step sizes came before.

Losses and sparsity are measured on 500 of the training images, at most 300 units of a stage. Every
seed is another initialisation and order of the examples; the letters stay.
""",
    seconds=1500,
    order=10,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
