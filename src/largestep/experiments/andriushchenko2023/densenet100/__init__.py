"""`densenet100`: the paper's DenseNets on CIFAR-10, CIFAR-100 and Tiny ImageNet."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="densenet100",
    title="DenseNet-100 on CIFAR-10, CIFAR-100 and Tiny ImageNet",
    shows="The same for densely connected networks, on harder data too.",
    setting="""
DenseNet-100 with growth 12, without bottlenecks or compression, on CIFAR-10, CIFAR-100 and Tiny
ImageNet, whose validation images are the test set. All else is as in resnet18. The features of a
stage are all its channels, after the normalisation and the ReLU that follow it.
""",
    seconds=360_000,
    order=12,
    seeds=3,
    needs_torch=True,
    by_name=True,
)
