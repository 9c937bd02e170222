"""`resnet18`: the paper's deep experiment, ResNet-18 on CIFAR-10."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="resnet18",
    title="ResNet-18 on CIFAR-10",
    shows="The longer large steps last, the sparser a ResNet's features and the lower its error.",
    setting="""
ResNet-18 of width 64 with batch norm and the stem for small images, 100 epochs, batch size 256.
Plain: no momentum, weight decay or augmentation; large steps of 0.75·1.05^epoch until 10, 30 or
50 % of training, then a tenth of their last value, and a hundredth from 90 % on; small steps of
0.01. State of the art: momentum 0.9, weight decay 5e-4, random crops and flips; large steps of
0.05, small ones of 0.002. LossStabilization finds its own step sizes.

It needs the binary version of CIFAR-10 (--data) and a GPU. Every run is kept in the experiment's
folder and taken up after a kill. Feature sparsity is measured on 10 000 training images, each
channel at each position a unit, 1000 of them at random, duplicates at a correlation of 0.95.
""",
    seconds=36_000,
    order=11,
    seeds=3,
    needs_torch=True,
    by_name=True,
)
