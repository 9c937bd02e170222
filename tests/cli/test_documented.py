"""The command lines of the README and the pages are understood, and make's targets are there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from largestep.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = [
    line
    for page in PAGES
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", [line for line in LINES if "largestep " in line])
def test_a_command_line_is_understood(line):
    arguments = re.split(r"(?:^|[ /])largestep ", line)[-1]
    group = typer.main.get_command(app)
    context = group.make_context("largestep", shlex.split(arguments, comments=True))
    name, command, rest = group.resolve_command(context, context._protected_args + context.args)
    command.make_context(name, rest, parent=context)


def test_the_list_is_what_it_says(largestep):
    listed = largestep("list")
    assert listed.returncode == 0
    for line in LINES:
        for name in re.findall(r"largestep (?:reproduce|sweep) ([a-z][\w-]*)", line):
            assert name in listed.stdout


def test_what_make_is_asked_for_is_there():
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    asked = set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.MULTILINE))
    assert {"reproduce", "test", "test-base", "lint", "docs"} <= asked
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert asked <= set(targets[1].split())
