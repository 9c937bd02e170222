"""`kappa`: the one number of `deep.HoldEdge`, turned."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="kappa",
    title="One number to turn",
    shows="A larger curvature of the steps, held by HoldEdge, makes features sparser.",
    setting="""
An MLP, 64–200–200–10 with ReLU, on 500 of scikit-learn's digits, batches of 32, 40 epochs; 797 to
test on. HoldEdge steers AdamW, SGD and SGD with momentum 0.9 from tiny steps, all its settings at
their defaults but κ, in 0.25, 0.5, 1, 1.5, 2. Each seed draws the network and the order of the
examples. Sparsity is that of the last hidden layer on the training images. A run is ruined if it
errs on more than a tenth of its training images.

The control of what is said of errors and of ruin is the same optimizer at ten times the step size
that κ = 1 found, held for half of training and then taken to zero: what is said must not be true of
any step size.

The rule's settings and the bounds, four fifths of the sparsity, a point of error and nine runs in
ten, were chosen on seeds 100 to 102 of this network and of the residual network of digits without
normalisation.
""",
    seconds=240,
    order=6,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
