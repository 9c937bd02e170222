"""`subspace`: the gradient lives in a few directions, and learning happens outside them."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="subspace",
    title="A tiny subspace, and learning outside it",
    shows="Large steps of SGD confine its gradient to a few directions, and it learns elsewhere.",
    setting="""
A network of 64 inputs, 32 ReLUs and 10 outputs, 2410 parameters, cross-entropy, on 400 of
scikit-learn's digits; each seed draws images, network and order. SGD of batch size 32 takes 200
steps of 0.5 or of 0.05, or 2000 of 0.05, as long in time as the large ones; GD takes 200 of 0.5.
The dominant directions are the C − 1 eigenvectors of the training loss's Hessian with the largest
eigenvalues, C the number of classes: the gap is after C − 1. Whether the full gradient lies in
their span is measured nine times in the course of each run. With three classes the first three
digits are told apart.

Then from step 100 at 0.5 a hundred steps follow in which every batch's gradient is projected on the
span of the ten dominant directions, or on the bulk, all others; the directions are computed anew
every five steps. Losses at single steps swing with the steps across the valley. So the floor is
taken too, the loss after 20 full-batch steps of 1/λ₁ in the ten directions alone: it is what is
left without these swings.

The largest eigenvalue of batches' Hessians is that of ten batches of each size, after 200 steps of
0.5 on 1024 images.

Settings are the pilot's; the run of 2000 steps, GD, and the floor, were added on seeds 100 to 103,
on which the bounds were chosen.
""",
    seconds=45,
    order=1,
    by_name=True,
    needs_torch=True,
)
