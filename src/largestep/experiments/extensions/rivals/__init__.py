"""`rivals`: is stochasticity necessary? Other ways to sparse features, at an equal budget."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="rivals",
    title="Rivals",
    shows="Label noise on SGD gets nearly as sparse as large steps; full-batch rivals do less.",
    setting="""
Every rival has the same budget of per-example gradients (240 000 on diagonal, 60 000 on
teacher-student): a step of GD costs n, of SAM twice and of the Jacobian penalty three times its
batch. Each is shown at its best setting on a grid, the one of lowest median test loss among those
that the most seeds survive: even seeds choose, odd ones are shown. On diagonal, GD without label
noise is deterministic from the paper's start: its seeds are one trajectory.

Grids, diagonal: step sizes 0.1, 0.2 (small), 0.26, 0.282, 0.3 (large), 1, 2, 2.5, 3 (full batch);
label noise σ 0.1, 0.3, 1, 3; SAM's ρ 0.01, 0.03, 0.1; penalty 1e-4, 1e-3, 1e-2, 1e-1.
Teacher-student: 0.05, 0.13; 0.3, 0.455, 0.5; 0.3, 0.6, 1, 1.5; σ 0.03, 0.1, 0.3, 1; ρ as before;
penalty 1e-3, 1e-2, 1e-1. Momentum 0.9 takes a tenth of the step sizes; label noise, SAM and the
penalty take the small ones, or the two smallest of the full batch. All but small-step SGD divide
the step size by 4, and switch label noise off, after half of the steps. SGD with large steps,
momentum, label noise or SAM is capped (4; 3 for the ReLU network).
""",
    seconds=60,
    order=3,
)
