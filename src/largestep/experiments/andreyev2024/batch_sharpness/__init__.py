"""`batch-sharpness`: what settles at the edge where batches are small."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="batch-sharpness",
    title="Which sharpness does SGD hold at the edge?",
    shows="SGD holds its exact threshold; its batches' sharpness is near it, λ_max far below.",
    setting="""
64 points, N(0, I) in five dimensions, with labels ±1 that mean nothing, so that the curvature has
to grow while they are learned; a ReLU network with two hidden layers of 20 units, as PyTorch starts
it, the loss r²/2. SGD of batch size 1, 4 and 16, and GD, 8 001 steps at η = 0.05 and at 0.005. A
seed draws data, start and order.

The batch sharpness is the mean over batches of gᵀH_B g/‖g‖², g the batch's gradient and H_B the
Hessian of its loss; of B = 1 over all examples, of B = 4 and 16 over the same 30 batches every
time, of GD over the one there is. The largest eigenvalue is that of the Gauss–Newton matrix, the
Hessian's where all is fitted. Both are averaged over eight times of the second half of training and
shown as ηλ/2: 1 is the edge. They settle there where that lies between 0.75 and 1.25.

The exact threshold is that of the linearised SGD at the last step, as in `stability`, of B = 4. It
takes a minimum that fits: where the training loss is above 0.001, as it is along SGD of batch size
1, it has no value. Setting and bounds were chosen on seeds 100 to 103.
""",
    seconds=60,
    order=1,
    by_name=True,
)
