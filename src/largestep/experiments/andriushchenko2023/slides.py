"""The talk, slide by slide: what it says, the paper's number, and the claim that checks it."""

from largestep.experiments.experiment import Slide

__all__ = ["SLIDES"]

_STABILISES = "The training loss stabilises at {}: it stays, ten times above the small step's."
_LENGTH = "The longer the large-step phase, the lower the final {}: 50% against 30%."

SLIDES = (
    Slide(
        "On one parameter SGD converges, stabilises or diverges, by its step size",
        "proved; no number",
        "one-dimension",
        "Converge, stabilise, diverge: where theory says, for x constant.",
    ),
    Slide(
        "With large steps the training loss stays on a level set",
        "drawn, one run",
        "diagonal",
        _STABILISES.format("η = 0.282"),
        "The training loss stabilises at",
    ),
    Slide(
        "… and falls when the step size decays",
        "8·10⁻⁵ at the end, one run",
        "diagonal",
        "The training loss drops when the step size decays.",
        "The training loss drops when",
    ),
    Slide(
        "SGD bounces from side to side of a valley that gradient flow falls into",
        "drawn, one run",
        "surface",
        "On the surface SGD bounces from side to side of the valley.",
    ),
    Slide(
        "The noise of SGD is proportional to the loss",
        "derived",
        "bouncing",
        "The noise of SGD is proportional to the loss.",
    ),
    Slide(
        "On the plateau an SDE of constant noise behaves as SGD does",
        "drawn, one run",
        "sde",
        "On the plateau the SDE's sparsity and rank agree with SGD's within a quarter "
        "(diagonal, data 0).",
        "On the plateau the SDE's",
    ),
    Slide(
        "That noise shrinks coordinates, the more the stronger it is",
        "derived for one coordinate",
        "shrinkage",
        "The strength of the shrinkage is proportional to δ.",
    ),
    Slide(
        "So the predictor becomes sparse: columns of the Jacobian die",
        "rank 200 → 63",
        "diagonal",
        "Large steps end at less than half of the small step's rank.",
    ),
    Slide(
        "… and it generalises",
        "test loss 3.5·10⁻³ → 1.9·10⁻⁴",
        "diagonal",
        "Large steps end at less than a tenth of the small step's test loss.",
    ),
    Slide(
        "The longer the large-step phase, the lower the rank",
        "66 (30 %) → 63 (50 %)",
        "diagonal",
        _LENGTH.format("rank"),
        "The longer the large-step phase, the lower the final",
    ),
    Slide(
        "It needs no stochasticity, but then it does not generalise",
        "GD: test loss 0.168 → 0.458",
        "diagonal-gd",
        "Large steps of GD do not generalise: the test loss is higher than after small.",
    ),
    Slide(
        "It is no help where the truth is dense",
        "no number",
        "diagonal-dense",
        "With a dense truth large steps do not improve the test loss: they raise it.",
    ),
    Slide(
        "A ReLU network fits points by few kinks",
        "rank 85 → 21",
        "regression-1d",
        "The long phase ends at less than half of the short one's rank.",
    ),
    Slide(
        "Its neurons find their teachers",
        "drawn (section 4.1)",
        "teacher-student",
        "With large steps neurons align with the teacher's.",
    ),
    Slide(
        "Its features become sparse",
        "0.263 → 0.060",
        "teacher-student",
        "Large steps end at less than half of the small step's feature sparsity.",
    ),
    Slide(
        "So do those of a deeper network",
        "last layer 0.47 → 0.23",
        "three-layer",
        "Large steps make the last layer's features sparser.",
    ),
    Slide(
        "Only large steps do it",
        "two step sizes compared",
        "step-sizes",
        "Just above the threshold features are less than half as dense (diagonal).",
        "Just above the threshold",
    ),
    Slide(
        "So do those of a residual network, on digits (the talk: on CIFAR-10)",
        "drawn",
        "digits",
        "Large steps end at less than two thirds of small steps' feature sparsity of the last "
        "stage.",
    ),
    Slide(
        "ResNet-18 on CIFAR-10 errs less, the longer its large steps last",
        "test error 14.3 % → 5.6 %",
        "resnet18",
        "On cifar10, sota: Large steps end at a lower test error than small ones.",
    ),
    Slide(
        "DenseNet-100 on three data sets: sparser features",
        "drawn",
        "densenet100",
        "On cifar10, plain: Large steps end at less than two thirds of small steps' feature "
        "sparsity of the last stage.",
    ),
)
