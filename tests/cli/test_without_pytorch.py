"""What `pip install largestep` gives: everything but what is deep (run by `make test-base`)."""

from importlib import import_module
from pkgutil import walk_packages

import pytest

import largestep
from largestep.experiments import find

pytestmark = pytest.mark.base


def test_pytorch_is_not_here():
    with pytest.raises(ModuleNotFoundError, match="torch"):
        import_module("torch")


def test_every_module_outside_deep_is_there():
    # What is inside an experiment on deep networks, beside its entry, may need them.
    inside = tuple(f"{e.package}." for e in find().values() if e.needs_torch)
    for module in walk_packages(largestep.__path__, "largestep."):
        own = module.name.startswith(inside) and not module.name.endswith((".compute", ".show"))
        if "deep" not in module.name.split(".") and not own:
            import_module(module.name)


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["train", "--help"]])
def test_the_command_line_tells_what_there_is(arguments, process):
    told = process(*arguments)
    assert told.returncode == 0
    assert told.stdout
    assert told.stderr == ""


def test_an_experiment_is_reproduced(tmp_path, process):
    arguments = ["reproduce", "one-dimension", "--quick", "--seeds", "2", "--out", tmp_path]
    done = process(*arguments)
    assert done.returncode == 0
    assert (tmp_path / "one-dimension" / "figure.png").exists()
    assert f"The page is {tmp_path / 'report.html'}" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "digits", "--out", "run"],
        ["measure", "net.py:build"],
        ["compact", "net.py:build"],
        ["reproduce", "digits"],
    ],
)
def test_what_is_deep_says_in_one_line_what_to_install(arguments, tmp_path, monkeypatch, process):
    monkeypatch.chdir(tmp_path)
    refused = process(*arguments)
    assert refused.returncode == 1
    assert refused.stderr == (
        "largestep: largestep.deep needs PyTorch: pip install 'largestep[torch]'\n"
    )
    assert not list(tmp_path.iterdir())


def test_drawing_results_again_takes_none_of_what_computed_them(tmp_path, largestep):
    nothing = largestep("reproduce", "digits", "--only-figures", "--out", tmp_path)
    assert "no results at" in nothing.stderr


def test_experiments_that_need_pytorch_are_left_out_with_a_line(tmp_path, largestep):
    done = largestep("reproduce", "--only-figures", "--out", tmp_path)
    line = "Left out without PyTorch: digits, glyphs-length (pip install 'largestep[torch]')\n"
    assert done.stderr.startswith(line)
