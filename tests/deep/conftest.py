"""Two processes, as a launcher would start them."""

import pytest


@pytest.fixture
def in_two_processes(loaded):
    """Return a function that does work as ranks 0 and 1: here, and in a process of its own."""

    def run(work, *arguments):
        other = loaded.Process(target=work, args=(1, *arguments), daemon=True)
        other.start()
        work(0, *arguments)
        other.join()
        assert other.exitcode == 0

    return run
