"""The command line in this process: starting another takes a second."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from largestep.cli import main


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def largestep(monkeypatch, capfd):
    """Return a function that runs a command line and tells how it ended."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["largestep", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture(scope="session")
def command():
    """Return the installed command, for what takes a process of its own."""
    return str(Path(sys.executable).with_name("largestep"))


@pytest.fixture
def process(command):
    """Return a function that runs a command line in a process of its own."""

    def run(*arguments):
        return subprocess.run(
            [command, *map(str, arguments)], capture_output=True, text=True, timeout=300
        )

    return run
