"""How the command line starts and how it refuses."""

import subprocess
import sys

import pytest

HEAVY = ("numba", "matplotlib", "torch", "scipy", "xarray")


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["train", "--help"]])
def test_what_only_tells_loads_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from largestep.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        f"print('loaded', *[name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded"


def test_the_list_names_every_experiment(process):
    listed = process("list")
    assert listed.returncode == 0
    assert "diagonal-gd" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "resnet1"], "experiment must be one of"),
        (["reproduce", "--seeds", "0"], "--seeds"),
        (["reproduce", "--threads", "0"], "--threads"),
        (["reproduce", "diagonal", "--out", __file__], "is a file: name a folder"),
        (["reproduce", "diagonal", "--only-figures", "--out", "{empty}"], "no results at"),
        (["report", "{empty}"], "holds no results"),
        (["clean", "{empty}/nowhere"], "there is no folder"),
        (["sweep", "surface", "--x", "factor=2,4", "--y", "step_size=0.1,0.2"], "a sweep must be"),
        (["fly"], "No such command"),
    ],
)
def test_mistakes_get_one_reason_and_a_failing_status(arguments, message, tmp_path, largestep):
    failed = largestep(*[a.replace("{empty}", str(tmp_path)) for a in arguments])
    assert failed.returncode != 0
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_reader_that_takes_no_more_is_no_error(command):
    listing = subprocess.Popen([command, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    listing.stdout.close()  # before anything is written, as the first line of `head` may be
    _, said = listing.communicate(timeout=60)
    assert listing.returncode == 0
    assert said == b""
