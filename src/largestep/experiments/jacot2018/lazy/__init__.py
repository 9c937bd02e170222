"""`lazy`: does the tangent kernel move? Over widths and step sizes."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="lazy",
    title="Lazy below the edge, not above it",
    shows="Small steps move the tangent kernel ever less with width; beyond 2/λ it moves at any.",
    setting="""
Thirty points on the sphere of radius √10 in ten dimensions, y = tanh(w·x/√10) less its mean, the
loss r²/2. A two-layer ReLU network without biases, of 16, 64, 256 and 1024 neurons; full-batch
gradient descent with the step size κ/λ, λ the largest eigenvalue of (1/n) Σ ∇h_i∇h_iᵀ at the
start: at κ = 2 the dynamics linearised there stops being stable. 600/κ steps. Each seed draws the
data and the network. The kernel's distance is 1 − ⟨K, K₀⟩/(‖K‖‖K₀‖) at the training points; an
exponent is the slope of its logarithm over that of the width, by least squares.

The claims are on the papers' parameterisation: weights N(0, 1), every layer's output divided by
the root of its inputs. For ReLU that is the same as both layers N(0, 1/√(10m)), up to a factor of
the step size. There theory lets the kernel's entries move by O(1/√m), the distance by O(1/m). In
the usual parameterisation, N(0, 1/10) and N(0, 1/m), the kernel moves still less, for another
reason: the features of the random input layer make up nearly all of it, and the weights that make
them move by O(m^-1.5). It is shown apart, dashed.

The first paper takes the limit of small steps, the second large ones: its ReLU networks bear κ up
to about 12; this one, as a linear one, about 4. Bounds were chosen on a pilot of six seeds, of
which three are among these twenty.
""",
    seconds=25,
    order=1,
    by_name=True,
)
