"""`opposing-signals`: a few examples that pull against each other carry the instability."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="opposing-signals",
    title="Outliers with opposing signals",
    shows="A few examples with a large coordinate that says nothing carry the instability.",
    setting="""
200 rows, x ~ N(0, I) in 20 dimensions, y = tanh(2w·x) with w = 1/√3 on three coordinates. A 21st
coordinate is 6 and −6 alternately on a tenth of the rows, the outliers, and 0 on the rest; it has
nothing to do with y. A two-layer ReLU network (21, 20) without biases, 0.1·N(0, 1); full-batch
gradient descent on the mean of r², 1500 steps, η = 0.2 and 0.25. Each seed draws data and network.
The control is the same data and network with that coordinate zero.

Losses of examples are compared over the second half of the steps, from step to step: before it,
all fall together. The largest movers are the twenty examples whose losses change most on average;
chance is a tenth. λ is the largest eigenvalue of (2/n) Σ ∇h_i∇h_iᵀ.

The paper's examples share a feature and disagree about it. So do these: what moves the predictions
of one side up moves the other's down, and a loss r² changes by 2rΔh + Δh². Pairs whose residuals
disagree about the direction move against each other, within a side as often as across. These
pairs are counted. Grouped by side, as they were first, the mean losses have a correlation of
either sign, that of the residuals' means: it is shown, but not what the paper means. At η = 0.25
the swings become larger than the residuals; then Δh² counts, which raises all losses together.

The bounds, 1/2 of the movers, 0.9 to 1.1 of the edge and 1/5 of the pairs, were chosen on pilots
of seven seeds, of which four are among these twenty.
""",
    seconds=12,
    order=1,
    by_name=True,
)
