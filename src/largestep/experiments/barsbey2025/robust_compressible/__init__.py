"""`robust-compressible`: whether large steps learn what matters, and little else."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="robust-compressible",
    title="Robust and compressible",
    shows="Large steps leave a smaller, sparser network; what they do to a shortcut time does too.",
    setting="""
Images of two of scikit-learn's digits side by side. The left one is the label; its contrast is
halved and noise of a tenth of the range added. The right one is clear, and of the same class in
95 % of 800 training images: a shortcut. Where the two disagree is the minority. Digits in tests
were never seen in training; 700 images in which all agree, and 700 in which none do, half of each
held out for compaction, the other half for accuracy.

A network of 128 inputs, 100 ReLUs and 10 outputs, cross-entropy, SGD of batch size 32, 2000 steps
of 0.1, 0.25, 0.5 or 1, a tenth of that from half of training on; and 8000 of 0.25, as long in time
as those of 1. Beside it the same without a shortcut: the right digit is drawn at random. Each seed
draws digits, pairs, noise, network and order. A network whose outputs no longer depend on its
inputs has collapsed, and has no values.

The size is the share of parameters that `deep.compact` leaves, closely, as in `compaction`;
sparsity is that of the hidden layer on the training images. Contrast, noise and step sizes were
chosen on seeds 100 to 102, and so were the bounds: among three pairs of contrast and noise that
where without the shortcut nine images in ten are recognised; at a step size of 2 all collapse.
""",
    seconds=70,
    order=1,
    seeds=10,
    by_name=True,
    needs_torch=True,
)
