"""One run of `tuning-free`: a loop, and what is measured at its end."""

import math
import time
import warnings
from collections.abc import Callable, Sequence

import torch

from largestep.deep.data.dataset import permutation
from largestep.deep.features import gather
from largestep.experiments.extensions.tuning_free.methods import Method
from largestep.experiments.extensions.tuning_free.names import QUANTITIES
from largestep.experiments.extensions.tuning_free.problems import Task
from largestep.metrics.sparsity import feature_sparsity

__all__ = ["run_one", "time_all"]

_LOSS_BOUND = 1e6
"""A run whose loss goes beyond this, or is not finite, has diverged."""
_INPUTS, _ROWS = 500, 2000
"""Training inputs that features are measured at, and the most rows that these give."""

_ROUNDS, _STEPS = 4, 30
"""How often methods take turns while they are timed, and for how many steps."""

Make = Callable[[torch.nn.Module, int], Method]


def run_one(task: Task, make: Make, seed: int, *, quick: bool = False) -> list[float]:
    """Train, and return what `names.QUANTITIES` lists.

    Parameters
    ----------
    task : with a fresh model.
    make : the method.
    seed : of the order of the examples.
    quick : train for a tenth of the passes.
    """
    found = dict.fromkeys(QUANTITIES, math.nan) | {"constant": task.constant}
    with warnings.catch_warnings():
        # What a controller warns of, and what is not finite, shows in the numbers.
        warnings.simplefilter("ignore", RuntimeWarning)
        _run(task, make, seed, max(task.epochs // 10, 1) if quick else task.epochs, found)
    return list(found.values())


def time_all(build: Callable[[], Task], makes: Sequence[Make]) -> list[float]:
    """Return the milliseconds of processor time that a step of each method takes, side by side.

    They take turns, and the fastest counts: what else the machine does slows all of them. They are
    far from the end of a training: a controller is at work.
    """
    runs = []
    for make in makes:
        task = build()
        task.model.train()
        runs.append((task, make(task.model, 100 * _ROUNDS * _STEPS)))
    fastest = [math.inf] * len(runs)
    for _ in range(_ROUNDS):
        for number, (task, method) in enumerate(runs):
            x, y = (part[: task.batch_size] for part in task.train)
            started = time.process_time()
            for _ in range(_STEPS):
                method.step(lambda: task.loss(task.model(x), y))  # noqa: B023
            spent = 1e3 * (time.process_time() - started) / _STEPS
            fastest[number] = min(fastest[number], spent)
    return fastest


def _run(task: Task, make: Make, seed: int, epochs: int, found: dict[str, float]) -> None:
    x, y = task.train
    in_a_pass = len(x) // task.batch_size
    method = make(task.model, epochs * in_a_pass)
    task.model.train()
    steps = 0
    for epoch in range(epochs):
        order = permutation(len(x), seed, epoch)
        for chosen in torch.split(order[: in_a_pass * task.batch_size], task.batch_size):
            inputs, targets = x[chosen], y[chosen]
            loss = method.step(lambda: task.loss(task.model(inputs), targets))  # noqa: B023
            if not abs(float(loss)) <= _LOSS_BOUND:
                found["diverged_at"] = steps
                return
            steps += 1
    model = method.finish(torch.split(x, task.batch_size)).eval()
    with torch.no_grad():
        outputs, ends = model(task.test[0]), model(x[:_INPUTS])
        found["test_error"] = float(task.error(outputs, task.test[1]))
        found["train_loss"] = float(task.loss(ends, y[:_INPUTS]))
    spread = (outputs.amax(0) - outputs.amin(0)).max()
    found["collapsed"] = float(spread <= 1e-6 * outputs.abs().max())
    (layer,) = gather(
        model, [x[:_INPUTS]], task.features, units=task.units, max_units=1000, max_rows=_ROWS
    ).values()
    if bool(layer.features.isfinite().all()):
        found["sparsity"] = feature_sparsity(layer.features).distinct
    found["recoveries"] = float(method.recoveries)
