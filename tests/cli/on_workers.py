"""What tests of commands with workers need: to wait, and to know whom to kill."""

import time
from contextlib import suppress

import psutil


def until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def workers_of(process):
    children = psutil.Process(process.pid).children(recursive=True)
    found = []
    for child in children:
        with suppress(psutil.NoSuchProcess):  # it may have died since, or be a zombie
            if any("spawn_main" in part for part in child.cmdline()):
                found.append(child)
    return found
