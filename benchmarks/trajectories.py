"""One trajectory of `simulate` beside per-step loops in NumPy and PyTorch."""

import os
from typing import Any

import numpy as np

import largestep as ls
from benchmarks._machine import least_seconds
from benchmarks._timing import row, seconds
from largestep.dynamics.simulation import record_grid
from largestep.experiments.andriushchenko2023.teacher_student.setting import setting

STEPS = 100_001
SDE_STEPS = 5_000
SHORT = 10
RELU_STEPS = 14_126
TORCH_STEPS = 2_000


def numpy_loop(problem: ls.problems.Problem, steps: int, batch_size: int = 1) -> list[float]:
    """Train a diagonal network step by step, as one would write it, recording the train loss."""
    rng = np.random.default_rng(0)
    x, y = problem.x_train, problem.y_train
    u, v = np.full(problem.d, 0.1), np.zeros(problem.d)
    recorded = set(record_grid(steps).tolist())
    losses = []
    for step in range(steps):
        if step in recorded:
            losses.append(float(np.mean((x @ (u * v) - y) ** 2) / 2))
        batch = rng.integers(0, len(x), size=batch_size)
        residuals = x[batch] @ (u * v) - y[batch]
        gradient = x[batch].T @ residuals / batch_size
        u, v = u - 0.25 * gradient * v, v - 0.25 * gradient * u
    return losses


def tuned_numpy_loop(problem: ls.problems.Problem, steps: int) -> np.ndarray:
    """Train a diagonal network by the fastest NumPy we know: one row, order drawn ahead."""
    order = np.random.default_rng(0).integers(0, problem.n, size=steps).tolist()
    rows, targets = list(problem.x_train), problem.y_train.tolist()
    u, v = np.full(problem.d, 0.1), np.zeros(problem.d)
    for i in order:
        x = rows[i]
        scaled = (0.25 * (x @ (u * v) - targets[i])) * x
        u, v = u - scaled * v, v - scaled * u
    return u * v


def sde_loop(problem: ls.problems.Problem, steps: int) -> np.ndarray:
    """Follow the constant-noise SDE on a diagonal network by two products with all inputs."""
    rng = np.random.default_rng(0)
    x, y = problem.x_train, problem.y_train
    u, v = np.full(problem.d, 0.1), np.zeros(problem.d)
    for _ in range(steps):
        c = (y - x @ (u * v)) / len(y) + np.sqrt(1e-3) * rng.standard_normal(len(y))
        scaled = 0.25 * (x.T @ c)
        u, v = u + scaled * v, v + scaled * u
    return u * v


def torch_loop(problem: ls.problems.Problem, steps: int) -> float:
    """Train the student of `teacher-student` by autograd, one example a step."""
    import torch

    torch.set_num_threads(1)
    x = torch.tensor(np.array(problem.x_train), dtype=torch.float32)
    y = torch.tensor(np.array(problem.y_train), dtype=torch.float32)
    student = torch.nn.Sequential(
        torch.nn.Linear(2, 20, bias=False), torch.nn.ReLU(), torch.nn.Linear(20, 1, bias=False)
    )
    optimizer = torch.optim.SGD(student.parameters(), lr=0.13)
    order = np.random.default_rng(0).integers(0, len(x), size=steps)
    loss = torch.zeros(())
    for i in order:
        loss = torch.mean((student(x[i : i + 1])[:, 0] - y[i : i + 1]) ** 2)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


def measure() -> list[dict[str, Any]]:
    """Compare one trajectory of `diagonal` and one of `teacher-student`."""
    problem = ls.problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0)
    network = ls.networks.DiagonalLinear(d=200)
    cores = os.cpu_count() or 1
    many = 8 * cores

    def diagonal(seeds: int, threads: int) -> None:
        ls.simulate(
            network,
            problem,
            schedules=0.25,
            steps=STEPS,
            seeds=range(seeds),
            measure=["train_loss"],
            threads=threads,
        )

    baseline = seconds(lambda: numpy_loop(problem, STEPS // 10), repeats=3) * 10
    tuned = seconds(lambda: tuned_numpy_loop(problem, STEPS // 10), repeats=3) * 10
    single = seconds(lambda: diagonal(1, 1))
    alone = seconds(lambda: diagonal(8, 1)) / 8
    together = seconds(lambda: diagonal(many, cores)) / many
    n, d = problem.x_train.shape
    # A step reads two inputs, reads and writes u and v; one of the inputs is far.
    least = least_seconds(flops=9 * d * STEPS, loaded=48 * d * STEPS, far=8 * d * STEPS)
    rows = [
        row(
            "diagonal, one core (8 seeds in one call), against NumPy",
            baseline,
            alone,
            "≥ 150",
            least=least,
        ),
        row("diagonal, one core (1 seed in one call), against NumPy", baseline, single, ""),
        row(f"diagonal, {cores} cores, against a NumPy loop", baseline, together, "≥ 300 on 4"),
        row("diagonal, one core, against a tuned NumPy loop", tuned, alone, "for honesty"),
    ]

    def sde() -> None:
        ls.simulate(
            network,
            problem,
            ls.dynamics.ConstantNoiseSDE(1e-3),
            0.25,
            steps=SDE_STEPS,
            seeds=range(4),
            measure=["train_loss"],
            threads=1,
        )

    # A step passes twice over all inputs, which lie in the second cache.
    least = least_seconds(
        flops=4 * n * d * SDE_STEPS, loaded=16 * n * d * SDE_STEPS, far=16 * n * d * SDE_STEPS
    )
    looped = seconds(lambda: sde_loop(problem, SDE_STEPS // 10)) * 10
    rows.append(
        row(
            "diagonal's SDE, one core (4 seeds), against NumPy",
            looped,
            seconds(sde) / 4,
            "",
            least=least,
        )
    )

    # What a trajectory costs whatever its steps.
    few = ls.problems.sparse_regression(n=20, d=10, nonzeros=2, seed=0, test_points=20)
    tiny = ls.networks.DiagonalLinear(d=10)
    looped = seconds(lambda: numpy_loop(few, SHORT))
    short = seconds(
        lambda: ls.simulate(
            tiny,
            few,
            schedules=0.25,
            steps=SHORT,
            seeds=range(2000),
            measure=["train_loss"],
            threads=1,
        )
    )
    rows.append(row("ten steps, one core (2000 seeds), against NumPy", looped, short / 2000, "≥ 1"))

    student = setting()

    def relu() -> None:
        ls.simulate(
            student.network,
            student.problem,
            schedules=0.13,
            steps=RELU_STEPS,
            seeds=range(20),
            measure=["train_loss"],
            threads=1,
        )

    ours = seconds(relu) / 20
    try:
        autograd = (
            seconds(lambda: torch_loop(student.problem, TORCH_STEPS)) * RELU_STEPS / TORCH_STEPS
        )
    except ImportError:
        return [*rows, row("teacher-student, one core (PyTorch is missing)", None, ours, "≥ 1000")]
    return [
        *rows,
        row("teacher-student, one core (20 seeds), against autograd", autograd, ours, "≥ 1000"),
    ]
