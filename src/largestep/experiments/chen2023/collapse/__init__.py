"""`collapse`: noise attracts to what it cannot leave, whether or not the loss is low there."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="collapse",
    title="Stochastic collapse",
    shows="Noise that vanishes on a simpler network attracts to it, though its loss be high.",
    setting="""
In one dimension: h = θ² with the single target 1, squared loss, SGD with label noise of deviation
σ, fresh at every step. At θ = 0 gradient and noise vanish, so that SGD never leaves it, though the
loss is at a local maximum. Each seed starts at another |θ|, from 0.001 to 1, the minimum; step
sizes from 0.01 to 0.3, ησ² from 0.25 to 4; training ends at time 2000, the sum of the step sizes.
A run has collapsed if |θ| is below 1e-30 then. One that has diverged has not. Step sizes and
strengths whose exponent Λ = E ln|1 + 2η(1 + σξ)| is less than η/5 from zero are left out of the
claims: there the time does not suffice to tell.

In networks: the twenty ReLUs, fifteen points and three teacher neurons of `teacher-student`, and a
problem with 100 points in ten dimensions and three teacher neurons. SGD of batch size 1 with label
noise σ = 0, 0.3 and 1 at step sizes 0.01, 0.03 and 0.1 (ten dimensions: 0.01 and 0.03) until time
3000. A neuron lives if |a|·‖w‖ exceeds a thousandth of the largest, and it is active at some input;
the distinct ones are what feature sparsity keeps of the living at a correlation of 0.99. Noise and
step sizes were chosen on a pilot of six seeds, which are among these twenty.
""",
    seconds=30,
    order=1,
    by_name=True,
)
