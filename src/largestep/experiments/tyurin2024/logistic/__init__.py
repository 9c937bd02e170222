"""`logistic`: large steps turn logistic regression into the perceptron."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="logistic",
    title="From logistic regression to the perceptron",
    shows="Larger steps separate two classes in fewer iterations, while the loss gets larger.",
    setting="""
Scikit-learn's images of 3 and 8, divided by 16, with a column of ones: each seed draws 250 of the
357 to train on. Logistic regression by full-batch gradient descent from θ = 0, until no training
image is on the wrong side; the iterations are counted. After 10 000 it is given up: that is
recorded, and the iterations have no value. The perceptron is the batch one, gradient descent on
max(0, −yh) with the slope −y/2 at h = 0; from θ = 0 its step size does not matter. Normalised
gradient descent divides by Σ|ℓ'| in place of n. The peak loss is the largest after the first step.

The worst case is the paper's: one point (0.5, −1) of one class and 999 equal points (−0.5, −1) of
the other, at nine step sizes in place of seeds. Plain gradient descent is given up at the two
smallest of them.

Our own is the last panel: a diagonal linear network, 80 points in 200 dimensions, labels the signs
of a sparse predictor with ten coordinates, SGD with batch size 1 for 50 000 steps, divided by 10
after half, u0 = 0.1. A coordinate counts above 1 % of the largest: at small steps none of the 200
has fallen to a millionth of it. Eight runs of twenty diverge at η = 0.4, two at 0.5, three at
0.7: what is shown there is of the others. Seeds draw the data too.

Bounds were chosen on a pilot of three other seeds.
""",
    seconds=10,
    order=1,
    by_name=True,
    needs_torch=True,
)
