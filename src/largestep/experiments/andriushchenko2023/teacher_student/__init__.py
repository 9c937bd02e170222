"""`teacher-student`: neurons move in the plane and find their teachers."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="teacher-student",
    title="Teacher and student",
    shows="With small steps neurons stay where they are; with large ones they find their teachers.",
    setting="""
Fifteen points on the unit circle, a teacher of three unit neurons with outputs ±1 (the paper's
own points and teacher), a student of 20 neurons without biases: input weights 0.5·N(0, 1), output
weights 0. SGD with batch size 1, 14 126 steps. Seeds draw the student and the order of the
examples.

At the paper's step size most initialisations diverge (first row). So the claims are checked on SGD
with a cap: an example's step size is min(η, 3 / (2‖∇h(x)‖²)), the same schedules otherwise (second
row). The rank is that of the Jacobian at 60 test inputs (tolerance 1e-4), the feature sparsity
coefficient is taken at the training points (correlation threshold 0.99). The plane shows the
input weights of one seed's neurons, from the hollow start to the filled end; the size of the end
is the neuron's mass.
""",
    seconds=15,
    order=5,
)
