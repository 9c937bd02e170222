"""Work on other machines, or in processes of this one that are replaced when they die: by Dask."""

import platform
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from largestep import _checks
from largestep._version import __version__
from largestep.jobs.processes import without_interrupt

__all__ = ["DaskExecutor", "cluster"]

_SECONDS_TO_ANSWER = 10.0
_SECONDS_BETWEEN_COUNTS = 5.0


class DaskExecutor(Executor):
    """Dask's `client.get_executor()`, which knows its workers and sends what they share once.

    Parameters
    ----------
    given : the executor of a client, or a client.
    resources : what a worker must have for the work, such as ``{"GPU": 1}``, as Dask's workers are
        told by ``--resources``.
    """

    def __init__(self, given: Any, resources: dict[str, float] | None = None) -> None:
        self._client = getattr(given, "_client", given)
        # Blocks that happen to be alike are still two.
        told = {} if resources is None else {"resources": resources}
        alike = given is self._client
        self._given = self._client.get_executor(pure=False, **told) if alike else given
        self._counted, self._workers = -_SECONDS_BETWEEN_COUNTS, 1

    @property
    def workers(self) -> int:
        """The threads of all workers that are there by now."""
        if time.monotonic() - self._counted > _SECONDS_BETWEEN_COUNTS:
            self._workers = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return self._workers

    def submit(self, work: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        """Hand out work; what `share` returns may stand among its arguments."""
        future: Future[Any] = self._given.submit(work, *args, **keywords)
        return future

    def share(self, value: Any) -> Any:
        """Return what stands for a value that is sent once.

        A task makes it, so that it is made again where the worker that held it has died; what is
        scattered would be lost.
        """
        return self._client.submit(_itself, value, pure=False)

    def training(self) -> "DaskExecutor":
        """Return the executor for trainings: one a GPU, where workers say that they have any.

        Raises
        ------
        ValueError
            If workers without a GPU have several threads: trainings share PyTorch's settings.
        """
        described = self._client.scheduler_info(n_workers=-1)["workers"]
        if any("GPU" in worker["resources"] for worker in described.values()):
            return DaskExecutor(self._client, resources={"GPU": 1})
        several = [address for address, worker in described.items() if worker["nthreads"] > 1]
        if several:
            raise ValueError(
                f"workers that train must have one thread each, got more at {several[0]}: start "
                "them by `dask worker --nworkers N --nthreads 1`"
            )
        return self


@contextmanager
def cluster(scheduler: str | None = None, *, workers: int | None = None) -> Iterator[DaskExecutor]:
    """Yield an executor of a Dask cluster: a running one, or one of processes of this machine.

    A worker that dies is replaced, and what it did is done again by another.

    Parameters
    ----------
    scheduler : the address of a running cluster, such as ``tcp://head:8786``.
    workers : processes to start here instead, of one thread each; they end with the block.

    Raises
    ------
    ModuleNotFoundError
        If Dask isn't installed.
    ValueError
        If not just one of the two is given, the address is none, or a worker has another version of
        Python or of largestep.
    ConnectionError
        If nobody answers at the address.
    ChildProcessError
        If a block has killed four workers, or this machine's workers are gone.
    """
    if (scheduler is None) == (workers is None):
        raise ValueError("name either a scheduler's address or a number of workers")
    distributed = _distributed()
    with ExitStack() as stack:
        if workers is not None:
            workers = _checks.integer("workers", workers, at_least=1)
            scheduler = stack.enter_context(_local(distributed, workers)).scheduler_address
        client = stack.enter_context(_client(distributed, str(scheduler)))
        _check_workers(client)
        print(
            f"{len(client.scheduler_info(n_workers=-1)['workers'])} workers; "
            f"the dashboard is {client.dashboard_link}",
            file=sys.stderr,
        )
        with translated(distributed):
            yield DaskExecutor(client)


@contextmanager
def translated(distributed: Any) -> Iterator[None]:
    """Let Dask's word for work that kills its workers be this house's."""
    try:
        yield
    except distributed.KilledWorker as error:
        raise ChildProcessError(
            f"a block of work has killed {error.allowed_failures + 1} workers, perhaps for want of "
            f"memory: give workers more (the last was {error.last_worker.address}, with "
            f"{error.last_worker.memory_limit / 1e9:.2g} GB); the same command takes up what is "
            "finished"
        ) from None


def _distributed() -> Any:
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "clusters need Dask: pip install 'largestep[cluster]'", name=error.name
        ) from None
    return distributed


def _local(distributed: Any, workers: int) -> Any:
    import dask

    # Dask lets the workers' allocator give back memory at once, which costs a third of the time
    # where arrays come and go.
    own = {"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}
    # The cluster's thread starts the workers, and others in place of those that die.
    with dask.config.set(own), without_interrupt():
        return distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # a port that is free
        )


@contextmanager
def _client(distributed: Any, address: str) -> Iterator[Any]:
    try:
        # It is nobody else's default: xarray would write files through it.
        client = distributed.Client(address, timeout=_SECONDS_TO_ANSWER, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {address} within {_SECONDS_TO_ANSWER:.0f} s"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"scheduler must be an address such as tcp://head:8786, got {address!r}: {error}"
        ) from error
    with client:
        yield client


def _check_workers(client: Any) -> None:
    """Refuse workers with another version; those that come later are refused at their first block.

    The functions are the standard library's: whatever a worker has, it has these.
    """
    here = {"Python": platform.python_version(), "largestep": __version__}
    there = {
        "Python": client.run(platform.python_version),
        "largestep": client.run(version, "largestep", on_error="return"),
    }
    for name, by_worker in there.items():
        for address, found in by_worker.items():
            if name == "Python":
                same = found.split(".")[:2] == here[name].split(".")[:2]
            else:
                same = found == here[name]
            if not same:
                found = "none" if isinstance(found, PackageNotFoundError) else found
                raise ValueError(
                    f"the worker {address} has {name} {found} where this process has {here[name]}: "
                    "install the same on all workers"
                )


def _itself(value: Any) -> Any:
    return value
