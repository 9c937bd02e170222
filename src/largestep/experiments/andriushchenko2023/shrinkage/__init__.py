"""`shrinkage`: the noise shrinks coordinates, the more the larger δ; not so other noise."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="shrinkage",
    title="Noise that shrinks",
    shows="The SDE's noise shrinks the coordinates at a rate proportional to its strength δ.",
    setting="""
The constant-noise SDE on `diagonal`, η = 0.282, 2000 steps, with a quarter, a half, one and two
times the δ of SGD's plateau (0.0014: a mean squared residual of 0.11 over n = 80). A step
multiplies u_j² − v_j² by 1 − (η Σ_i c_i x_ij)², c_i the coefficients of the examples; where the
noise dominates them, ln|u_j² − v_j²| falls by η²δ Σ_i x_ij² a step on average. The rate is measured
over the steps from 100 to 500, as the median over coordinates, and compared with that.

The control is noise that is not multiplied by the gradients: isotropic, of the same total variance
at the start, added to GD.
""",
    seconds=10,
    order=15,
)
