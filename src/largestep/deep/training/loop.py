"""Train a deep network: one loop, to be read from top to bottom, and what it leaves in a folder."""

import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from largestep import _checks, _files, store
from largestep._progress import track
from largestep.deep import weights
from largestep.deep.data.dataset import Examples
from largestep.deep.loading import read_weights
from largestep.deep.training import checkpoints, processes
from largestep.deep.training.run import Run, Trained
from largestep.deep.training.settings import Training

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Stopped", "train"]


class Stopped(KeyboardInterrupt):
    """A signal has stopped the training after its current step, and a checkpoint was saved.

    Attributes
    ----------
    signal : which one.
    """

    def __init__(self, message: str, signal: signal.Signals) -> None:
        super().__init__(message)
        self.signal = signal


def train(
    settings: Training,
    data: Examples,
    *,
    out: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: str | None = None,
    tensorboard: bool = False,
    checkpoint_seconds: float = 60.0,
) -> Trained:
    """Train a network, and measure it on the way.

    On the CPU a result is fixed bit for bit by settings, data and the number of threads, however
    often the run was killed and taken up again. On a GPU, where cuDNN picks its algorithms by
    their speed, it is not.

    Launched by torchrun, processes share every batch: gradients are those of a single process,
    but for rounding, and on the CPU for batch norm, whose statistics are then each process's own.

    Parameters
    ----------
    settings : what to train and how.
    data : what to train on and to test on.
    out : folder for `checkpoint.safetensors`, and at the end for `results.nc`,
        `model.safetensors`, `averaged.safetensors` and `config.json`; nothing is saved without.
    resume : go on from what `out` holds, if it holds anything; without it a folder that holds a
        run is refused. A finished run is returned as it is.
    device : "auto" (a GPU if there is one), or as PyTorch names it.
    progress : a description shows progress on standard error; None is silent.
    tensorboard : also log to `out`/tensorboard.
    checkpoint_seconds : time between checkpoints. There is also one at the start, and on SIGTERM
        or SIGINT.

    Raises
    ------
    Stopped
        After SIGTERM or SIGINT; with `resume` the same call goes on.
    TypeError, ValueError
        If a setting is not what is said above, the folder holds the run of other settings (the
        error names them), or only damaged checkpoints.
    OSError
        If the folder can't be written to, or another process is training in it.
    """
    _checks.number("checkpoint_seconds", checkpoint_seconds, at_least=0.0)
    if out is None and (resume or tensorboard):
        raise ValueError("out must name a folder for resume and tensorboard, got None")
    with ExitStack() as stack:
        place = stack.enter_context(processes.place(device))
        first = place.rank == 0
        run = Run(settings, data, place)
        stop = checkpoints.Stop()
        if out is not None:
            if first:
                stack.enter_context(_files.exclusive(_files.prepare_folder(out)))
            for rank in range(place.processes):  # one by one: loading may repair the folder
                if rank == place.rank:
                    finished = _taken_up(run, out, resume)
                place.wait()
            if finished is not None:
                return finished
            stop = stack.enter_context(checkpoints.stopping())
        board = None
        if tensorboard and first and out is not None:
            board = stack.enter_context(_board(out / "tensorboard", run.step))
        advance = stack.enter_context(track(progress if first else None, run.steps - run.step))

        def save() -> float:
            if out is not None and first:
                checkpoints.save(out, run.tensors(), run.state())
            return time.monotonic()

        saved = save()
        while True:
            if place.agree(stop.signal is not None, run.step):
                save()
                raise Stopped(
                    f"stopped at step {run.step} of {run.steps}; {out} holds a checkpoint",
                    stop.signal or signal.SIGTERM,
                )
            if time.monotonic() - saved > checkpoint_seconds:
                saved = save()
            if run.evaluations.due(run.step):
                run.evaluate(board)
            if run.step == run.steps or not math.isnan(run.diverged_at):
                break
            run.take_step()
            advance()
        trained = run.trained()
        if out is not None and first:
            _store(out, trained, run)
    return trained


def _taken_up(run: Run, out: Path, resume: bool) -> Trained | None:
    """Bring the run to where the folder has it; return what it gave if it is finished."""
    finished, found = None, None
    if (out / "results.nc").exists():
        finished, state = store.load(out / "results.nc")
    elif (found := checkpoints.load(out)) is not None:
        state = found[1]
    else:
        return None
    if not resume:
        raise ValueError(f"{out} holds a run: resume it, or name another folder")
    _check_same(state["configuration"], run.configuration, out)
    if finished is not None:
        checkpoints.delete(out)
        run.model.load_state_dict(read_weights(out / "model.safetensors"))
        if run.averaged is not None:
            run.averaged.load_state_dict(read_weights(out / "averaged.safetensors"))
        return replace(run.trained(), results=finished["training"].to_dataset())
    if found is not None:
        run.restore(*found)
    environment = run.place.environment()
    if state["environment"] != environment and run.place.rank == 0:
        before = ", ".join(f"{k} {v}" for k, v in state["environment"].items())
        print(f"The run was begun with {before}: its bits may differ from here", file=sys.stderr)
    return None


def _store(out: Path, trained: Trained, run: Run) -> None:
    """Save what was trained; the run is finished once `results.nc` is there."""
    config = {"configuration": run.configuration, "environment": run.place.environment()}
    _files.write_json(out / "config.json", config, sealed=True)
    for name, model in (("model", trained.model), ("averaged", trained.averaged)):
        if model is not None:
            _files.write_bytes(out / f"{name}.safetensors", weights.to_bytes(model.state_dict()))
    results = store.Results.from_dict({"training": trained.results})
    store.save(out / "results.nc", results, config)
    checkpoints.delete(out)


def _check_same(stored: Mapping[str, Any], asked: Mapping[str, Any], out: Path) -> None:
    differ = [
        f"{name} was {before!r} and is now {asked[group].get(name)!r}"
        for group in ("settings", "data")
        for name, before in stored[group].items()
        if asked[group].get(name) != before
    ]
    if differ:
        raise ValueError(f"{out} holds the run of other settings: {'; '.join(differ)}")


@contextmanager
def _board(folder: Path, step: int) -> Iterator["SummaryWriter"]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step) as board:
        yield board
