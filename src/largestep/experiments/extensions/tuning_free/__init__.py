"""`tuning-free`: methods that need no tuning, against the best of a grid."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="tuning-free",
    title="Without tuning: a bake-off",
    shows="Methods with one configuration for all problems, against the best of a grid for each.",
    setting="""
Nine problems, each of some hundred steps: two layers of ReLUs, two convolutions without
normalisation, a residual network with batch norm, and the same with a fifth of the labels wrong, on
500 of scikit-learn's digits; ReLU regression with noisy targets; an autoencoder of digits; a GRU
that adds two marked numbers of eight; a transformer on text from a grammar, with ReLUs and with
GELUs. Data are the same for every seed. Errors: share of wrong labels; share of sums off by more
than 0.04; mean squared error, on clean targets; loss of the next character.

Every method has one configuration for all problems; other people's are their authors' defaults and
advice. CDAT's σ alone was chosen, among 0.5, 1 and 2, on a seed that is not shown. The grids are
AdamW at 3e-4, 1e-3, 3e-3, 1e-2, 3e-2 and SGD with momentum 0.9 at 0.01, 0.03, 0.1, 0.3, 1, held for
half of training and then falling to zero, as HoldEdge's are. Seed 900 chooses a step size for each
problem, and which grid is the best, and is not shown; the test data that choose are those that are
shown, in the grids' favour. HoldEdge at κ = 2 came in when the others' results had been seen, and
nothing is claimed of it.
""",
    seconds=2400,
    order=8,
    seeds=5,
    needs_torch=True,
    by_name=True,
    needs=("dog-optimizer", "momo-opt", "prodigyopt", "schedulefree"),
)
