"""`compaction`: how much smaller a network gets that computes the same, by step size and length."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="compaction",
    title="Smaller networks that compute the same",
    shows="What large steps leave over of a network can be taken out: how much, and at what cost.",
    setting="""
The residual network of `digits`, under small steps of 0.1, larger ones until a fraction of
training, as there, and LossStabilization. Every network is compacted in two ways: exactly (dead
channels and multiples of others go, tolerance 0), and closely (channels that correlate above 0.9
merge; outputs may differ by a tenth of the largest). The 500 training images calibrate, half of the
test images are held out to enforce the tolerance, and the other half, seen by nothing before, gives
test errors and differences. The step size 3, beyond those of `digits`, was added after it was seen
that whole channels hardly die below it.

Beside it magnitude pruning, by torch-pruning's group norms over the whole network, to as many
parameters at most. Both are fine-tuned for 5 epochs at a step size of
0.01. Latency is that of a batch of 500 on one thread, original and compacted in
turns, while other networks train. With --data the plain networks of resnet18 are compacted too, the
first 2000 training images calibrating; claims are on digits alone.
""",
    seconds=240,
    order=5,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
