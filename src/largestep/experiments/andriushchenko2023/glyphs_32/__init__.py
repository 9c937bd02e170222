"""`glyphs-32`: the paper's networks and settings on letters, in place of photographs."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="glyphs-32",
    title="ResNet-18 and DenseNet-100 on letters",
    shows="The paper's deep networks at the paper's settings, on data that need no download.",
    setting="""
ResNet-18 and DenseNet-100 as in resnet18 and densenet100, with the same step sizes, batch size and
epochs, plain and state of the art, on 50 000 letters and signs of 60 classes, 32 × 32 in colour, in
two distractors and noise of 0.2 (`deep.data.load`), and 10 000 others for the test. In place of
crops and flips there are crops alone, as a flip makes another letter.

It needs a GPU. Every run is kept in the experiment's folder and taken up after a kill.
""",
    seconds=150_000,
    order=13,
    seeds=3,
    needs_torch=True,
    by_name=True,
)
