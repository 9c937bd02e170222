"""`gradient-regularization`: a penalty on the gradient's norm, by a second gradient near by."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="gradient-regularization",
    title="Can a penalty on the gradient stand in for large steps?",
    shows="A gradient taken uphill regularises more than one downhill; per example, not batch.",
    setting="""
Diagonal linear networks from u = 0.1, v = 0 on n = 50 points in 100 dimensions, the truth 1/√5 on
five coordinates; every seed has data of its own. The step is g + (γ/ε)(g(θ + εg) − g), of which
n-SAM and 1-SAM (Andriushchenko and Flammarion, 2022) are ε = γ.

Uncentred inputs, N(5, 25): full batch, η = 5e-4, 12 000 steps, γ = 0.005, ε/γ = -2, -1, 1, 2, 4, 8;
the control has a hundredth of γ. What counts is ‖β − β⋆‖².

Centred inputs, N(0, 1): full batch, η = 0.05, 12 000 steps, γ = 0.5, as Geiping et al. (2022) put
the penalty in the place of SGD's noise; and per example, SGD of batch size 1, η = 0.05, 60 000
steps, γ = 0.1, ε = -0.03, 0.1, 0.3, 1.

Saddles (Compagnoni et al., 2023): at θ = 0 full-batch SAM multiplies the direction of curvature λ
by 1 − ηλ(1 + ρλ), with λ = ±c_j, c = |Xᵀy|/n on a diagonal network. So the saddle attracts once
ρ > ρ⋆ = 1/min c_j. Five dimensions, coefficients of size 0.5 to 1.5, start of size 0.01, η = 0.01,
100 000 steps, at 0.95 and 1.05 ρ⋆.
""",
    seconds=20,
    order=1,
    by_name=True,
)
