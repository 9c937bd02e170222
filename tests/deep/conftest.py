"""Two processes, as a launcher would start them."""

import pytest


@pytest.fixture
def in_two_processes():
    """Return a function that does work as ranks 0 and 1: here, and in a process of its own."""
    torch = pytest.importorskip("torch")

    def run(work, *arguments):
        other = torch.multiprocessing.get_context("spawn").Process(
            target=work, args=(1, *arguments)
        )
        other.start()
        work(0, *arguments)
        other.join()
        assert other.exitcode == 0

    return run
