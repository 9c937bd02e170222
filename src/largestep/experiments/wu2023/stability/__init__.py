"""`stability`: which minima SGD can stay at, and what that does to them."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="stability",
    title="Which minima can SGD stay at?",
    shows="SGD stays only where η·tr(H)/2 is at most 1, which large steps turn into small norms.",
    setting="""
A diagonal linear network of 300 coordinates on n = 100 points, x uniform in [-1, 1], truth
(1, 1, 1, 0, …), all 600 parameters N(0, 1) at the start. SGD of batch size 1 with a cap of 4 takes
200 001 steps at η = 0.001, 0.01, 0.02, 0.05, GD 4 001 steps at 0.01, 0.1, 0.5. Without the cap six
in ten runs diverge at 0.02, all at 0.05.

The critical step size of a minimum is that at which the second moment of the linearised SGD starts
to grow: exactly, from its map, at the minima that SGD found at η = 0.05; and simulated, by the
linearised SGD itself (a linear network on the Jacobian's rows), as the step size at which the norm
of the typical trajectory starts to grow. That is later: growth in mean square needs rare bursts
only. Beside both the trace bound, η/2·(tr H/B + (1 − 1/B)‖H‖²/tr H) ≤ 1, and GD's, η·λ_max/2 ≤ 1.

The same bounds on the data of `diagonal`: SGD (cap 4) at 0.02 and 0.26, GD at 0.2 and 2.5, 20 001
steps without decay.
""",
    seconds=20,
    order=1,
    by_name=True,
)
